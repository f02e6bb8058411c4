// What a 429 promises: the same request, made after Retry-After, is admitted.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "api/ratelimit_fields.hpp"
#include "limiter/limiter.hpp"

namespace sluice {
namespace {

// Limits above 256 keep slots, those below every time: both must keep the promise.
TEST(RetryAfter, TheSameRequestIsAdmittedThen) {
    const KeyHasher hasher{random_key_secret().value()};
    std::mt19937_64 random{7};
    for (const Rate rate : {Rate{3, 10 * kSecond}, Rate{100, kHour}, Rate{1000, kHour}, Rate{5000, kHour},
                            Rate{300, kMinute}, Rate{20'000, 24 * kHour}}) {
        Limiter limiter;
        const std::uint64_t limit = hasher.limit_id("limit");
        const Charge charge{.key = hasher.key(limit, hasher.subject(SubjectKind::kUser, "anna")),
                            .limit = limit,
                            .rate = rate};
        std::array<ChargeResult, 1> result;
        Nanos now = 1'700'000'000 * kSecond;
        const Nanos step = 3 * rate.window / static_cast<Nanos>(2 * rate.count);  // refused now and then
        int refusals = 0;
        for (std::uint64_t i = 0; i < 1000 + 4 * rate.count; ++i) {
            const Nanos pause = static_cast<Nanos>(random() % static_cast<std::uint64_t>(step));
            now += pause;
            const Admission admission = limiter.admit({&charge, 1}, now, result);
            if (admission.admitted) continue;
            ++refusals;
            const std::int64_t told_s = whole_seconds(admission.retry_at - now);
            ASSERT_TRUE(limiter.peek({&charge, 1}, now + told_s * kSecond, result).admitted)
                << rate.count << " in " << rate.window / kSecond << " s: not after " << told_s << " s";
        }
        EXPECT_GT(refusals, 100) << rate.count;
    }
}

}  // namespace
}  // namespace sluice
