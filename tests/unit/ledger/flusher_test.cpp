#include "ledger/flusher.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "fixtures.hpp"
#include "ledger/elapsed.hpp"

namespace sluice {
namespace {

using test::admit_one;
using test::charge_of;
using test::kSmallLimiter;

constexpr Rate kRate{100, kHour};

// Keeps what it is given, or refuses it.
class FakeLedger final : public Ledger {
  public:
    Result<LedgerRecovery> recover(Limiter&, Nanos) override { return LedgerRecovery{}; }
    Result<> store(const KeyBatch& batch, Nanos) override {
        if (broken) return Error{ErrorCode::kUnavailable, "broken"};
        stored += batch.size();
        return {};
    }
    Result<> sweep(Nanos) override { return {}; }
    Result<std::optional<std::string>> get_document(std::string_view) override { return std::nullopt; }
    Result<> put_document(std::string_view, std::string_view) override { return {}; }
    Result<> close(Nanos) override { return {}; }
    LedgerHealth health() const override { return {}; }
    std::string_view kind() const override { return "fake"; }

    std::atomic<bool> broken{false};
    std::atomic<std::uint64_t> stored{0};
};

TEST(Flusher, StoresEachChangedKeyOnce) {
    Limiter limiter{kSmallLimiter};
    FakeLedger ledger;
    Flusher flusher{limiter, ledger, kHour};
    for (std::uint64_t i = 0; i < 40'000; ++i) admit_one(limiter, charge_of(i % 20'000, kRate), kSecond);
    ASSERT_TRUE(flusher.flush(kSecond));
    EXPECT_EQ(ledger.stored, 20'000U);
    ASSERT_TRUE(flusher.flush(kSecond));
    EXPECT_EQ(ledger.stored, 20'000U);
}

TEST(Flusher, KeepsWhatTheLedgerRefused) {
    Limiter limiter{kSmallLimiter};
    FakeLedger ledger;
    ledger.broken = true;
    Flusher flusher{limiter, ledger, kHour};
    for (std::uint64_t i = 0; i < 20'000; ++i) admit_one(limiter, charge_of(i, kRate), kSecond);
    EXPECT_FALSE(flusher.flush(kSecond));
    EXPECT_EQ(limiter.stats().changes, 20'000U);
    ledger.broken = false;
    EXPECT_TRUE(flusher.flush(kSecond));
    EXPECT_EQ(ledger.stored, 20'000U);
}

TEST(Flusher, FlushesByItselfAndAtItsEnd) {
    Limiter limiter{kSmallLimiter};
    FakeLedger ledger;
    {
        Flusher flusher{limiter, ledger, kMillisecond};
        admit_one(limiter, charge_of(1, kRate), ledger_now());
        for (int i = 0; i < 2000 && ledger.stored == 0; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        EXPECT_EQ(ledger.stored, 1U);
    }
    {
        Flusher flusher{limiter, ledger, kHour};
        admit_one(limiter, charge_of(2, kRate), ledger_now());
    }
    EXPECT_EQ(ledger.stored, 2U);
}

Moment moment(Nanos ledger, Nanos since_boot, char boot) {
    Moment result{.ledger = ledger, .since_boot = since_boot};
    result.boot_id.fill(boot);
    return result;
}

TEST(ClockShift, WithinOneBootTheBootClockDecides) {
    const Moment then = moment(1000 * kSecond, 50 * kSecond, 'a');
    EXPECT_EQ(clock_shift(then, moment(1010 * kSecond, 60 * kSecond, 'a')), 0);
    EXPECT_EQ(clock_shift(then, moment(1010 * kSecond + kMillisecond, 60 * kSecond, 'a')), 0)
        << "reading takes time";
    EXPECT_EQ(clock_shift(then, moment(990 * kSecond, 60 * kSecond, 'a')), -20 * kSecond);
    EXPECT_EQ(clock_shift(then, moment(2010 * kSecond, 60 * kSecond, 'a')), 1000 * kSecond);
}

TEST(ClockShift, AcrossBootsNoTimePassesBackwards) {
    const Moment then = moment(1000 * kSecond, 50 * kSecond, 'a');
    EXPECT_EQ(clock_shift(then, moment(2000 * kSecond, 5 * kSecond, 'b')), 0);
    EXPECT_EQ(clock_shift(then, moment(900 * kSecond, 5 * kSecond, 'b')), -100 * kSecond);
    EXPECT_EQ(
        clock_shift(moment(1000 * kSecond, 50 * kSecond, '\0'), moment(900 * kSecond, 60 * kSecond, '\0')),
        -100 * kSecond)
        << "an unknown boot is another";
}

}  // namespace
}  // namespace sluice
