// One decision at a time: what is told, all or nothing, shadow, live changes, bounded memory.
#include "limiter/limiter.hpp"

#include <gtest/gtest.h>

#include <array>

#include "fixtures.hpp"

namespace sluice {
namespace {

using test::admit_one;
using test::charge_of;

constexpr Nanos kStart = 1'700'000'000 * kSecond;
constexpr LimiterConfig kOneShard{.max_keys = 100'000, .max_bytes = 64 << 20, .shards = 1};

TEST(Limiter, HundredthIsAdmittedHundredAndFirstIsNot) {
    Limiter limiter;
    const Charge charge = charge_of(1, {100, kHour});
    ChargeResult result;
    for (std::uint64_t i = 1; i <= 100; ++i) {
        ASSERT_TRUE(admit_one(limiter, charge, kStart, &result).admitted);
        EXPECT_EQ(result.used, i);
        EXPECT_EQ(result.remaining, 100 - i);
        EXPECT_FALSE(result.refused);
    }
    const Admission refused = admit_one(limiter, charge, kStart + kMinute, &result);
    EXPECT_FALSE(refused.admitted);
    EXPECT_TRUE(result.refused);
    EXPECT_EQ(result.used, 100U);
    EXPECT_EQ(result.remaining, 0U);
    EXPECT_EQ(refused.retry_at, result.retry_at);
    EXPECT_GE(result.retry_at, kStart + kHour);
    EXPECT_LE(result.retry_at, kStart + kHour + test::slack_of(charge.rate));
    EXPECT_EQ(result.reset_at, result.retry_at);
}

TEST(Limiter, NoChargesAreAdmitted) {
    Limiter limiter;
    EXPECT_TRUE(limiter.admit({}, kStart, {}).admitted);
}

TEST(Limiter, MoreChargesThanAllowedAreRefusedAsAWhole) {
    Limiter limiter;
    std::vector<Charge> charges;
    for (std::uint64_t i = 0; i <= kMaxCharges; ++i) charges.push_back(charge_of(i, {10, kHour}));
    std::vector<ChargeResult> results(charges.size());
    EXPECT_FALSE(limiter.admit(charges, kStart, results).admitted);
    EXPECT_EQ(limiter.stats().keys, 0U);
    charges.pop_back();
    EXPECT_TRUE(limiter.admit(charges, kStart, results).admitted);
    EXPECT_EQ(limiter.stats().keys, kMaxCharges);
}

TEST(Limiter, RetryTimeIsExactAndNotAMomentEarlier) {
    for (const Rate rate : {Rate{3, kHour}, Rate{100, kMinute}, Rate{256, kSecond}, Rate{300, kHour}}) {
        Limiter limiter;
        const Charge charge = charge_of(1, rate);
        Nanos now = kStart;
        Admission last;
        for (std::uint64_t i = 0; i <= rate.count; ++i)
            last = admit_one(limiter, charge, now += 12'345, nullptr);
        ASSERT_FALSE(last.admitted);
        for (int i = 0; i < 20; ++i) {
            EXPECT_FALSE(admit_one(limiter, charge, last.retry_at - 1).admitted);
            EXPECT_TRUE(admit_one(limiter, charge, last.retry_at).admitted) << to_string(rate);
            // In a slot several leave at once: use them up.
            do last = admit_one(limiter, charge, last.retry_at);
            while (last.admitted);
        }
    }
}

TEST(Limiter, RetryTimeOfAnEarlyAskerIsTheTrueOneInExactMode) {
    Limiter limiter;
    const Charge charge = charge_of(1, {2, kHour});
    admit_one(limiter, charge, kStart);
    admit_one(limiter, charge, kStart + 10 * kMinute);
    const Admission refused = admit_one(limiter, charge, kStart + 20 * kMinute);
    EXPECT_GE(refused.retry_at, kStart + kHour);
    EXPECT_LT(refused.retry_at, kStart + kHour + 10 * kMicrosecond);
}

TEST(Limiter, RetryTimeCoversEveryRefusingCharge) {
    Limiter limiter;
    const std::array charges{charge_of(1, {1, kMinute}, 1, "a"), charge_of(1, {1, kHour}, 1, "b"),
                             charge_of(1, {100, kDay}, 1, "c")};
    std::array<ChargeResult, 3> results;
    ASSERT_TRUE(limiter.admit(charges, kStart, results).admitted);
    const Admission refused = limiter.admit(charges, kStart + kSecond, results);
    EXPECT_FALSE(refused.admitted);
    EXPECT_EQ(refused.retry_at, results[1].retry_at);
    EXPECT_LT(results[0].retry_at, results[1].retry_at);
    EXPECT_EQ(results[2].retry_at, kStart + kSecond) << "it fits";
    EXPECT_FALSE(results[2].refused);
    EXPECT_TRUE(limiter.admit(charges, refused.retry_at, results).admitted);
}

TEST(Limiter, RefusedRequestChangesNoCounter) {
    Limiter limiter;
    const Charge full = charge_of(1, {1, kHour}, 1, "full");
    ASSERT_TRUE(admit_one(limiter, full, kStart).admitted);
    for (std::size_t at = 0; at < 16; ++at) {  // whichever of sixteen refuses
        std::vector<Charge> charges;
        for (std::uint64_t i = 0; i < 16; ++i) charges.push_back(charge_of(100 + i, {10, kHour}, 1, "free"));
        charges[at] = full;
        std::vector<ChargeResult> results(charges.size());
        EXPECT_FALSE(limiter.admit(charges, kStart, results).admitted);
        for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(results[i].refused, i == at);
    }
    for (std::uint64_t i = 0; i < 16; ++i) {
        EXPECT_EQ(limiter.usage(charge_of(100 + i, {10, kHour}, 1, "free").key, {10, kHour}, kStart).used,
                  0U);
    }
    EXPECT_EQ(limiter.usage(full.key, full.rate, kStart).used, 1U);
    EXPECT_EQ(limiter.stats().keys, 1U) << "not even an empty counter is left";
}

TEST(Limiter, OneCounterChargedTwiceCountsTwiceOrNotAtAll) {
    Limiter limiter;
    const std::array charges{charge_of(1, {3, kHour}), charge_of(1, {3, kHour})};
    std::array<ChargeResult, 2> results;
    EXPECT_TRUE(limiter.admit(charges, kStart, results).admitted);
    EXPECT_EQ(results[1].used, 2U);
    EXPECT_FALSE(limiter.admit(charges, kStart, results).admitted) << "one would fit, two do not";
    EXPECT_EQ(limiter.usage(charges[0].key, charges[0].rate, kStart).used, 2U);
}

TEST(Limiter, CostsCountAndWhatIsLargerThanItsLimitNeverFits) {
    Limiter limiter;
    EXPECT_TRUE(admit_one(limiter, charge_of(1, {10, kHour}, 7), kStart).admitted);
    ChargeResult result;
    EXPECT_FALSE(admit_one(limiter, charge_of(1, {10, kHour}, 4), kStart, &result).admitted);
    EXPECT_EQ(result.remaining, 3U);
    EXPECT_TRUE(admit_one(limiter, charge_of(1, {10, kHour}, 3), kStart).admitted);
    EXPECT_EQ(admit_one(limiter, charge_of(2, {10, kHour}, 11), kStart).retry_at, kNever);
    EXPECT_EQ(admit_one(limiter, charge_of(3, {0, kHour}), kStart).retry_at, kNever);
}

TEST(Limiter, ShadowReportsWhatItWouldRefuseAndRefusesNothing) {
    Limiter limiter;
    const std::array charges{charge_of(1, {100, kHour}, 1, "enforced"),
                             charge_of(1, {2, kHour}, 1, "trial", LimitMode::kShadow)};
    std::array<ChargeResult, 2> results;
    for (int i = 0; i < 5; ++i) {
        EXPECT_TRUE(limiter.admit(charges, kStart, results).admitted);
        EXPECT_EQ(results[1].refused, i >= 2);
        EXPECT_EQ(results[1].used, i >= 2 ? 2U : static_cast<unsigned>(i) + 1) << "as if it were enforced";
        EXPECT_EQ(results[0].used, static_cast<unsigned>(i) + 1);
    }
    EXPECT_GT(results[1].retry_at, kStart);
}

TEST(Limiter, PeekSaysWhatAdmitWouldAndCountsNothing) {
    Limiter limiter;
    const std::array charges{charge_of(1, {2, kHour}, 1, "a"), charge_of(1, {5, kHour}, 1, "b")};
    std::array<ChargeResult, 2> results;
    std::array<ChargeResult, 2> peeked;
    for (int i = 0; i < 4; ++i) {
        const Admission would = limiter.peek(charges, kStart, peeked);
        EXPECT_EQ(limiter.peek(charges, kStart, peeked).admitted, would.admitted);
        const Admission did = limiter.admit(charges, kStart, results);
        EXPECT_EQ(would.admitted, did.admitted);
        EXPECT_EQ(would.retry_at, did.retry_at);
        EXPECT_EQ(peeked[0].used + (did.admitted ? 1 : 0), results[0].used);
    }
}

TEST(Limiter, ResetForgetsOneKey) {
    Limiter limiter;
    const Charge one = charge_of(1, {1, kHour});
    const Charge other = charge_of(2, {1, kHour});
    admit_one(limiter, one, kStart);
    admit_one(limiter, other, kStart);
    EXPECT_TRUE(limiter.reset(one.key, kStart));
    EXPECT_FALSE(limiter.reset(one.key, kStart));
    EXPECT_FALSE(limiter.reset(test::key_of("unknown", 1), kStart));
    EXPECT_TRUE(admit_one(limiter, one, kStart).admitted);
    EXPECT_FALSE(admit_one(limiter, other, kStart).admitted);
}

TEST(Limiter, RateChangedLiveKeepsWhatWasSpent) {
    // Through every kind: exact ↔ slots, shorter ↔ longer windows, by factors that change the ticks.
    const std::array rates{Rate{100, kHour},    Rate{1000, kHour}, Rate{200, 2 * kHour}, Rate{5000, kDay},
                           Rate{60, 30 * kDay}, Rate{100, kHour},  Rate{500, kMinute},   Rate{50, kHour}};
    Limiter limiter;
    Nanos now = kStart;
    std::uint64_t spent = 0;
    for (const Rate& rate : rates) {
        const Charge charge = charge_of(1, rate);
        ChargeResult result;
        for (int i = 0; i < 5; ++i)
            ASSERT_TRUE(admit_one(limiter, charge, now += kMillisecond, &result).admitted);
        spent += 5;
        EXPECT_EQ(result.used, spent) << to_string(rate);
    }
    EXPECT_FALSE(admit_one(limiter, charge_of(1, {40, kHour}), now).admitted) << "lowered to what is spent";
    EXPECT_FALSE(admit_one(limiter, charge_of(1, {20, kHour}), now).admitted) << "lowered below it";
    EXPECT_TRUE(admit_one(limiter, charge_of(1, {41, kHour}), now).admitted);
}

TEST(Limiter, FixedWindowsTurnWithTheClock) {
    Limiter limiter;
    Charge charge = charge_of(1, {100, kHour});
    charge.algorithm = LimitAlgorithm::kFixed;
    const Nanos turn = (kStart / kHour + 1) * kHour;
    std::uint64_t admitted = 0;
    for (int i = 0; i < 150; ++i) admitted += admit_one(limiter, charge, turn - kSecond).admitted;
    EXPECT_EQ(admitted, 100U);
    EXPECT_EQ(admit_one(limiter, charge, turn - 1).retry_at, turn);
    for (int i = 0; i < 150; ++i) admitted += admit_one(limiter, charge, turn).admitted;
    EXPECT_EQ(admitted, 200U) << "the weakness it is documented with";
    // Made exact, it goes on with what was spent since the turn.
    charge.algorithm = LimitAlgorithm::kTrailing;
    EXPECT_FALSE(admit_one(limiter, charge, turn + kMinute).admitted);
    EXPECT_TRUE(admit_one(limiter, charge, turn + kHour).admitted);
}

TEST(Limiter, RefundGivesBackWhatTheRequestWasCharged) {
    Limiter limiter;
    for (const Rate rate : {Rate{20, kHour}, Rate{1000, kHour}}) {
        const std::array charges{
            charge_of(1, rate, 15, to_string(rate)),
            charge_of(1, {5, kHour}, 1, to_string(rate) + " shadow", LimitMode::kShadow)};
        std::array<ChargeResult, 2> results;
        ASSERT_TRUE(limiter.admit(charges, kStart, results).admitted);
        const Nanos later = kStart + 10 * kMinute;
        ASSERT_TRUE(admit_one(limiter, charge_of(1, rate, 3, to_string(rate)), later).admitted);
        limiter.refund(charges, results, kStart);
        EXPECT_EQ(limiter.usage(charges[0].key, rate, later).used, 3U) << to_string(rate);
        EXPECT_EQ(limiter.usage(charges[1].key, {5, kHour}, later).used, 0U);
        // What is left is the later request, for as long as it counts.
        EXPECT_EQ(limiter.usage(charges[0].key, rate, kStart + kHour + kMinute).used, 3U);
        EXPECT_EQ(limiter.usage(charges[0].key, rate, later + kHour + kMinute).used, 0U);
    }
}

TEST(Limiter, RefundNeverGivesMoreThanWasSpent) {
    Limiter limiter{{.max_keys = 2, .max_bytes = 64 << 20, .shards = 1}};
    const Rate rate{10, kHour};
    Nanos now = kStart;
    for (const LimitAlgorithm algorithm : {LimitAlgorithm::kTrailing, LimitAlgorithm::kFixed}) {
        now += 4 * kHour;
        std::array charges{charge_of(1, rate, 4)};
        charges[0].algorithm = algorithm;
        std::array<ChargeResult, 1> results;
        ASSERT_TRUE(limiter.admit(charges, now, results).admitted);
        // Its request has left the window: what others spent since stays.
        const Nanos later = now + 2 * kHour;
        charges[0].cost = 2;
        ASSERT_TRUE(admit_one(limiter, charges[0], later).admitted);
        charges[0].cost = 4;
        limiter.refund(charges, results, now);
        EXPECT_EQ(limiter.usage(charges[0].key, rate, later).used, 2U);
    }
    // A shadow's refusal was never counted.
    const Nanos later = now + 3 * kHour;
    std::array<ChargeResult, 1> results;
    const std::array shadow{charge_of(2, {1, kHour}, 1, "limit", LimitMode::kShadow)};
    ASSERT_TRUE(limiter.admit(shadow, later, results).admitted);
    ASSERT_TRUE(limiter.admit(shadow, later, results).admitted);
    ASSERT_TRUE(results[0].refused);
    limiter.refund(shadow, results, later);
    EXPECT_EQ(limiter.usage(shadow[0].key, {1, kHour}, later).used, 1U);
    // Nor is what the overflow counter judged this key's own.
    const std::array other{charge_of(3, rate)};
    ASSERT_TRUE(admit_one(limiter, charge_of(1, rate), later).admitted);  // both places are taken
    ASSERT_TRUE(limiter.admit(other, later, results).admitted);
    EXPECT_TRUE(results[0].shared);
    limiter.refund(other, results, later);
    EXPECT_EQ(limiter.stats().keys, 2U);
}

TEST(Limiter, WindowMadeShorterLetsTheOlderGo) {
    Limiter limiter;
    for (int i = 0; i < 10; ++i) admit_one(limiter, charge_of(1, {10, kHour}), kStart + i * kMinute);
    const Nanos now = kStart + 10 * kMinute;
    EXPECT_EQ(limiter.usage(test::key_of("limit", 1), {10, 3 * kMinute + kSecond}, now).used, 3U);
    ChargeResult result;
    EXPECT_TRUE(admit_one(limiter, charge_of(1, {10, 3 * kMinute + kSecond}), now, &result).admitted);
    EXPECT_EQ(result.used, 4U);
}

TEST(Limiter, TimeThatGoesBackCountsAsTheNewestSeen) {
    Limiter limiter{kOneShard};
    const Charge charge = charge_of(1, {1, kSecond});
    admit_one(limiter, charge, kStart);
    EXPECT_TRUE(admit_one(limiter, charge, kStart + 2 * kSecond).admitted);
    // Were it believed, this would be a second request within the second before kStart + 2 s.
    EXPECT_FALSE(admit_one(limiter, charge, kStart + kSecond + kMillisecond).admitted);
}

TEST(Limiter, SweepFreesExpiredKeysAndOnlyThose) {
    Limiter limiter{{.max_keys = 100'000, .max_bytes = 64 << 20, .shards = 8}};
    for (std::uint64_t i = 0; i < 100'000; ++i) {  // ten each: more than a place holds without a block
        const Rate rate{10, i % 2 == 0 ? kSecond : kHour};
        ASSERT_TRUE(admit_one(limiter, charge_of(i % 10'000, rate), kStart + static_cast<Nanos>(i)).admitted);
    }
    const std::uint64_t bytes = limiter.stats().bytes;
    EXPECT_EQ(limiter.sweep(kStart + kMillisecond, 1'000'000), 0U);
    std::size_t freed = 0;
    for (int i = 0; i < 1000; ++i) freed += limiter.sweep(kStart + 2 * kSecond, 500);
    EXPECT_EQ(freed, 5000U);
    EXPECT_EQ(limiter.stats().keys, 5000U);
    EXPECT_EQ(limiter.stats().reclaimed, 5000U);
    EXPECT_LT(limiter.stats().bytes, bytes);
    for (std::uint64_t i = 1; i < 10'000; i += 2) {
        ASSERT_EQ(limiter.usage(test::key_of("limit", i), {10, kHour}, kStart + 2 * kSecond).used, 10U);
    }
    for (int i = 0; i < 10; ++i) limiter.sweep(kStart + 2 * kHour, 1'000'000);
    EXPECT_EQ(limiter.stats().keys, 0U);
}

TEST(Limiter, NewKeysBeyondTheBoundShareOneStrictCounter) {
    Limiter limiter{{.max_keys = 100, .max_bytes = 64 << 20, .shards = 1}};
    const Rate rate{10, kHour};
    for (std::uint64_t i = 0; i < 100; ++i)
        ASSERT_TRUE(admit_one(limiter, charge_of(i, rate), kStart).admitted);
    std::uint64_t admitted = 0;
    for (std::uint64_t i = 100; i < 10'000; ++i)
        admitted += admit_one(limiter, charge_of(i, rate), kStart).admitted;
    EXPECT_EQ(admitted, 10U) << "all of them together get what one key would";
    EXPECT_EQ(limiter.stats().keys, 100U);
    EXPECT_EQ(limiter.stats().overflowed, 9900U);
    // Those with a counter go on as before; another limit has another counter.
    EXPECT_TRUE(admit_one(limiter, charge_of(5, rate), kStart).admitted);
    EXPECT_TRUE(admit_one(limiter, charge_of(20'000, rate, 1, "other"), kStart).admitted);
    EXPECT_FALSE(admit_one(limiter, charge_of(20'000, rate), kStart).admitted);
    // When keys expire, room is made without a sweep.
    const Nanos later = kStart + 2 * kHour;
    for (std::uint64_t i = 0; i < 100; ++i)
        EXPECT_TRUE(admit_one(limiter, charge_of(50'000 + i, rate), later).admitted);
    EXPECT_EQ(limiter.stats().overflowed, 9902U);
}

TEST(Limiter, RequestRefusedByTheOverflowCounterLeavesNothingBehind) {
    Limiter limiter{{.max_keys = 2, .max_bytes = 64 << 20, .shards = 1}};
    const Rate rate{1, kHour};
    admit_one(limiter, charge_of(1, rate, 1, "a"), kStart);
    ASSERT_TRUE(admit_one(limiter, charge_of(9, rate, 1, "b"), kStart).admitted);
    ASSERT_TRUE(admit_one(limiter, charge_of(2, rate, 1, "b"), kStart).admitted)
        << "b's overflow counter, now full";
    limiter.reset(test::key_of("a", 1), kStart);
    limiter.sweep(kStart, 1000);
    ASSERT_EQ(limiter.stats().keys, 1U);
    // The first charge gets the free place, the second is refused by the overflow counter.
    const std::array charges{charge_of(3, rate, 1, "a"), charge_of(3, rate, 1, "b")};
    std::array<ChargeResult, 2> results;
    EXPECT_FALSE(limiter.admit(charges, kStart, results).admitted);
    EXPECT_FALSE(results[0].refused);
    EXPECT_TRUE(results[1].refused);
    EXPECT_EQ(limiter.stats().keys, 1U);
    EXPECT_TRUE(admit_one(limiter, charges[0], kStart).admitted);
}

TEST(Limiter, BytesAreBoundedAndBusyKeysGetStricterNotFreer) {
    constexpr std::size_t kBytes = 200'000;
    Limiter limiter{{.max_keys = 1'000'000, .max_bytes = kBytes, .shards = 1}};
    const Rate rate{200, kHour};
    Nanos now = kStart;
    std::array<std::uint64_t, 400> admitted{};
    for (int round = 0; round < 250; ++round) {
        for (std::uint64_t i = 0; i < admitted.size(); ++i) {
            admitted[i] += admit_one(limiter, charge_of(i, rate), now += kMillisecond).admitted;
        }
    }
    EXPECT_LE(limiter.stats().bytes, kBytes);
    EXPECT_GT(limiter.stats().merged, 0U);
    for (const std::uint64_t count : admitted) EXPECT_EQ(count, 200U);
    // What was merged still counts until the later of its times.
    EXPECT_FALSE(admit_one(limiter, charge_of(0, rate), kStart + kHour).admitted);
    EXPECT_TRUE(admit_one(limiter, charge_of(0, rate), now + kHour + kSecond).admitted);
}

TEST(Limiter, StoredStateComesBackEqual) {
    const LimiterConfig config{.max_keys = 1000, .max_bytes = 64 << 20, .shards = 4, .track_changes = true};
    Limiter limiter{config};
    const std::array rates{Rate{100, kHour}, Rate{5000, kHour}, Rate{256, 30 * kDay}, Rate{10, kSecond}};
    Nanos now = kStart;
    for (int i = 0; i < 400; ++i) {
        for (std::size_t r = 0; r < rates.size(); ++r) {
            admit_one(limiter, charge_of(r, rates[r], 1 + static_cast<unsigned>(i) % 3),
                      now += 7 * kMillisecond);
        }
    }
    KeyBatch batch;
    EXPECT_EQ(limiter.drain_changes(3, batch), 3U);
    EXPECT_EQ(limiter.drain_changes(100, batch), 1U);
    EXPECT_EQ(limiter.drain_changes(100, batch), 0U);
    Limiter restored{config};
    for (std::size_t i = 0; i < batch.size(); ++i) {
        EXPECT_EQ(restored.restore(batch[i].key, batch[i].state, 0, now), RestoreOutcome::kRestored);
        EXPECT_EQ(restored.restore(batch[i].key, batch[i].state, 0, batch[i].expires_at),
                  RestoreOutcome::kExpired);
        for (std::size_t byte = 0; byte < batch[i].state.size(); ++byte) {  // any damage is noticed
            std::string damaged{batch[i].state};
            damaged[byte] = static_cast<char>(damaged[byte] ^ 0x10);
            EXPECT_EQ(restored.restore(batch[i].key, damaged, 0, now), RestoreOutcome::kDamaged);
            EXPECT_EQ(restored.restore(batch[i].key, batch[i].state.substr(0, byte), 0, now),
                      RestoreOutcome::kDamaged);
        }
    }
    for (std::size_t r = 0; r < rates.size(); ++r) {
        const KeyHash key = test::key_of("limit", r);
        for (const Nanos later : {now, now + kSecond, now + kHour / 2, now + kHour}) {
            const ChargeResult a = limiter.usage(key, rates[r], later);
            const ChargeResult b = restored.usage(key, rates[r], later);
            EXPECT_EQ(a.used, b.used);
            EXPECT_EQ(a.more_at, b.more_at);
            EXPECT_EQ(a.reset_at, b.reset_at);
        }
    }
}

}  // namespace
}  // namespace sluice
