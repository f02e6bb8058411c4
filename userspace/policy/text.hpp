// Small questions about text that an operator or a client wrote.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace sluice {

// Bytes of the UTF-8 character that text, which is not empty, begins with; 0 if with none. Strict (RFC 3629,
// table of section 4): no overlong form, no surrogate, nothing above U+10FFFF.
std::size_t utf8_length(std::string_view text);
bool is_utf8(std::string_view text);

// C0 controls and DEL.
bool has_control_character(std::string_view text);

// What may name a user: 1 to 256 bytes of UTF-8 without control characters.
inline constexpr std::size_t kMaxUserBytes = 256;
inline constexpr std::string_view kUserForm = "1 to 256 bytes of UTF-8 without control characters";
bool is_valid_user(std::string_view user);

// Offset of the first byte that does not belong in a text file: bad UTF-8, or a control character other than
// tab, line feed and carriage return.
std::optional<std::size_t> find_non_text(std::string_view text);

struct TextPlace {
    unsigned line = 1;  // both from 1; column in bytes
    unsigned column = 1;
};
TextPlace place_of(std::string_view text, std::size_t offset);

// The word of candidates that `word` most likely was meant to be (few edits away), or empty.
template <class List>
std::string_view nearest(std::string_view word, const List& candidates);

// Number of single-character insertions, deletions, replacements and swaps of neighbours between a and b.
std::size_t edit_distance(std::string_view a, std::string_view b);

template <class List>
std::string_view nearest(std::string_view word, const List& candidates) {
    if (word.size() > 64) return {};
    std::string_view best;
    std::size_t best_distance =
        word.size() <= 3 ? 2 : 3;  // fewer edits than this is a slip, more another word
    for (const std::string_view candidate : candidates) {
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < best_distance && distance < candidate.size()) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

}  // namespace sluice
