// What a host knows of Redis's clock without having one in common: it can't be later than what was read, plus the time that
// passed here since the question was sent, plus what clocks differ in speed. A clock that is set forward, or a replica whose
// clock is ahead, is not believed; one that goes back is followed at once.
//
// Pure; not thread-safe.
#pragma once

#include <algorithm>
#include <optional>

#include "base/clock.hpp"

namespace sluice {

class RedisClock {
  public:
    // The latest Redis's clock can be at `now` (a monotonic clock of this host), in microseconds; 0: not known.
    std::int64_t latest_us(Nanos now) const { return base_ ? latest(now) / kMicrosecond + 1 : 0; }

    // An answer read `redis_us`; its question was sent at `sent`.
    void observe(Nanos sent, std::int64_t redis_us) {
        const Nanos time = redis_us * kMicrosecond;
        if (base_ && time > latest(sent)) return;
        base_ = time;
        at_ = sent;
    }

  private:
    // NTP slews by up to 500 per million, and quartz errs by 100 on either side.
    static constexpr std::int64_t kDriftPerMillion = 1000;

    Nanos latest(Nanos now) const {
        const Nanos passed = now - at_;
        return *base_ + passed + passed / 1'000'000 * kDriftPerMillion;
    }

    std::optional<Nanos> base_;
    Nanos at_ = 0;
};

}  // namespace sluice
