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
    // Its time as the program would have it at `now`, rounded up.
    std::uint64_t word(const sluice_limit& limit, std::uint64_t now_ns) const {
        const Wide now = Wide{now_ns} * rate_.count;
        const Wide ahead = tat_ > now ? tat_ - now : 0;
        const Wide units = (ahead * limit.unit + rate_.window - 1) / rate_.window;
        return sluice_time(&limit, now_ns) + (static_cast<std::uint64_t>(units) << SLUICE_TAG_BITS);
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
    return plan.policy.limits[0][0].limit[plan.policy.limits[0][0].order[0]];
}

constexpr std::uint64_t kTag = 0xabcdef;

sluice_charge charge(__u64* word, __u64 tag, __u64 now, __u64 cost, __u64 depth) {
    __u64 retries = 0;
    return sluice_gcra(word, tag, now, cost, depth, &retries);
}

// One packet or so many bytes at a time of the kernel's clock.
bool admit(const sluice_limit& limit, __u64& word, std::uint64_t now_ns, std::uint64_t count = 1) {
    const bool within = charge(&word, kTag, sluice_time(&limit, now_ns), sluice_cost(&limit, count),
                               limit.depth) == SLUICE_WITHIN;
    EXPECT_EQ(word & SLUICE_TAG_MASK, kTag);
    return within;
}

struct Case {
    Rate rate;
    std::uint64_t burst;
};

