// Character classes of HTTP/1.1 (RFC 9110 §5.6, RFC 3986 §2) as look-ups, so that no locale and no sign plays
// a part.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace sluice::http {

enum CharacterClass : std::uint8_t {
    kTokenChar = 1,       // method and field name
    kFieldValueChar = 2,  // visible, blank, tab, obs-text
    kPathChar = 4,        // pchar of RFC 3986 without '%' and ';': may stand in a canonical path as it is
    kDigit = 8,
    kHexDigit = 16,
    kHostChar = 32,  // host name, address or port
};

constexpr std::array<std::uint8_t, 256> make_character_classes() {
    std::array<std::uint8_t, 256> classes{};
    const auto mark = [&](std::string_view characters, CharacterClass c) {
        for (const char character : characters) {
            auto& entry = classes[static_cast<std::uint8_t>(character)];
            entry = static_cast<std::uint8_t>(entry | c);
        }
    };
    constexpr std::string_view kAlnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    mark(kAlnum, kTokenChar);
    mark("!#$%&'*+-.^_`|~", kTokenChar);
    mark(kAlnum, kPathChar);
    mark("-._~!$&'()*+,=:@", kPathChar);
    mark("0123456789", kDigit);
    mark("0123456789abcdefABCDEF", kHexDigit);
    mark(kAlnum, kHostChar);
    mark("-._:[]", kHostChar);
    for (unsigned c = 0; c < classes.size(); ++c) {
        if (c == '\t' || (c >= 0x20 && c != 0x7f))
            classes[c] = static_cast<std::uint8_t>(classes[c] | kFieldValueChar);
    }
    return classes;
}

inline constexpr auto kCharacterClasses = make_character_classes();

constexpr bool is(char c, CharacterClass wanted) {
    return (kCharacterClasses[static_cast<std::uint8_t>(c)] & wanted) != 0;
}

constexpr bool all(std::string_view text, CharacterClass wanted) {
    return std::all_of(text.begin(), text.end(), [wanted](char c) { return is(c, wanted); });
}

// Only for a kHexDigit.
constexpr unsigned hex_value(char c) {
    if (c <= '9') return static_cast<unsigned>(c - '0');
    return static_cast<unsigned>((c | 0x20) - 'a') + 10U;
}

constexpr char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

// Without blanks and tabs at either end.
constexpr std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

}  // namespace sluice::http
