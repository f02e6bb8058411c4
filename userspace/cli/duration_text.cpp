#include "cli/duration_text.hpp"

#include <array>
#include <charconv>

namespace sluice {
namespace {

struct Unit {
    char letter;
    std::int64_t seconds;
};
constexpr std::array<Unit, 4> kUnits{{{'d', 86'400}, {'h', 3'600}, {'m', 60}, {'s', 1}}};
constexpr std::int64_t kLongestSeconds = 366 * 86'400;

}  // namespace

Result<std::int64_t> parse_duration_s(std::string_view text) {
    const auto refuse = [&] {
        return Error{ErrorCode::kInvalid,
                     "\"" + std::string{text} +
                         "\" is no duration; write a number and a unit, such as 90s, 10m, "
                         "1h30m or 2d, from 1s to 366d"};
    };
    std::int64_t total = 0;
    std::size_t next_unit = 0;
    std::string_view rest = text;
    while (!rest.empty()) {
        std::uint32_t number = 0;
        const auto [end, failure] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
        if (failure != std::errc{} || end == rest.data() + rest.size()) return refuse();
        while (next_unit < kUnits.size() && kUnits[next_unit].letter != *end) ++next_unit;
        if (next_unit == kUnits.size()) return refuse();
        total += number * kUnits[next_unit++].seconds;
        rest.remove_prefix(static_cast<std::size_t>(end + 1 - rest.data()));
    }
    if (total < 1 || total > kLongestSeconds) return refuse();
    return total;
}

std::string format_duration_s(std::int64_t seconds) {
    std::string text;
    int units_written = 0;
    for (const auto& unit : kUnits) {
        const std::int64_t count = seconds / unit.seconds;
        if (count > 0) text += std::to_string(count) + unit.letter;
        if (count > 0 || units_written > 0) ++units_written;
        seconds -= count > 0 ? count * unit.seconds : 0;
        if (units_written == 2) break;
    }
    return text.empty() ? "0s" : text;
}

}  // namespace sluice