// The clock of the packet path moves in ticks, and a processor may still judge by the last one while another has charged
// by this one.
TEST(Gcra, AProcessorATickBehindFindsNoNewAllowance) {
    struct Fast {
        PacketCount count;
        Case limit;
    };
    constexpr Nanos kSlowTick = 10 * kMillisecond;  // HZ=100
    for (const auto& [count, limit] :
         std::vector<Fast>{{PacketCount::kPackets, {{1000, kSecond}, 100}},
                           {PacketCount::kPackets, {{5'000'000, kSecond}, 100'000}},
                           {PacketCount::kBytes, {{1'250'000'000, kSecond}, 25'000'000}},
                           {PacketCount::kBytes, {{12'500'000'000, kSecond}, 12'500'000'000}}}) {
        const sluice_limit image = image_of(count, limit.rate, limit.burst);
        const std::uint64_t now_ns = 3 * kHour;
        const std::uint64_t each = count == PacketCount::kBytes ? 100'000 : 1;
        __u64 word = kTag;
        std::uint64_t admitted = 0;
        while (admit(image, word, now_ns, each)) ++admitted;
        EXPECT_EQ(admitted, limit.burst / each);
        EXPECT_FALSE(admit(image, word, now_ns - kSlowTick, each)) << limit.rate.count;
        EXPECT_FALSE(admit(image, word, now_ns, each)) << limit.rate.count;
    }
}

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
        __u64 word = kTag;
        for (int i = 0; i < 100'000; ++i) {
            const double factor =
                (random() % 1000 == 0) ? 50.0 : static_cast<double>(random() % 2000) / 1000.0;
            now += static_cast<std::uint64_t>(interval * factor * (i / 20'000 % 2 == 0 ? 0.5 : 1.05));
            const bool ours = admit(limit, word, now);
            const bool exact = oracle.admit(now, 1);
            admitted += exact;
            // The clock is rounded to a unit: only what is closer to a tie than that may go the other way.
            if (ours != exact) {
                ASSERT_LE(oracle.margin_ns(), interval / limit.unit + 1)
                    << to_string(one.rate) << " packet " << i;
                word = oracle.word(limit, now) | kTag;  // from here on with one history again
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
        __u64 word = kTag;
        for (std::uint64_t i = 0; i < one.burst + 1; ++i) admitted += admit(limit, word, now);
        EXPECT_EQ(admitted, one.burst);
        for (int i = 0; i < 100'000; ++i) {
            now += step;
            admitted += admit(limit, word, now);
        }
        // The clock is rounded down, so a packet may come by a unit too early.
        const Wide unit = one.rate.window / limit.unit;
        const auto earned =
            static_cast<std::uint64_t>((Wide{now - start} * one.rate.count + unit) / one.rate.window);
        EXPECT_LE(admitted, one.burst + earned);
        EXPECT_GE(admitted + 1, one.burst + earned);
    }
}

TEST(Gcra, BytesKeepTheirFractions) {
    // 10 Gbit/s: 0.8 ns a byte, far from a whole tick.
    const Rate rate{1'250'000'000, kSecond};
    const sluice_limit limit = image_of(PacketCount::kBytes, rate, 1'250'000);
    std::uint64_t now = 1'000'000'000, admitted = 0;
    __u64 word = kTag;
    std::mt19937_64 random{2};
    const std::uint64_t start = now;
    for (int i = 0; i < 1'000'000; ++i) {
        const std::uint64_t bytes = 60 + random() % 1455;
        now += 300;  // about twice what the rate allows
        if (admit(limit, word, now, bytes)) admitted += bytes;
    }
    const double earned = static_cast<double>(now - start) * 1.25 + 1'250'000;
    EXPECT_LE(static_cast<double>(admitted), earned);
    EXPECT_GE(static_cast<double>(admitted), earned * 0.9999 - 1514);
}

// The ideal admitted count over ten minutes, to the packet, at every rate: nothing is lost in rounding.
TEST(Gcra, LosesNoFractionInTenMinutes) {
    for (const std::uint64_t rate : {10U, 100U, 1000U, 33'333U, 100'000U}) {
        const sluice_limit limit = image_of(PacketCount::kPackets, {rate, kSecond}, 20);
        std::uint64_t admitted = 0;
        __u64 word = kTag;
        const std::uint64_t start = 3'000'000'000'000'001, end = start + 600'000'000'000;
        const std::uint64_t step = 1'000'000'000 / rate / 2 + 1;  // about twice the rate
        std::uint64_t now = start;
        for (; now < end; now += step) admitted += admit(limit, word, now);
        const std::uint64_t ideal = 20 + (now - step - start) * rate / 1'000'000'000;
        EXPECT_LE(admitted, ideal) << rate;
        EXPECT_GE(admitted + 2, ideal) << rate;
    }
}

constexpr __u64 units(__u64 count) {
    return count << SLUICE_TAG_BITS;
}

TEST(Gcra, ARefusedChargeChangesNothing) {
    __u64 word = units(1000) | kTag;
    EXPECT_EQ(charge(&word, kTag, units(500), units(600), units(1000)), SLUICE_OVER);
    EXPECT_EQ(word, units(1000) | kTag);
    EXPECT_EQ(charge(&word, kTag, units(500), units(500), units(1000)), SLUICE_WITHIN);
    EXPECT_EQ(word, units(1500) | kTag);
}

TEST(Gcra, AnEntryThatWentToAnotherSourceIsLeftAlone) {
    __u64 word = units(700) | 1;
    EXPECT_EQ(charge(&word, 2, units(500), units(10), units(1000)), SLUICE_WITHIN);
    EXPECT_EQ(word, units(700) | 1);
}

TEST(Gcra, ATimeThatWrappedIsAFullAllowance) {
    constexpr __u64 kHalf = 1ULL << 39;
    __u64 word = kTag;  // of an entry untouched for half a turn of the clock
    EXPECT_EQ(charge(&word, kTag, units(kHalf), units(10), units(100)), SLUICE_WITHIN);
    EXPECT_EQ(word, units(kHalf + 10) | kTag);
    word = units((1ULL << 40) - 5) | kTag;  // just before the clock wraps
    EXPECT_EQ(charge(&word, kTag, units(4), units(10), units(100)), SLUICE_WITHIN);
    EXPECT_EQ(word, units(14) | kTag);
}

TEST(Gcra, TimeRunsAtThePaceOfTheRateForYears) {
    for (const Rate rate : {Rate{5000, kSecond}, Rate{1, kDay}, Rate{1, 15 * kDay}, Rate{777, kMinute},
                            Rate{900'000'000, kSecond}, Rate{250, 1}}) {
        const sluice_limit limit = image_of(PacketCount::kPackets, rate, 1'000'000'000);
        const std::uint64_t year = 365ULL * 24 * 3600 * 1'000'000'000;
        for (const std::uint64_t now : {std::uint64_t{0}, std::uint64_t{134'217'727}, year / 3, 9 * year})
            for (const std::uint64_t later : {1'000'000ULL, 777'777'777'777ULL}) {
                const std::uint64_t passed =
                    (sluice_time(&limit, now + later) - sluice_time(&limit, now)) >> SLUICE_TAG_BITS;
                const Wide exact = Wide{later} * rate.count * limit.unit / rate.window;
                const auto ideal = static_cast<std::uint64_t>(exact & ((1LL << 40) - 1));
                EXPECT_NEAR(static_cast<double>(passed), static_cast<double>(ideal),
                            1.0 + static_cast<double>(exact) / 2e9)
                    << to_string(rate) << " at " << now;
            }
    }
}

TEST(Gcra, ExactAcrossThreads) {
    constexpr std::uint64_t kBurst = 200'000;
    __u64 word = kTag;
    std::array<std::uint64_t, 4> admitted{};
    std::vector<std::thread> threads;
    for (auto& mine : admitted)
        threads.emplace_back([&] {
            for (std::uint64_t i = 0; i < kBurst; ++i)
                mine += charge(&word, kTag, units(1000), units(7), units(7 * kBurst)) == SLUICE_WITHIN;
        });
    for (std::thread& thread : threads) thread.join();
    std::uint64_t sum = 0;
    for (const std::uint64_t mine : admitted) sum += mine;
    // While a refused charge is being taken back another may be refused for it, but that one comes again.
    EXPECT_EQ(sum, kBurst);
}

TEST(BanCount, CountsWithinTheSpanAndBeginsAnew) {
    KernelPolicy policy;
    policy.ban = BanRule{1000, 10 * kSecond, kMinute};
    const sluice_limit rule = make_kernel_plan(policy, {}).policy.limits[0][0].limit[SLUICE_BAN_SLOT];
    const std::uint64_t start = 77'000'000'000;
    const auto at = [&](double seconds) {
        return sluice_time(&rule, start + static_cast<std::uint64_t>(seconds * 1e9));
    };
    __u64 word = sluice_first_drop(kTag, at(0), rule.depth);
    for (unsigned i = 2; i <= 1000; ++i)
        EXPECT_EQ(sluice_count_one_drop(&word, kTag, at(i / 1000.0), rule.depth), i);
    // Spans end on a 256th of their length.
    EXPECT_EQ(sluice_count_one_drop(&word, kTag, at(9.95), rule.depth), 1001U);
    EXPECT_EQ(sluice_count_one_drop(&word, kTag, at(10.01), rule.depth), 1U);
    EXPECT_GT(sluice_ahead(word, at(10.01), rule.depth), rule.depth / 2);  // orders like an arrival time
    EXPECT_EQ(word & SLUICE_TAG_MASK, kTag);
}

TEST(Hash, SpreadsNeighboursAndDependsOnTheKey) {
    const __u64 key[SLUICE_HASH_KEYS] = {1, 2, 3};
    const __u64 other[SLUICE_HASH_KEYS] = {0x9e3779b97f4a7c15, 2, 0x1234567};
    std::array<unsigned, 1024> sets{};
    std::size_t same = 0;
    for (__u64 i = 0; i < 100'000; ++i) {
        const sluice_address address{0, 0xffff00000000ULL + i};
        const std::uint64_t hash = sluice_hash_source(&address, key);
        ++sets[hash % sets.size()];
        same += hash == sluice_hash_source(&address, other);
    }
    EXPECT_EQ(same, 0U);
    for (const unsigned count : sets) EXPECT_NEAR(count, 97.7, 60);
}

}  // namespace
}  // namespace sluice
