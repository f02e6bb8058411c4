// Aligned columns for the terminal, and the few colours sluicectl uses.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

enum class Colour { kNone, kBold, kDim, kGood, kBad, kWarn };

// `text` in a colour, or unchanged when colours are off.
std::string painted(std::string_view text, Colour colour, bool colours_on);

struct Cell {
    std::string text;  // already printable()
    Colour colour = Colour::kNone;
};

class TextTable {
  public:
    // A title that starts with '>' is of a right-aligned column: numbers. One with '?' is of a column that is left out
    // while all its cells are empty.
    explicit TextTable(const std::vector<std::string>& titles);

    // As many cells as there are titles.
    void add(std::vector<Cell> row);
    bool empty() const { return rows_.empty(); }
    void print(std::ostream& out, bool colours_on) const;

  private:
    struct Column {
        std::string title;
        bool right_aligned;
        bool if_any;
    };
    void print_row(std::ostream& out, const std::vector<Cell>& row, const std::vector<std::size_t>& widths,
                   bool colours_on) const;

    std::vector<Column> columns_;
    std::vector<std::vector<Cell>> rows_;
};

}  // namespace sluice
