// What was spent comes back: exactly, without what has expired, and whatever the clock did meanwhile.
#include "fixtures.hpp"

#include <gmock/gmock.h>

namespace sluice {
namespace {

using test::admit_one;
using test::charge_of;
using test::kSmallLimiter;
using test::LedgerTest;
using testing::HasSubstr;

constexpr Rate kAi{100, kHour};
constexpr Rate kUser{5000, kHour};

TEST_F(LedgerTest, RestoresExactlyWhatWasSpent) {
    const Charge ai = charge_of(1, kAi);
    const Charge user = charge_of(2, kUser, 3);
    ChargeResult before;
    {
        Limiter limiter{kSmallLimiter};
        auto ledger = open();
        for (int i = 0; i < 100; ++i) ASSERT_TRUE(admit_one(limiter, ai, now_ + i * kSecond).admitted);
        for (int i = 0; i < 700; ++i) ASSERT_TRUE(admit_one(limiter, user, now_ + i * kSecond / 8).admitted);
        ASSERT_TRUE(store_all(limiter, *ledger, now_));
        EXPECT_EQ(limiter.stats().changes, 0U);
        before = limiter.usage(ai.key, ai.rate, now_ + 100 * kSecond);
    }
    Limiter limiter{kSmallLimiter};
    auto ledger = open();
    const auto recovery = ledger->recover(limiter, now_);
    ASSERT_TRUE(recovery) << recovery.error().message;
    EXPECT_EQ(recovery->restored, 2U);
    EXPECT_EQ(recovery->damaged, 0U);
    EXPECT_EQ(recovery->last_flush, now_);
    EXPECT_EQ(recovery->clock_shift, 0);
    EXPECT_FALSE(recovery->clean) << "it was not closed";
    EXPECT_EQ(recovery->notice, "");

    EXPECT_EQ(used(limiter, user, now_ + 90 * kSecond), 2100U);
    ChargeResult after;
    EXPECT_FALSE(admit_one(limiter, ai, now_ + 100 * kSecond, &after).admitted);
    EXPECT_EQ(after.used, before.used);
    EXPECT_EQ(after.reset_at, before.reset_at);
    EXPECT_EQ(after.more_at, before.more_at);
}

TEST_F(LedgerTest, ForgetsWhatExpiredMeanwhile) {
    const Charge old_charge = charge_of(1, {10, kMillisecond});
    const Charge young = charge_of(2, kAi);
    {
        Limiter limiter{kSmallLimiter};
        auto ledger = open();
        admit_one(limiter, old_charge, now_ - kSecond);
        admit_one(limiter, young, now_);
        ASSERT_TRUE(store_all(limiter, *ledger, now_));
    }
    {
        Limiter limiter{kSmallLimiter};
        const auto recovery = open()->recover(limiter, now_);
        EXPECT_EQ(recovery->restored, 1U);
        EXPECT_EQ(recovery->expired, 1U);
    }
    Limiter limiter{kSmallLimiter};
    EXPECT_EQ(open()->recover(limiter, now_)->expired, 0U) << "deleted by the recovery before";
}

TEST_F(LedgerTest, SweepRemovesExpiredKeys) {
    {
        Limiter limiter{kSmallLimiter};
        auto ledger = open();
        for (std::uint64_t i = 0; i < 25'000; ++i)
            admit_one(limiter, charge_of(i, {10, i % 2 ? kSecond : kHour}), now_);
        ASSERT_TRUE(store_all(limiter, *ledger, now_));
        for (int i = 0; i < 3; ++i) ASSERT_TRUE(ledger->sweep(now_ + 2 * kSecond));  // 10 000 keys each
    }
    Limiter limiter{kSmallLimiter};
    const auto recovery = open()->recover(limiter, now_);
    EXPECT_EQ(recovery->restored, 12'500U);
    EXPECT_EQ(recovery->expired, 0U);
}

TEST_F(LedgerTest, ResetReachesTheLedger) {
    const Charge charge = charge_of(1, kAi);
    {
        Limiter limiter{kSmallLimiter};
        auto ledger = open();
        admit_one(limiter, charge, now_);
        ASSERT_TRUE(store_all(limiter, *ledger, now_));
        EXPECT_TRUE(limiter.reset(charge.key, now_));
        limiter.sweep(now_, 1'000'000);  // must not forget that it is to be stored
        ASSERT_TRUE(store_all(limiter, *ledger, now_));
    }
    Limiter limiter{kSmallLimiter};
    EXPECT_EQ(open()->recover(limiter, now_)->restored, 0U);
}

TEST_F(LedgerTest, KnowsACleanEnd) {
    {
        Limiter limiter{kSmallLimiter};
        auto ledger = open();
        EXPECT_TRUE(ledger->recover(limiter, now_)->clean) << "new";
        ASSERT_TRUE(ledger->close(now_));
        EXPECT_FALSE(ledger->store({}, now_)) << "closed";
    }
    Limiter limiter{kSmallLimiter};
    {
        auto ledger = open();
        const auto recovery = ledger->recover(limiter, now_);
        EXPECT_TRUE(recovery->clean);
        EXPECT_EQ(recovery->last_flush, now_);
    }
    EXPECT_FALSE(open()->recover(limiter, now_)->clean) << "the process before was not closed";
}

TEST_F(LedgerTest, ClockSetBackOrForwardBetweenProcessesMovesWindowsWithIt) {
    const Charge charge = charge_of(1, kAi);
    {
        Limiter limiter{kSmallLimiter};
        auto ledger = open();
        for (int i = 0; i < 100; ++i) admit_one(limiter, charge, now_);
        ASSERT_TRUE(store_all(limiter, *ledger, now_));
    }
    // Within this boot nearly no time has passed since, whatever the wall clock says: back an hour, then
    // forward three.
    for (const Nanos clock : {now_ - kHour, now_ + 2 * kHour}) {
        Limiter limiter{kSmallLimiter};
        auto ledger = open();
        const auto recovery = ledger->recover(limiter, clock);
        EXPECT_EQ(recovery->restored, 1U);
        EXPECT_NE(recovery->clock_shift, 0);
        EXPECT_THAT(recovery->notice, HasSubstr("clock was set"));
        ChargeResult result;
        EXPECT_FALSE(admit_one(limiter, charge, clock, &result).admitted);
        EXPECT_LE(result.retry_at, clock + kHour + kSecond);
        EXPECT_GT(result.retry_at, clock + kHour - kMinute);
        EXPECT_EQ(limiter.stats().changes, 0U) << "written back at once";
    }
}

TEST_F(LedgerTest, DocumentsAreReplacedAndSurvive) {
    {
        auto ledger = open();
        EXPECT_EQ(*ledger->get_document("overrides"), std::nullopt);
        ASSERT_TRUE(ledger->put_document("overrides", "one"));
        ASSERT_TRUE(ledger->put_document("overrides", std::string(100'000, 'x')));
        ASSERT_TRUE(ledger->put_document("bans", std::string{"\0\1", 2}));
        EXPECT_EQ(ledger->put_document("", "x").error().code, ErrorCode::kInvalid);
        EXPECT_EQ(ledger->put_document(std::string(65, 'n'), "x").error().code, ErrorCode::kInvalid);
    }
    auto ledger = open();
    EXPECT_EQ(*ledger->get_document("overrides"), std::string(100'000, 'x'));
    EXPECT_EQ(*ledger->get_document("bans"), (std::string{"\0\1", 2}));
}

TEST_F(LedgerTest, KeySecretIsMadeOnce) {
    const auto first = key_secret(*open());
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_EQ(*key_secret(*open()), *first);
    EXPECT_NE(*first, KeySecret{});
}

TEST_F(LedgerTest, GrowsBeyondItsFirstMap) {
    const EmbeddedLedgerConfig tiny{
        .directory = config().directory, .map_bytes = 64 << 10, .max_map_bytes = 1 << 30};
    {
        Limiter limiter{kSmallLimiter};
        auto ledger = open(tiny);
        for (std::uint64_t i = 0; i < 20'000; ++i) admit_one(limiter, charge_of(i, kAi), now_);
        const auto stored = store_all(limiter, *ledger, now_);
        ASSERT_TRUE(stored) << stored.error().message;
    }
    Limiter limiter{kSmallLimiter};
    EXPECT_EQ(open(tiny)->recover(limiter, now_)->restored, 20'000U);
}

TEST_F(LedgerTest, SecondOpenerIsRefused) {
    auto ledger = open();
    const auto second = EmbeddedLedger::open(config());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::kConflict);
    EXPECT_THAT(second.error().message, HasSubstr("in use by another process"));
    ledger.reset();
    EXPECT_TRUE(EmbeddedLedger::open(config()));
}

TEST_F(LedgerTest, PathThatCannotBeALedgerIsRefused) {
    EXPECT_EQ(EmbeddedLedger::open({.directory = "/dev/null"}).error().code, ErrorCode::kInvalid);
    EXPECT_EQ(EmbeddedLedger::open({.directory = directory_.path() + "/no/such/parent"}).error().code,
              ErrorCode::kNotFound);
}

TEST_F(LedgerTest, FilesAreReadableByTheirOwnerOnly) {
    open();
    using std::filesystem::perms;
    const perms others = perms::group_all | perms::others_all;
    EXPECT_EQ(std::filesystem::status(data_file()).permissions() & others, perms::none);
    EXPECT_EQ(std::filesystem::status(config().directory).permissions() & others, perms::none);
}

}  // namespace
}  // namespace sluice
