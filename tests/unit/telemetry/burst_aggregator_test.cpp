#include "telemetry/burst_aggregator.hpp"

#include <gtest/gtest.h>

#include <random>

namespace sluice {
namespace {

const IpAddress kAlice = IpAddress::parse("192.0.2.1").value();
const IpAddress kBob = IpAddress::parse("192.0.2.2").value();
constexpr Nanos kStart = 1'000 * kHour;

IpAddress numbered(unsigned n) {
    return IpAddress::from_v4({10, static_cast<std::uint8_t>(n >> 16), static_cast<std::uint8_t>(n >> 8),
                               static_cast<std::uint8_t>(n)});
}

TEST(BurstAggregator, FirstIsWrittenTheOthersAreSummedUp) {
    BurstAggregator bursts;
    EXPECT_TRUE(bursts.record(kAlice, "ai", kStart));
    EXPECT_FALSE(bursts.record(kAlice, "ai", kStart + kSecond));
    EXPECT_FALSE(bursts.record(kAlice, "ai", kStart + 3 * kSecond));
    EXPECT_TRUE(bursts.record(kAlice, "user", kStart));
    EXPECT_TRUE(bursts.record(kBob, "ai", kStart));
    EXPECT_TRUE(bursts.due(kStart + BurstAggregator::kInterval - 1).empty());
    const auto summaries = bursts.due(kStart + BurstAggregator::kInterval);
    ASSERT_EQ(summaries.size(), 1U);
    EXPECT_EQ(summaries[0].client, kAlice);
    EXPECT_EQ(summaries[0].what, "ai");
    EXPECT_EQ(summaries[0].count, 2U);
    EXPECT_EQ(summaries[0].first, kStart + kSecond);
    EXPECT_EQ(summaries[0].last, kStart + 3 * kSecond);
}

TEST(BurstAggregator, AQuietKindBeginsAnew) {
    BurstAggregator bursts;
    EXPECT_TRUE(bursts.record(kAlice, "ai", kStart));
    EXPECT_FALSE(bursts.record(kAlice, "ai", kStart + 1));
    EXPECT_EQ(bursts.due(kStart + 10 * kSecond).size(), 1U);
    EXPECT_FALSE(bursts.record(kAlice, "ai", kStart + 11 * kSecond));  // still the same burst
    EXPECT_EQ(bursts.due(kStart + 20 * kSecond).size(), 1U);
    EXPECT_TRUE(bursts.due(kStart + 30 * kSecond).empty());
    EXPECT_TRUE(bursts.record(kAlice, "ai", kStart + 31 * kSecond));
}

TEST(BurstAggregator, AFloodFromManyIsBoundedAndAccounted) {
    BurstAggregator bursts{100};
    std::uint64_t written = 0;
    std::uint64_t summed = 0;
    std::uint64_t summaries = 0;
    for (unsigned i = 0; i < 50'000; ++i)
        written += bursts.record(numbered(i), i % 3 ? "ip" : "ai", kStart + i);
    for (const auto& summary : bursts.due(kStart + 20 * kSecond)) {
        ++summaries;
        summed += summary.count;
        EXPECT_TRUE(summary.what == "ip" || summary.what == "ai");
    }
    EXPECT_EQ(written + summed, 50'000U);
    EXPECT_LE(written, 102U);
    EXPECT_EQ(summaries, 2U);
}

TEST(BurstAggregator, ManyReasonsShareTheLastPlace) {
    BurstAggregator bursts{1};
    std::uint64_t written = 0;
    for (unsigned i = 0; i < 1000; ++i)
        written += bursts.record(kAlice, "reason" + std::to_string(i), kStart);
    EXPECT_EQ(written, 18U);
    std::uint64_t summed = 0;
    for (const auto& summary : bursts.drain()) summed += summary.count;
    EXPECT_EQ(written + summed, 1000U);
}

TEST(BurstAggregator, EveryRefusalIsAccountedWhateverTheOrder) {
    std::mt19937 random{7};
    BurstAggregator bursts{20};
    std::uint64_t calls = 0;
    std::uint64_t told = 0;
    Nanos now = kStart;
    for (int i = 0; i < 100'000; ++i) {
        now += static_cast<Nanos>(random() % (20 * kMillisecond));
        ++calls;
        told +=
            bursts.record(numbered(static_cast<unsigned>(random() % 60)), random() % 2 ? "ai" : "ip", now);
        if (random() % 100 == 0)
            for (const auto& summary : bursts.due(now)) told += summary.count;
    }
    for (const auto& summary : bursts.drain()) told += summary.count;
    EXPECT_EQ(told, calls);
    EXPECT_TRUE(bursts.drain().empty());
}

}  // namespace
}  // namespace sluice
