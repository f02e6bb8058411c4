#include "base/clock.hpp"

#include <array>
#include <cstdio>
#include <ctime>

namespace sluice {
namespace {

Nanos read_clock(clockid_t id) {
    timespec now{};
    ::clock_gettime(id, &now);
    return static_cast<Nanos>(now.tv_sec) * kSecond + now.tv_nsec;
}

}  // namespace

Nanos monotonic_now() {
    return read_clock(CLOCK_MONOTONIC);
}

Nanos wall_now() {
    return read_clock(CLOCK_REALTIME);
}

Nanos wall_now_coarse() {
    return read_clock(CLOCK_REALTIME_COARSE);
}

Nanos ledger_time_at(Nanos monotonic) {
    static const Nanos offset = wall_now() - monotonic_now();
    return monotonic + offset;
}

Nanos ledger_now() {
    return ledger_time_at(monotonic_now());
}

std::string to_rfc3339(Nanos wall) {
    const std::time_t seconds = static_cast<std::time_t>(wall / kSecond);
    tm utc{};
    ::gmtime_r(&seconds, &utc);
    std::array<char, 64> text{};
    const int length = std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                                     utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                                     utc.tm_sec, static_cast<int>(wall % kSecond / kMillisecond));
    return {text.data(), static_cast<std::size_t>(length)};
}

}  // namespace sluice
