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

TextTable::TextTable(const std::vector<std::string>& titles) {
    for (const auto& title : titles) {
        const bool right_aligned = title.starts_with('>'), if_any = title.starts_with('?');
        columns_.push_back({title.substr(right_aligned || if_any ? 1 : 0), right_aligned, if_any});
    }
}

void TextTable::add(std::vector<Cell> row) {
    row.resize(columns_.size());
    rows_.push_back(std::move(row));
}

void TextTable::print(std::ostream& out, bool colours_on) const {
    std::vector<Cell> titles;
    std::vector<std::size_t> widths;  // 0: left out
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        titles.push_back({columns_[i].title, Colour::kBold});
        std::size_t width = 0;
        for (const auto& row : rows_) width = std::max(width, display_width(row[i].text));
        const bool left_out = columns_[i].if_any && width == 0;
        widths.push_back(left_out ? 0 : std::max(width, display_width(columns_[i].title)));
    }
    print_row(out, titles, widths, colours_on);
    for (const auto& row : rows_) print_row(out, row, widths, colours_on);
}

void TextTable::print_row(std::ostream& out, const std::vector<Cell>& row,
                          const std::vector<std::size_t>& widths, bool colours_on) const {
    const auto shown = std::ranges::count_if(widths, [](std::size_t width) { return width > 0; });
    std::ptrdiff_t number = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
        if (widths[i] == 0) continue;
        const std::string padding(widths[i] - display_width(row[i].text), ' ');
        const std::string text = painted(row[i].text, row[i].colour, colours_on);
        const bool last = ++number == shown;
        if (columns_[i].right_aligned)
            out << padding << text;
        else
            out << text << (last ? "" : padding);
        out << (last ? "\n" : std::string(kGap, ' '));
    }
}

}  // namespace sluice
