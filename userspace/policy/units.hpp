// Rates and durations as people write them: "100/h", "20/15m", "60s".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "policy/policy.hpp"

namespace sluice {

inline constexpr std::string_view kRateForm =
    "N/s, N/m, N/h, N/d or N per whole units such as N/15m, N from 1";
inline constexpr std::string_view kDurationForm = "a whole number and s, m, h or d, such as 60s, 10m, 1h";

// Decimal digits only, without a leading zero unless the number is 0.
std::optional<std::uint64_t> parse_number(std::string_view text);

// "N/U" or "N/KU" with N ≥ 1, K ≥ 1 and U one of s, m, h, d; decimal digits only, no sign, space or leading
// zero. nullopt for anything else and for what overflows. Bounds are the caller's to check.
std::optional<Rate> parse_rate(std::string_view text);

// "KU", K ≥ 0, same units.
std::optional<Nanos> parse_duration(std::string_view text);

// The shortest exact spelling in whole units: 3600 s is "1h", 90 s is "90s". Below a second: "250ms", "10ns".
std::string format_duration(Nanos duration);

}  // namespace sluice
