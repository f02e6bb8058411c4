// The program's arithmetic, compiled for the host, against exact fractions.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <thread>
#include <vector>

#include "kernel/bpf_arithmetic.hpp"
#include "kernel/kernel_plan.hpp"

namespace sluice {
namespace {

__extension__ using Wide = __int128;

// GCRA in fractions of a nanosecond with the rate's count as denominator: no rounding anywhere.
class Oracle {
  public:
    Oracle(Rate rate, std::uint64_t burst) : rate_(rate), burst_(burst) {}
    bool admit(std::uint64_t now_ns, std::uint64_t units) {
        const Wide now = Wide{now_ns} * rate_.count;
        const Wide ahead = tat_ > now ? tat_ - now : 0;
        slack_ = Wide{burst_} * rate_.window - ahead - Wide{units} * rate_.window;
        if (slack_ < 0) return false;
        tat_ = now + ahead + Wide{units} * rate_.window;
        return true;
    }
    // Its time in the program's ticks, rounded up.
    std::uint64_t ticks() const {
        return static_cast<std::uint64_t>((tat_ * SLUICE_TICKS_PER_NS + rate_.count - 1) / rate_.count);
    }
    // How far the last decision was from the other one, in nanoseconds.
    double margin_ns() const {
        const double slack = static_cast<double>(slack_) / static_cast<double>(rate_.count);
        return slack < 0 ? -slack : slack;
    }

