// The limiter against the definition of a trailing window, over millions of requests: random, bursts at
// boundaries, probing, waiting exactly as told, several charges, costs.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <random>

#include "fixtures.hpp"

namespace sluice {
namespace {

using test::Oracle;

// In release all cases together are over 10 million requests; SLUICE_ORACLE_MILLIONS asks for about so many
// million instead (100 take some half a minute).
const std::uint64_t kRequests = [] {
    const char* const millions = std::getenv("SLUICE_ORACLE_MILLIONS");
    if (millions != nullptr) return std::strtoull(millions, nullptr, 10) * 1'000'000 / 14;
    return test::kSanitized ? 20'000ULL : 700'000ULL;
}();

// The year 2200: many million requests of a long window take centuries, and Nanos end in 2262.
constexpr Nanos kFarFuture = 84'000 * kDay;

enum class Pattern { kRandom, kBoundaryBursts, kProbing, kObedient };

struct Case {
    Rate rate;
    Pattern pattern;
    std::uint32_t max_cost;
    std::uint64_t keys;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << to_string(c.rate) << " pattern " << static_cast<int>(c.pattern) << " cost " << c.max_cost
               << " keys " << c.keys;
}

class OracleTest : public testing::TestWithParam<Case> {
  protected:
    // When the next request is made.
    Nanos step(Nanos now) {
        const Case& c = GetParam();
        const Nanos window = c.rate.window;
        const auto below = [&](Nanos n) {
            return n <= 1 ? 0 : static_cast<Nanos>(random_() % static_cast<std::uint64_t>(n));
        };
        const Nanos fair = window / static_cast<Nanos>(c.rate.count * c.keys) + 1;
        switch (c.pattern) {
            case Pattern::kRandom:
                return now + below(2 * fair);
            case Pattern::kBoundaryBursts: {
                // Everything at once just before or after a multiple of the window, of a slot or of half a
                // window.
                if (burst_-- > 0) return now + below(3);
                burst_ = static_cast<std::int64_t>(c.rate.count * c.keys * 2);
                const std::array<Nanos, 4> grids{window, window / 2 + 1, window / 1024 + 1,
                                                 window + window / 1024};
                const Nanos grid = grids[random_() % grids.size()];
                return std::max(now, (now / grid + 1) * grid - 2 + below(5));
            }
            case Pattern::kProbing:
                return now + below(fair / 4 + 2) + (random_() % 997 == 0 ? below(window) : 0);
            case Pattern::kObedient:
                return now + below(fair);
        }
        return now;
    }

