// Header fields of one message, as views into the buffer the message was read into; and fields to add to a
// message.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::http {

// Fields that the data path itself acts on; found once, while parsing.
enum class FieldId : std::uint8_t {
    kOther,
    kHost,
    kConnection,
    kContentLength,
    kTransferEncoding,
    kUpgrade,
    kExpect,
    kHopByHop,  // Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer,
                // HTTP2-Settings
    kXForwardedFor,
    kXForwardedProto,
    kForwardingHint,  // Forwarded, X-Real-IP and every other X-Forwarded-…, and what makes some applications
                      // act on another method or path than the one that was limited (X-HTTP-Method-Override,
                      // X-Original-URL and their like): believed only from a trusted proxy
};

FieldId field_id(std::string_view name);

// ASCII, as field names are compared.
bool equal_ignoring_case(std::string_view a, std::string_view b);

struct Field {
    std::string_view name;   // as sent
    std::string_view value;  // without surrounding blanks
    FieldId id = FieldId::kOther;
    bool hop = false;  // ends here: hop-by-hop by definition, or named by Connection
};

class Fields {
  public:
    void clear() { fields_.clear(); }
    void add(std::string_view name, std::string_view value) {
        fields_.push_back({name, value, field_id(name), false});
    }

    // The first field of this name, in any case; nullopt if there is none. O(number of fields).
    std::optional<std::string_view> find(std::string_view name) const;
    // How many fields have this name.
    std::size_t count(std::string_view name) const;

    std::size_t size() const { return fields_.size(); }
    auto begin() const { return fields_.begin(); }
    auto end() const { return fields_.end(); }
    std::span<Field> all() { return fields_; }

  private:
    std::vector<Field> fields_;  // keeps its capacity from message to message
};

// Fields to add to a message; each replaces all fields of the same name in it. Keeps its capacity when
// cleared.
class AddedFields {
  public:
    void clear();
    // `name` is a literal of ours. Bytes of `value` that a field can't hold (control characters) become '?',
    // so that no value taken from elsewhere can split a message.
    void set(std::string_view name, std::string_view value);
    // The same for a value that is made in place and of our own words alone, so that nothing in it has to be
    // checked: append it to what begin() gives, then end().
    std::string& begin(std::string_view name);
    void end() { lines_.append("\r\n"); }
    bool empty() const { return names_.empty(); }
    // Whether a field of this name would be replaced.
    bool replaces(std::string_view name) const;
    // "Name: value\r\n" for each.
    std::string_view lines() const { return lines_; }

  private:
    struct Name {
        std::uint32_t offset;
        std::uint32_t length;
    };
    std::string lines_;
    std::vector<Name> names_;
};

}  // namespace sluice::http
