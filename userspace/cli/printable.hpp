// Text from elsewhere made safe to print on a terminal.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

// Printable UTF-8 stays. Everything that could move the cursor, change colours or reorder what is read (C0,
// DEL, C1, bidirectional controls, line and paragraph separators, invalid UTF-8) becomes visible: "\x1b",
// "\u{202e}".
std::string printable(std::string_view text);

// The same for text of several lines: line feeds and tabs stay.
std::string printable_lines(std::string_view text);

// Columns on a terminal, one for each code point of a string that printable() made.
std::size_t display_width(std::string_view text);

}  // namespace sluice
