// Why windows are exact here: what other algorithms admit of a limit of 100 in the worst trailing window,
// under an adversary who bursts at a boundary and keeps probing, and what this one does.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "fixtures.hpp"

namespace sluice {
namespace {

constexpr std::uint64_t kLimit = 100;
constexpr Nanos kWindow = kMinute;
constexpr Nanos kStart = 1000 * kWindow;

using Decide = std::function<bool(Nanos)>;

// The counter of most tutorials, INCR and EXPIRE: one number for each minute of the clock.
Decide fixed_window() {
    return [window = Nanos{-1}, count = std::uint64_t{0}](Nanos now) mutable {
        if (now / kWindow != window) {
            window = now / kWindow;
            count = 0;
        }
        if (count == kLimit) return false;
        ++count;
        return true;
    };
}

// Two counters, the former weighted by the share of it that the trailing window still covers.
Decide two_counters() {
    return [window = Nanos{-1}, count = 0.0, former = 0.0](Nanos now) mutable {
        if (now / kWindow != window) {
            former = now / kWindow == window + 1 ? count : 0;
            window = now / kWindow;
            count = 0;
        }
        const double share = 1.0 - static_cast<double>(now % kWindow) / static_cast<double>(kWindow);
        if (count + former * share + 1 > static_cast<double>(kLimit)) return false;
        ++count;
        return true;
    };
}

// A token bucket (or GCRA) whose burst is the limit.
Decide token_bucket() {
    return [tokens = static_cast<double>(kLimit), last = kStart](Nanos now) mutable {
        const double filled =
            static_cast<double>(now - last) * static_cast<double>(kLimit) / static_cast<double>(kWindow);
        tokens = std::min(static_cast<double>(kLimit), tokens + filled);
        last = now;
        if (tokens < 1) return false;
        --tokens;
        return true;
    };
}

Decide limiter(LimitAlgorithm algorithm) {
    return [limiter = std::make_shared<Limiter>(), algorithm](Nanos now) {
        Charge charge = test::charge_of(1, {kLimit, kWindow});
        charge.algorithm = algorithm;
        return test::admit_one(*limiter, charge, now).admitted;
    };
}
Decide trailing_window() {
    return limiter(LimitAlgorithm::kTrailing);
}
// What `algorithm: fixed` gives who asks for it.
Decide our_fixed_window() {
    return limiter(LimitAlgorithm::kFixed);
}

// The most admitted in any (t - window, t], over adversaries who burst at different points and then probe
// without pause.
std::uint64_t worst(const std::function<Decide()>& algorithm) {
    std::uint64_t worst = 0;
    for (int tenth = 0; tenth <= 10; ++tenth) {
        const Decide decide = algorithm();
        std::vector<Nanos> admitted;
        const auto ask = [&](Nanos now) {
            if (decide(now)) admitted.push_back(now);
        };
        const Nanos burst = kStart + tenth * kWindow / 10 - kMillisecond;
        for (std::uint64_t i = 0; i < 2 * kLimit; ++i) ask(burst);
        for (Nanos now = burst + kMillisecond; now < burst + 3 * kWindow; now += 20 * kMillisecond) ask(now);
        std::size_t first = 0;
        for (std::size_t last = 0; last < admitted.size(); ++last) {
            while (admitted[first] <= admitted[last] - kWindow) ++first;
            worst = std::max<std::uint64_t>(worst, last - first + 1);
        }
    }
    return worst;
}

TEST(WorstTrailingWindow, OfOneHundred) {
    EXPECT_EQ(worst(fixed_window), 200U);
    EXPECT_EQ(worst(two_counters), 199U);
    EXPECT_EQ(worst(token_bucket), 199U);
    EXPECT_EQ(worst(trailing_window), 100U);
    EXPECT_EQ(worst(our_fixed_window), 200U);
}

}  // namespace
}  // namespace sluice