    std::mt19937_64 random_{20'260'131};
    std::int64_t burst_ = 0;
};

TEST_P(OracleTest, AgreesWithEveryDecision) {
    const Case& c = GetParam();
    Limiter limiter{{.max_keys = 1'000'000, .max_bytes = std::size_t{1} << 30, .shards = 4}};
    // Each request is charged to its user, and every third also to a counter all share, as `ip` and `ai`
    // would be.
    const Rate shared_rate{c.rate.count * c.keys / 2 + 1, c.rate.window / 3 + 1};
    std::vector<Oracle> oracles(c.keys, Oracle{c.rate});
    Oracle shared{shared_rate};
    std::vector<KeyHash> keys;
    for (std::uint64_t i = 0; i < c.keys; ++i) keys.push_back(test::key_of("user", i));

    Nanos now = 1'700'000'000 * kSecond;
    Nanos told = 0;
    std::uint64_t admitted = 0;
    for (std::uint64_t n = 0; n < kRequests && now < kFarFuture; ++n) {
        now = step(now);
        if (c.pattern == Pattern::kObedient && told > now) now = told - static_cast<Nanos>(n % 2);
        const std::uint64_t user = random_() % c.keys;
        const auto cost = static_cast<std::uint32_t>(1 + random_() % c.max_cost);
        std::array charges{
            Charge{.key = keys[user], .limit = 1, .rate = c.rate, .cost = cost},
            Charge{.key = test::key_of("shared", 0), .limit = 2, .rate = shared_rate, .cost = cost}};
        const std::size_t used = n % 3 == 0 ? 2 : 1;
        std::array<ChargeResult, 2> results;
        const Admission got = limiter.admit(std::span{charges}.first(used), now, results);

        const bool must_refuse =
            oracles[user].must_refuse(now, cost) || (used == 2 && shared.must_refuse(now, cost));
        const bool must_admit =
            oracles[user].must_admit(now, cost) && (used == 1 || shared.must_admit(now, cost));
        ASSERT_FALSE(got.admitted && must_refuse) << "over the limit, request " << n << " at " << now;
        ASSERT_FALSE(!got.admitted && must_admit)
            << "held back without reason, request " << n << " at " << now;
        if (got.admitted) {
            ++admitted;
            oracles[user].admitted(now, cost);
            if (used == 2) shared.admitted(now, cost);
        }
        told = got.retry_at == kNever ? 0 : got.retry_at;
    }
    EXPECT_GT(admitted, 0U);
    if (!test::kSanitized) {
        EXPECT_LT(admitted, kRequests) << "enough was asked for";
    }
}

INSTANTIATE_TEST_SUITE_P(
    , OracleTest,
    testing::Values(Case{{1, kSecond}, Pattern::kRandom, 1, 3}, Case{{100, kHour}, Pattern::kRandom, 1, 50},
                    Case{{100, kHour}, Pattern::kBoundaryBursts, 1, 3},
                    Case{{100, kHour}, Pattern::kProbing, 3, 5}, Case{{50, kHour}, Pattern::kObedient, 1, 1},
                    Case{{200, kHour}, Pattern::kObedient, 4, 2}, Case{{256, kDay}, Pattern::kProbing, 1, 7},
                    Case{{257, 10 * kSecond}, Pattern::kProbing, 1, 7},
                    Case{{1000, kHour}, Pattern::kBoundaryBursts, 1, 2},
                    Case{{1000, kHour}, Pattern::kRandom, 1, 20}, Case{{5000, kHour}, Pattern::kRandom, 2, 4},
                    Case{{5000, kHour}, Pattern::kObedient, 5, 1},
                    Case{{5000, kHour}, Pattern::kBoundaryBursts, 7, 2},
                    Case{{100'000, kMinute}, Pattern::kObedient, 1, 1}, Case{{3, 7}, Pattern::kRandom, 2, 2},
                    Case{{2000, 30 * kDay}, Pattern::kProbing, 1, 3}));

// A table that is always full: keys are reclaimed, shared and merged all the time. Who has a counter is held
// to it exactly; the others together get one limit's worth more.
TEST(FullTable, AdmitsNoMoreThanStated) {
    constexpr std::uint64_t kKeys = 300;
    const Rate rate{5, kSecond};
    const Rate busy_rate{200, kSecond};
    Limiter limiter{{.max_keys = 60, .max_bytes = 8'000, .shards = 1}};
    std::vector<Oracle> oracles(kKeys, Oracle{{2 * rate.count, rate.window}});
    std::vector<Oracle> busy(3, Oracle{busy_rate});
    std::mt19937_64 random{3};
    Nanos now = kSecond;
    std::uint64_t refused = 0;
    for (std::uint64_t n = 0; n < kRequests / 2; ++n) {
        now += static_cast<Nanos>(random() % kMillisecond);
        const std::uint64_t a = random() % kKeys;
        const std::uint64_t b = (a + 1 + random() % (kKeys - 1)) % kKeys;
        const std::uint64_t c = random() % busy.size();
        const std::array charges{test::charge_of(a, rate), test::charge_of(c, busy_rate, 1, "busy"),
                                 test::charge_of(b, rate)};
        std::array<ChargeResult, 3> results;
        const std::size_t used = 1 + n % 3;
        if (!limiter.admit(std::span{charges}.first(used), now, results).admitted) {
            ++refused;
            continue;
        }
        ASSERT_FALSE(oracles[a].must_refuse(now, 1)) << n;
        oracles[a].admitted(now, 1);
        if (used > 1) {
            ASSERT_FALSE(busy[c].must_refuse(now, 1)) << n;
            busy[c].admitted(now, 1);
        }
        if (used > 2) {
            ASSERT_FALSE(oracles[b].must_refuse(now, 1)) << n;
            oracles[b].admitted(now, 1);
        }
    }
    EXPECT_GT(refused, 0U);
    EXPECT_GT(limiter.stats().overflowed, 0U);
    EXPECT_GT(limiter.stats().reclaimed, 0U);
    if (!test::kSanitized) {
        EXPECT_GT(limiter.stats().merged, 0U) << "busy enough for it";
    }
    EXPECT_LE(limiter.stats().keys, 60U);
    EXPECT_LE(limiter.stats().bytes, 8'000U);
}

}  // namespace
}  // namespace sluice
