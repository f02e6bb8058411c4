#include "http/path.hpp"

#include <cstdint>
#include <string>

#include "http/characters.hpp"
#include "http/fields.hpp"

namespace sluice::http {
namespace {

Error refused(std::string_view why) {
    return Error{ErrorCode::kInvalid, "request target: " + std::string{why}};
}

// Checks UTF-8 byte by byte (Unicode 15, table 3-7: no overlong form, no surrogate, nothing above U+10FFFF).
class Utf8Checker {
  public:
    bool accept(std::uint8_t byte) {
        if (pending_ > 0) {
            if (byte < low_ || byte > high_) return false;
            low_ = 0x80;
            high_ = 0xbf;
            --pending_;
            return true;
        }
        if (byte < 0x80) return true;
        low_ = 0x80;
        high_ = 0xbf;
        if (byte >= 0xc2 && byte <= 0xdf) {
            pending_ = 1;
        } else if (byte >= 0xe0 && byte <= 0xef) {
            pending_ = 2;
            if (byte == 0xe0) low_ = 0xa0;
            if (byte == 0xed) high_ = 0x9f;
        } else if (byte >= 0xf0 && byte <= 0xf4) {
            pending_ = 3;
            if (byte == 0xf0) low_ = 0x90;
            if (byte == 0xf4) high_ = 0x8f;
        } else {
            return false;
        }
        return true;
    }
    bool between_characters() const { return pending_ == 0; }

  private:
    unsigned pending_ = 0;
    std::uint8_t low_ = 0x80;
    std::uint8_t high_ = 0xbf;
};

void append_byte(std::string& path, std::uint8_t byte) {
    if (is(static_cast<char>(byte), kPathChar)) {
        path.push_back(static_cast<char>(byte));
        return;
    }
    constexpr std::string_view kHex = "0123456789ABCDEF";
    path.push_back('%');
    path.push_back(kHex[byte >> 4U]);
    path.push_back(kHex[byte & 15U]);
}

// Called at the end of each segment, which starts at `start` of `path`, after a '/'. Resolves dot segments;
// false: above the root. Dots are pchar, so that every spelling of them has been decoded by now.
bool end_segment(std::string& path, std::size_t start) {
    const std::string_view segment = std::string_view{path}.substr(start);
    if (segment == ".") {
        path.resize(start);
    } else if (segment == "..") {
        if (start == 1) return false;
        path.resize(start - 1);
        path.resize(path.rfind('/') + 1);
    }
    return true;
}

Result<> canonicalise(std::string_view raw, std::string& path) {
    path.clear();
    if (raw.empty() || raw.front() != '/') return refused("does not begin with '/'");
    path.push_back('/');
    std::size_t start = 1;
    Utf8Checker utf8;
    for (std::size_t i = 1; i < raw.size(); ++i) {
        const char c = raw[i];
        if (c == '/') {
            if (!utf8.between_characters()) return refused("is not UTF-8 after decoding");
            if (!end_segment(path, start)) return refused("leaves the root by '..'");
            if (path.back() != '/') path.push_back('/');
            start = path.size();
            continue;
        }
        if (c == '\\') return refused("has a backslash");
        if (c == ';') return refused("has a ';' (path parameters are not accepted; data is written %3B)");
        auto byte = static_cast<std::uint8_t>(c);
        if (byte <= 0x20 || byte >= 0x7f) return refused("has a character that must be percent-encoded");
        if (c == '%') {
            if (i + 2 >= raw.size() || !is(raw[i + 1], kHexDigit) || !is(raw[i + 2], kHexDigit)) {
                return refused("has a '%' without two hexadecimal digits");
            }
            byte = static_cast<std::uint8_t>(hex_value(raw[i + 1]) * 16U + hex_value(raw[i + 2]));
            i += 2;
            if (byte == '/' || byte == '\\') return refused("has an encoded slash or backslash");
            if (byte < 0x20 || byte == 0x7f) return refused("has an encoded control character");
        }
        if (!utf8.accept(byte)) return refused("is not UTF-8 after decoding");
        append_byte(path, byte);
    }
    if (!utf8.between_characters()) return refused("is not UTF-8 after decoding");
    if (!end_segment(path, start)) return refused("leaves the root by '..'");
    return {};
}

// Cuts "http://AUTHORITY" off an absolute target.
Result<std::string_view> cut_authority(std::string_view target, Target& out) {
    for (const std::string_view scheme : {"http://", "https://"}) {
        if (!equal_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;
        const std::string_view rest = target.substr(scheme.size());
        const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
        out.authority = rest.substr(0, end);
        if (out.authority.empty() || !all(out.authority, kHostChar)) return refused("has a bad host");
        return rest.substr(end);
    }
    return refused("is neither a path nor http://host/path");
}

}  // namespace

Result<> parse_target(std::string_view method, std::string_view target, Target& out) {
    out.authority = {};
    out.query = {};
    out.has_query = false;
    if (target == "*") {
        if (method != "OPTIONS") return refused("'*' is for OPTIONS only");
        out.path.assign("*");
        return {};
    }
    if (target.empty()) return refused("is empty");
    bool absolute = false;
    if (target.front() != '/') {
        const auto rest = cut_authority(target, out);
        if (!rest) return rest.error();
        target = *rest;
        absolute = true;
    }
    const std::size_t question = target.find('?');
    if (question != std::string_view::npos) {
        out.has_query = true;
        out.query = target.substr(question + 1);
        target = target.substr(0, question);
        for (const char c : out.query) {
            if (c <= 0x20 || c == 0x7f || c == '#')
                return refused("has a character in its query that is not allowed");
        }
    }
    if (target.empty() && absolute) target = "/";
    if (target.find('#') != std::string_view::npos) return refused("has a fragment");
    return canonicalise(target, out.path);
}

}  // namespace sluice::http
