// Durations as people write and read them: "90s", "10m", "1h30m", "2d".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace sluice {

// Whole seconds, 1 s to 366 d. Units d, h, m and s, each at most once and in this order.
Result<std::int64_t> parse_duration_s(std::string_view text);

// The two largest units that are not zero: "2m53s", "1h", "3d4h"; below a second "0s".
std::string format_duration_s(std::int64_t seconds);

}  // namespace sluice
