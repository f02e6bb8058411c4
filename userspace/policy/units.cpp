#include "policy/units.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace sluice {
namespace {

constexpr std::array<std::pair<char, Nanos>, 4> kUnits{
    {{'d', kDay}, {'h', kHour}, {'m', kMinute}, {'s', kSecond}}};

std::optional<Nanos> unit_of(char letter) {
    for (const auto& [name, length] : kUnits)
        if (name == letter) return length;
    return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) {
    if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
    std::uint64_t number = 0;
    const auto* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{} || stop != end) return std::nullopt;
    return number;
}

std::optional<Nanos> parse_duration(std::string_view text) {
    if (text.size() < 2) return std::nullopt;
    const auto unit = unit_of(text.back());
    const auto number = parse_number(text.substr(0, text.size() - 1));
    if (!unit || !number) return std::nullopt;
    if (*number > static_cast<std::uint64_t>(std::numeric_limits<Nanos>::max() / *unit)) return std::nullopt;
    return static_cast<Nanos>(*number) * *unit;
}

std::optional<Rate> parse_rate(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto count = parse_number(text.substr(0, slash));
    const auto per = text.substr(slash + 1);
    const auto window = per.size() == 1 ? unit_of(per.front()) : parse_duration(per);
    if (!count || *count == 0 || !window || *window == 0) return std::nullopt;
    return Rate{*count, *window};
}

std::string format_duration(Nanos duration) {
    if (duration == 0) return "0s";
    for (const auto& [name, length] : kUnits)
        if (duration % length == 0) return std::to_string(duration / length) + name;
    if (duration % kMillisecond == 0) return std::to_string(duration / kMillisecond) + "ms";
    return std::to_string(duration) + "ns";
}

std::string to_string(const Rate& rate) {
    if (rate.at_once()) return std::to_string(rate.count) + " concurrent";
    for (const auto& [name, length] : kUnits)
        if (rate.window == length) return std::to_string(rate.count) + "/" + name;
    return std::to_string(rate.count) + "/" + format_duration(rate.window);
}

}  // namespace sluice
