// Upper bounds of our histograms, in nanoseconds.
#pragma once

#include <array>

#include "base/clock.hpp"

namespace sluice {

// OpenTelemetry's advice for HTTP (5 ms … 10 s), and two below it, where refused requests lie.
inline constexpr std::array<Nanos, 16> kRequestDurationBounds{
    kMillisecond,       2'500'000,          5 * kMillisecond,   10 * kMillisecond,
    25 * kMillisecond,  50 * kMillisecond,  75 * kMillisecond,  100 * kMillisecond,
    250 * kMillisecond, 500 * kMillisecond, 750 * kMillisecond, kSecond,
    2'500'000'000,      5 * kSecond,        7'500'000'000,      10 * kSecond};

// A decision takes some hundred nanoseconds: 250 ns … 10 ms.
inline constexpr std::array<Nanos, 14> kDecisionBounds{
    250,    500,     kMicrosecond, 2'500,   5 * kMicrosecond, 10 * kMicrosecond, 25 * kMicrosecond,
    50'000, 100'000, 250'000,      500'000, kMillisecond,     5 * kMillisecond,  10 * kMillisecond};

// Up to and beyond the 100 ms that limiting and monitoring may add together.
inline constexpr std::array<Nanos, 14> kAddedLatencyBounds{10'000,
                                                           25'000,
                                                           50'000,
                                                           100'000,
                                                           250'000,
                                                           500'000,
                                                           kMillisecond,
                                                           2'500'000,
                                                           5 * kMillisecond,
                                                           10 * kMillisecond,
                                                           25 * kMillisecond,
                                                           50 * kMillisecond,
                                                           100 * kMillisecond,
                                                           kSecond};

}  // namespace sluice
