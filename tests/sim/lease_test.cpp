// Single turns of a lease, with the script's model as its partner.
#include "ledger/lease.hpp"

#include <gtest/gtest.h>

#include "ledger/redis_clock.hpp"
#include "sim/lease_model.hpp"

namespace sluice::sim {
namespace {

constexpr Nanos kShortLease = 5 * kMillisecond;
constexpr Rate kRate{.count = 10, .window = 10 * kSecond};

struct LeaseTest : ::testing::Test {
    LeaseModel redis;
    Nanos now = 100 * kSecond;

    LeaseReply talk(Lease& lease, const std::string& host = "a") {
        const LeaseRequest request = lease.begin(now, 0, kShortLease);
        const LeaseReply reply = redis.call(0, host, request, now / kMicrosecond);
        EXPECT_TRUE(lease.finish(request.seq, reply, now));
        return reply;
    }
    // One request as a host serves it.
    bool admit(Lease& lease, const std::string& host = "a", const Rate& rate = kRate) {
        if (const auto take = lease.take(rate, 1, now); take != Lease::Take::kAsk)
            return take == Lease::Take::kTaken;
        lease.want(1);
        talk(lease, host);
        lease.want_no_more(1);
        return lease.take(rate, 1, now) == Lease::Take::kTaken;
    }
};

TEST_F(LeaseTest, AFirstRequestCostsOneCallAndALimitIsALimit) {
    Lease lease{1};
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(admit(lease));
    EXPECT_FALSE(admit(lease));
    EXPECT_EQ(lease.take(kRate, 1, now), Lease::Take::kDenied) << "refused without asking again";
    EXPECT_EQ(lease.retry_at(), now + kRate.window);
    now += kRate.window + 30 * kMillisecond;
    EXPECT_TRUE(admit(lease));
}

TEST_F(LeaseTest, HostsShareOneLimit) {
    Lease a{1};
    Lease b{1};
    int admitted = 0;
    for (int i = 0; i < 20; ++i) admitted += admit(i % 2 ? a : b, i % 2 ? "a" : "b") ? 1 : 0;
    EXPECT_EQ(admitted, 10);
}

TEST_F(LeaseTest, ACostLargerThanTheLimitNeverFits) {
    Lease lease{1};
    EXPECT_EQ(lease.take(kRate, 11, now), Lease::Take::kDenied);
    EXPECT_EQ(lease.retry_at(), kNever);
    EXPECT_TRUE(admit(lease));
}

TEST_F(LeaseTest, WhatIsNotSpentEndsWithTheLease) {
    Lease lease{1};
    ASSERT_EQ(lease.judge(kRate, 1, now), Lease::Take::kAsk);
    lease.want(1);
    talk(lease);
    lease.want_no_more(1);
    EXPECT_EQ(lease.judge(kRate, 1, now), Lease::Take::kTaken);
    EXPECT_EQ(lease.held(now), 1U);
    now += kShortLease;
    EXPECT_EQ(lease.held(now), 0U);
}

TEST_F(LeaseTest, AnAnswerThatWasGivenUpIsIgnored) {
    Lease lease{1};
    ASSERT_EQ(lease.take(kRate, 1, now), Lease::Take::kAsk);
    lease.want(1);
    const LeaseRequest request = lease.begin(now, 0, kShortLease);
    const LeaseReply reply = redis.call(0, "a", request, now / kMicrosecond);
    lease.give_up();
    EXPECT_FALSE(lease.finish(request.seq, reply, now));
    EXPECT_EQ(lease.held(now), 0U);
    EXPECT_EQ(talk(lease).tokens, 1U);
    EXPECT_EQ(redis.call(0, "a", request, now / kMicrosecond).status, LeaseReply::Status::kStale);
}

TEST_F(LeaseTest, AfterAFlushUsesAreToldOnceMoreAndOnlyOnce) {
    Lease a{1};
    Lease b{1};
    for (int i = 0; i < 6; ++i) ASSERT_TRUE(admit(a));
    redis.flush();
    a.want(1);
    EXPECT_EQ(talk(a).status, LeaseReply::Status::kLost);
    const LeaseReply told = talk(a);
    EXPECT_EQ(told.free + told.tokens, 4U);  // 10 less 6 used
    EXPECT_EQ(a.take(kRate, 1, now), Lease::Take::kTaken);
    int more = 0;
    for (int i = 0; i < 10; ++i) more += admit(b, "b") ? 1 : 0;
    EXPECT_EQ(more, static_cast<int>(told.free));
    EXPECT_GT(more, 0);
}

TEST_F(LeaseTest, AHotKeyHoldsAStockAndAnIdleOneGivesItBack) {
    constexpr Rate kHot{.count = 10'000, .window = 10 * kSecond};
    Lease other{1};
    Lease lease{1};
    ASSERT_TRUE(admit(other, "b", kHot));
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(admit(lease, "a", kHot));
        if (lease.wants_to_speak(now)) talk(lease);
        now += kMillisecond;
    }
    EXPECT_GT(lease.held(now), 10U);
    now += 300 * kMillisecond;
    ASSERT_TRUE(lease.wants_to_speak(now));
    EXPECT_EQ(talk(lease).free, 10'000U - 101U) << "b has one";
    EXPECT_FALSE(lease.needs_care());
}

TEST_F(LeaseTest, AHostAloneWithAKeyKeepsAStockThatOthersFindReturned) {
    constexpr Rate kCalm{.count = 100, .window = 10 * kSecond};
    Lease lease{1};
    int messages = 0;
    for (int i = 0; i < 20; ++i) {  // four a second: a stock of a few at a time
        if (lease.judge(kCalm, 1, now) == Lease::Take::kAsk) ++messages;
        ASSERT_TRUE(admit(lease, "a", kCalm));
        if (lease.wants_to_speak(now)) {
            talk(lease);
            ++messages;
        }
        now += 250 * kMillisecond;
    }
    EXPECT_LE(messages, 10);
    EXPECT_GT(lease.held(now), 0U);
    now += 1300 * kMillisecond;
    ASSERT_TRUE(lease.wants_to_speak(now));
    EXPECT_EQ(talk(lease).tokens, 0U);
    Lease other{1};
    int admitted = 0;
    for (int i = 0; i < 100; ++i) admitted += admit(other, "b", kCalm) ? 1 : 0;
    EXPECT_EQ(admitted, 80);
}

TEST_F(LeaseTest, UsesWithoutALeaseAreTold) {
    Lease lease{1};
    for (int i = 0; i < 4; ++i) lease.use_unleased(kRate, 1, now);
    lease.want(1);
    const LeaseReply reply = talk(lease);
    EXPECT_EQ(reply.free + reply.tokens, 6U);
}

TEST_F(LeaseTest, ARaisedLimitEndsADenial) {
    Lease lease{1};
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(admit(lease));
    ASSERT_FALSE(admit(lease));
    EXPECT_TRUE(admit(lease, "a", {.count = 11, .window = 10 * kSecond}));
}

TEST(RedisClock, DoesNotBelieveAClockSetForwardAndFollowsOneSetBack) {
    RedisClock clock;
    EXPECT_EQ(clock.latest_us(0), 0);
    clock.observe(kSecond, 5'000'000);
    clock.observe(2 * kSecond, 11'000'000);
    EXPECT_NEAR(static_cast<double>(clock.latest_us(2 * kSecond)), 6'000'000, 2000);
    clock.observe(3 * kSecond, 1'000'000);
    EXPECT_NEAR(static_cast<double>(clock.latest_us(3 * kSecond)), 1'000'000, 2000);
}

}  // namespace
}  // namespace sluice::sim
