// The two clocks of Sluice, in nanoseconds. Logic takes a time as a parameter; only edges of the program call
// these.
#pragma once

#include <cstdint>
#include <string>

namespace sluice {

// Nanoseconds. A point in time says in its name or comment which clock it is of.
using Nanos = std::int64_t;

inline constexpr Nanos kMicrosecond = 1'000;
inline constexpr Nanos kMillisecond = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;
inline constexpr Nanos kMinute = 60 * kSecond;
inline constexpr Nanos kHour = 60 * kMinute;
inline constexpr Nanos kDay = 24 * kHour;

// CLOCK_MONOTONIC: the clock of bpf_ktime_get_ns(), of bans and of deadlines. Starts anew at boot.
Nanos monotonic_now();

// Nanoseconds since the Unix epoch that never step back while the process lives: the wall clock read once at
// start, carried on by CLOCK_MONOTONIC. The clock of windows and of everything that outlives the process.
Nanos ledger_now();
// What ledger_now() was or will be when monotonic_now() is `monotonic`: one reading of the clock serves both.
Nanos ledger_time_at(Nanos monotonic);

// CLOCK_REALTIME as it stands: for time stamps that people read, never for arithmetic on limits.
Nanos wall_now();
// The same as of the last tick of the kernel, up to 10 ms ago; does not read the counter, so it is cheaper.
Nanos wall_now_coarse();

// RFC 3339 in UTC with milliseconds: "2026-01-31T23:59:59.123Z".
std::string to_rfc3339(Nanos wall);

}  // namespace sluice
