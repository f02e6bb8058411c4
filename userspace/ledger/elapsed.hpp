// How much time passed between two processes, when the wall clock cannot be trusted to say.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "base/clock.hpp"

namespace sluice {

// One moment by the ledger's clock and by the boot's.
struct Moment {
    Nanos ledger = 0;
    Nanos since_boot = 0;            // CLOCK_BOOTTIME: counts suspension, not settings of the clock
    std::array<char, 36> boot_id{};  // /proc/sys/kernel/random/boot_id; zeros: unknown

    bool operator==(const Moment&) const = default;
};

// `ledger_time` with this boot's clock and identity.
Moment moment_at(Nanos ledger_time);

// By how much to move times of `then`'s ledger clock so that they fit `now`'s. Within one boot the boot's
// clock says how much time passed; a difference below kClockTolerance is left alone. Across boots a clock
// that is not behind is believed; one that is behind counts as no time passed.
// The tolerance covers the time between the reading of `now` and of the boot's clock, which a slow disk may
// stretch: what was spent before a restart may leave its window by as much too early or too late.
inline constexpr Nanos kClockTolerance = kSecond;
Nanos clock_shift(const Moment& then, const Moment& now);

}  // namespace sluice
