#include "http/fields.hpp"

#include <algorithm>

#include "http/characters.hpp"

namespace sluice::http {
namespace {

// Whether `name` is `known` (lower case) in any case; '_' counts as '-', because servers that hand fields to
// programs as variables (CGI, WSGI) can't tell them apart.
bool is_name(std::string_view name, std::string_view known) {
    return name.size() == known.size() &&
           std::equal(name.begin(), name.end(), known.begin(),
                      [](char a, char b) { return (a == '_' ? '-' : lower(a)) == b; });
}

struct KnownField {
    std::string_view name;
    FieldId id;
};

constexpr KnownField kKnownFields[] = {
    {"te", FieldId::kHopByHop},
    {"host", FieldId::kHost},
    {"expect", FieldId::kExpect},
    {"trailer", FieldId::kHopByHop},
    {"upgrade", FieldId::kUpgrade},
    {"x-real-ip", FieldId::kForwardingHint},
    {"forwarded", FieldId::kForwardingHint},
    {"x-http-method", FieldId::kForwardingHint},
    {"x-rewrite-url", FieldId::kForwardingHint},
    {"x-original-url", FieldId::kForwardingHint},
    {"x-method-override", FieldId::kForwardingHint},
    {"x-http-method-override", FieldId::kForwardingHint},
    {"connection", FieldId::kConnection},
    {"keep-alive", FieldId::kHopByHop},
    {"content-length", FieldId::kContentLength},
    {"http2-settings", FieldId::kHopByHop},
    {"x-forwarded-for", FieldId::kXForwardedFor},
    {"proxy-connection", FieldId::kHopByHop},
    {"transfer-encoding", FieldId::kTransferEncoding},
    {"x-forwarded-proto", FieldId::kXForwardedProto},
    {"proxy-authenticate", FieldId::kHopByHop},
    {"proxy-authorization", FieldId::kHopByHop},
};

}  // namespace

FieldId field_id(std::string_view name) {
    if (name.empty()) return FieldId::kOther;
    for (const auto& known : kKnownFields) {
        if (known.name.size() == name.size() && known.name.front() == lower(name.front()) &&
            is_name(name, known.name)) {
            return known.id;
        }
    }
    constexpr std::string_view kForwardedFamily = "x-forwarded-";
    if (name.size() > kForwardedFamily.size() &&
        is_name(name.substr(0, kForwardedFamily.size()), kForwardedFamily)) {
        return FieldId::kForwardingHint;
    }
    return FieldId::kOther;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return a.size() == b.size() &&
           std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::string_view> Fields::find(std::string_view name) const {
    for (const auto& field : fields_) {
        if (equal_ignoring_case(field.name, name)) return field.value;
    }
    return std::nullopt;
}

std::size_t Fields::count(std::string_view name) const {
    return static_cast<std::size_t>(std::count_if(fields_.begin(), fields_.end(), [&](const Field& field) {
        return equal_ignoring_case(field.name, name);
    }));
}

void AddedFields::clear() {
    lines_.clear();
    names_.clear();
}

std::string& AddedFields::begin(std::string_view name) {
    names_.push_back({static_cast<std::uint32_t>(lines_.size()), static_cast<std::uint32_t>(name.size())});
    return lines_.append(name).append(": ");
}

void AddedFields::set(std::string_view name, std::string_view value) {
    const std::size_t start = begin(name).size();
    lines_.append(value);
    if (!all(value, kFieldValueChar)) {
        for (std::size_t i = start; i < lines_.size(); ++i) {
            if (!is(lines_[i], kFieldValueChar)) lines_[i] = '?';
        }
    }
    end();
}

bool AddedFields::replaces(std::string_view name) const {
    const std::string_view lines = lines_;
    return std::any_of(names_.begin(), names_.end(), [&](const Name& added) {
        return equal_ignoring_case(lines.substr(added.offset, added.length), name);
    });
}

}  // namespace sluice::http