  private:
    Rate rate_;
    std::uint64_t burst_;
    Wide tat_ = 0;
    Wide slack_ = 0;
};

sluice_limit image_of(PacketCount count, Rate rate, std::uint64_t burst) {
    KernelPolicy policy;
    policy.mode = KernelMode::kEnforce;
    policy.limits = {{"tested", count, PacketScope::kSource, rate, burst, LimitMode::kEnforce}};
    const KernelPlan plan = make_kernel_plan(policy, {});
    return plan.policy.limits[0].limit[plan.policy.limits[0].order[0]];
}

struct Case {
    Rate rate;
    std::uint64_t burst;
};

TEST(Gcra, AgreesWithExactArithmeticOnRandomTraffic) {
    const std::vector<Case> cases = {
        {{5000, kSecond}, 10'000}, {{3, kSecond}, 7},        {{1, kHour}, 5}, {{1000, kHour}, 1},
        {{777'777, kSecond}, 64},  {{20, 15 * kMinute}, 20}, {{7, kDay}, 3},  {{10'000'000, kSecond}, 1000}};
    std::mt19937_64 random{1};
    for (const Case& one : cases) {
        const sluice_limit limit = image_of(PacketCount::kPackets, one.rate, one.burst);
        Oracle oracle{one.rate, one.burst};
        const double interval = static_cast<double>(one.rate.window) / static_cast<double>(one.rate.count);
        // At, above and below the rate, with long silences; starts where uptime is a year.
        std::uint64_t now = 365ULL * 24 * 3600 * 1'000'000'000, admitted = 0;
        __u64 tat = 0;
        for (int i = 0; i < 100'000; ++i) {
            const double factor =
                (random() % 1000 == 0) ? 50.0 : static_cast<double>(random() % 2000) / 1000.0;
            now += static_cast<std::uint64_t>(interval * factor * (i / 20'000 % 2 == 0 ? 0.5 : 1.05));
            const bool ours =
                sluice_gcra(&tat, sluice_ticks(now), sluice_cost(&limit, 1), limit.depth) == SLUICE_WITHIN;
            const bool exact = oracle.admit(now, 1);
            admitted += exact;
            // Intervals are rounded up by less than 1/256 ns each: only a tie may go the other way.
            if (ours != exact) {
                ASSERT_LE(oracle.margin_ns(), static_cast<double>(admitted) / 256 + 1)
                    << to_string(one.rate) << " packet " << i;
                tat = oracle.ticks();  // from here on with one history again
            }
        }
        EXPECT_GT(admitted, 1000U) << to_string(one.rate);
    }
}

TEST(Gcra, AdmitsTheBurstAndThenTheRateAndNeverMore) {
    for (const Case& one :
         std::vector<Case>{{{5000, kSecond}, 100}, {{3, kSecond}, 10}, {{1000, kHour}, 50}}) {
        const sluice_limit limit = image_of(PacketCount::kPackets, one.rate, one.burst);
        std::uint64_t now = 1'000'000'000'000, admitted = 0;
        const std::uint64_t start = now,
                            step = static_cast<std::uint64_t>(one.rate.window) / one.rate.count / 10;
        __u64 tat = 0;
        for (std::uint64_t i = 0; i < one.burst + 1; ++i)
            admitted +=
                sluice_gcra(&tat, sluice_ticks(now), sluice_cost(&limit, 1), limit.depth) == SLUICE_WITHIN;
        EXPECT_EQ(admitted, one.burst);
        for (int i = 0; i < 100'000; ++i) {
            now += step;
            admitted +=
                sluice_gcra(&tat, sluice_ticks(now), sluice_cost(&limit, 1), limit.depth) == SLUICE_WITHIN;
        }
        const auto earned = static_cast<std::uint64_t>(Wide{now - start} * one.rate.count / one.rate.window);
        EXPECT_LE(admitted, one.burst + earned);
        EXPECT_GE(admitted + 1, one.burst + earned);
    }
}

TEST(Gcra, BytesKeepTheirFractions) {
    // 10 Gbit/s: 0.8 ns a byte, far from a whole tick.
    const Rate rate{1'250'000'000, kSecond};
    const sluice_limit limit = image_of(PacketCount::kBytes, rate, 1'250'000);
    std::uint64_t now = 1'000'000'000, admitted = 0;
    __u64 tat = 0;
    std::mt19937_64 random{2};
    const std::uint64_t start = now;
    for (int i = 0; i < 1'000'000; ++i) {
        const std::uint64_t bytes = 60 + random() % 1455;
        now += 300;  // about twice what the rate allows
        if (sluice_gcra(&tat, sluice_ticks(now), sluice_cost(&limit, bytes), limit.depth) == SLUICE_WITHIN)
            admitted += bytes;
    }
    const double earned = static_cast<double>(now - start) * 1.25 + 1'250'000;
    EXPECT_LE(static_cast<double>(admitted), earned);
    EXPECT_GE(static_cast<double>(admitted), earned * 0.9999 - 1514);
}

TEST(Gcra, ARefusedChargeChangesNothing) {
    __u64 tat = 1000;
    EXPECT_EQ(sluice_gcra(&tat, 500, 600, 1000), SLUICE_OVER);
    EXPECT_EQ(tat, 1000U);
    EXPECT_EQ(sluice_gcra(&tat, 500, 500, 1000), SLUICE_WITHIN);
    EXPECT_EQ(tat, 1500U);
}

TEST(Gcra, ATimeThatWrappedIsAFullAllowance) {
    __u64 tat = 0;  // of an entry untouched since the clock was at 2^63
    EXPECT_EQ(sluice_gcra(&tat, 1ULL << 63, 10, 100), SLUICE_WITHIN);
    EXPECT_EQ(tat, (1ULL << 63) + 10);
    tat = ~0ULL - 5;  // just before the clock wraps
    EXPECT_EQ(sluice_gcra(&tat, 4, 10, 100), SLUICE_WITHIN);
    EXPECT_EQ(tat, 14U);
}

TEST(Gcra, ExactAcrossThreads) {
    constexpr std::uint64_t kBurst = 200'000;
    __u64 tat = 0;
    std::array<std::uint64_t, 4> admitted{};
    std::vector<std::thread> threads;
    for (auto& mine : admitted)
        threads.emplace_back([&] {
            for (std::uint64_t i = 0; i < kBurst; ++i)
                mine += sluice_gcra(&tat, 1000, 7, 7 * kBurst) == SLUICE_WITHIN;
        });
    for (std::thread& thread : threads) thread.join();
    std::uint64_t sum = 0;
    for (const std::uint64_t mine : admitted) sum += mine;
    // Four tries in a row may lose; then a refusal may have been charged, so at most a few too few, never one too many.
    EXPECT_LE(sum, kBurst);
    EXPECT_GE(sum, kBurst - 4);
}

TEST(BanCount, CountsWithinTheSpanAndBeginsAnew) {
    const __u64 within = sluice_ticks(10'000'000'000);
    __u64 word = 0, now = sluice_ticks(77'000'000'000);
    for (unsigned i = 1; i <= 1000; ++i) EXPECT_EQ(sluice_ban_count(&word, now + i, within), i);
    EXPECT_EQ(sluice_ban_count(&word, now + within - (1U << 25), within), 1001U);
    EXPECT_EQ(sluice_ban_count(&word, now + within, within), 1U);
    EXPECT_GT(sluice_ahead(word, now + within, within), within / 2);  // orders like an arrival time
}

TEST(Hash, SpreadsNeighboursAndDependsOnTheKey) {
    const __u64 key[SLUICE_HASH_KEYS] = {1, 2, 3, 4, 5, 6};
    const __u64 other[SLUICE_HASH_KEYS] = {0x9e3779b97f4a7c15, 2, 3, 4, 5, 0x1234567};
    std::array<unsigned, 1024> sets{};
    std::size_t same = 0;
    for (__u64 i = 0; i < 100'000; ++i) {
        const sluice_address address{0, 0xffff00000000ULL + i};
        const sluice_hash hash = sluice_hash_source(&address, key);
        ++sets[hash.set % sets.size()];
        same += hash.set == sluice_hash_source(&address, other).set;
    }
    EXPECT_EQ(same, 0U);
    for (const unsigned count : sets) EXPECT_NEAR(count, 97.7, 60);
}

}  // namespace
}  // namespace sluice
