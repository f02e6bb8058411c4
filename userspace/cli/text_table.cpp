#include "cli/text_table.hpp"

#include <algorithm>
#include <ostream>

#include "cli/printable.hpp"

namespace sluice {
namespace {

constexpr std::size_t kGap = 2;

std::string_view escape_sequence(Colour colour) {
    switch (colour) {
        case Colour::kNone:
            return "";
        case Colour::kBold:
            return "\x1b[1m";
        case Colour::kDim:
            return "\x1b[2m";
        case Colour::kGood:
            return "\x1b[32m";
        case Colour::kBad:
            return "\x1b[31m";
        case Colour::kWarn:
            return "\x1b[33m";
    }
    return "";
}

}  // namespace

std::string painted(std::string_view text, Colour colour, bool colours_on) {
    if (!colours_on || colour == Colour::kNone) return std::string{text};
    return std::string{escape_sequence(colour)}.append(text).append("\x1b[0m");
}

TextTable::TextTable(std::vector<std::string> titles) {
    for (auto& title : titles) {
        const bool right_aligned = title.starts_with('>');
        columns_.push_back({right_aligned ? title.substr(1) : std::move(title), right_aligned});
    }
}

void TextTable::add(std::vector<Cell> row) {
    row.resize(columns_.size());
    rows_.push_back(std::move(row));
}

void TextTable::print(std::ostream& out, bool colours_on) const {
    std::vector<Cell> titles;
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        titles.push_back({columns_[i].title, Colour::kBold});
        std::size_t width = display_width(columns_[i].title);
        for (const auto& row : rows_) width = std::max(width, display_width(row[i].text));
        widths.push_back(width);
    }
    print_row(out, titles, widths, colours_on);
    for (const auto& row : rows_) print_row(out, row, widths, colours_on);
}

void TextTable::print_row(std::ostream& out, const std::vector<Cell>& row,
                          const std::vector<std::size_t>& widths, bool colours_on) const {
    for (std::size_t i = 0; i < row.size(); ++i) {
        const std::string padding(widths[i] - display_width(row[i].text), ' ');
        const std::string text = painted(row[i].text, row[i].colour, colours_on);
        const bool last = i + 1 == row.size();
        if (columns_[i].right_aligned)
            out << padding << text;
        else
            out << text << (last ? "" : padding);
        out << (last ? "\n" : std::string(kGap, ' '));
    }
}

}  // namespace sluice
