#include "cli/printable.hpp"

#include <array>
#include <cstdint>
#include <cstdio>

namespace sluice {
namespace {

struct CodePoint {
    std::uint32_t value;
    std::size_t length;  // bytes; 0: the text does not start with valid UTF-8
};

CodePoint decode(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
    const std::uint8_t lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return {0, 0};
    std::uint32_t value = lead & (0xffU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return {0, 0};
        value = (value << 6) | (byte(i) & 0x3fU);
    }
    constexpr std::array<std::uint32_t, 5> kSmallest{0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = value >= 0xd800 && value <= 0xdfff;
    if (value < kSmallest[length] || surrogate || value > 0x10ffff) return {0, 0};
    return {value, length};
}

bool is_harmless(std::uint32_t c) {
    const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    const bool reorders = c == 0x061c || (c >= 0x200e && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
                          (c >= 0x2066 && c <= 0x2069);
    const bool breaks_line = c == 0x2028 || c == 0x2029;
    const bool invisible = c == 0xfeff || (c >= 0x200b && c <= 0x200d);
    return !control && !reorders && !breaks_line && !invisible;
}

std::string escape(std::string_view text, bool keep_lines) {
    std::string safe;
    safe.reserve(text.size());
    while (!text.empty()) {
        const CodePoint point = decode(text);
        const bool kept_control = keep_lines && (text.front() == '\n' || text.front() == '\t');
        if (point.length > 0 && (kept_control || is_harmless(point.value))) {
            safe += text.substr(0, point.length);
        } else {
            std::array<char, 16> escaped{};
            const bool is_byte = point.length <= 1;
            std::snprintf(
                escaped.data(), escaped.size(), is_byte ? "\\x%02x" : "\\u{%04x}",
                is_byte ? static_cast<unsigned>(static_cast<std::uint8_t>(text.front())) : point.value);
            safe += escaped.data();
        }
        text.remove_prefix(point.length > 0 ? point.length : 1);
    }
    return safe;
}

}  // namespace

std::string printable(std::string_view text) {
    return escape(text, false);
}

std::string printable_lines(std::string_view text) {
    return escape(text, true);
}

std::size_t display_width(std::string_view text) {
    std::size_t columns = 0;
    for (const char c : text)
        if ((static_cast<std::uint8_t>(c) & 0xc0) != 0x80) ++columns;
    return columns;
}

}  // namespace sluice
