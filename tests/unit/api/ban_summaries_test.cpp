#include "api/ban_summaries.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

Ban ban_of(const std::string& source, std::uint64_t packets) {
    return {IpPrefix::parse(source).value(), "limit_udp", BanOrigin::kKernel, kHour, packets};
}

TEST(BanSummaries, ARoundAMinuteFromTheFirstCallOn) {
    BanSummaries summaries;
    const Nanos start = 1000 * kSecond;
    EXPECT_FALSE(summaries.due(start));
    EXPECT_FALSE(summaries.due(start + kMinute - 1));
    EXPECT_TRUE(summaries.due(start + kMinute));
    EXPECT_FALSE(summaries.due(start + kMinute));
    EXPECT_FALSE(summaries.due(start + 2 * kMinute - 1));
    EXPECT_TRUE(summaries.due(start + 9 * kMinute)) << "one, however long the last is ago";
    EXPECT_FALSE(summaries.due(start + 9 * kMinute + 1));
}

TEST(BanSummaries, TellsWhatWasDroppedSince) {
    BanSummaries summaries;
    EXPECT_TRUE(summaries.take({ban_of("192.0.2.1", 70)}).empty()) << "it began just now";
    auto round = summaries.take({ban_of("192.0.2.1", 100)});
    ASSERT_EQ(round.size(), 1U);
    EXPECT_EQ(round[0].since, 100U) << "since it began";
    EXPECT_EQ(round[0].ban.packets, 100U);
    EXPECT_EQ(round[0].untold, 0U);
    round = summaries.take({ban_of("192.0.2.1", 130)});
    ASSERT_EQ(round.size(), 1U);
    EXPECT_EQ(round[0].since, 30U);
    EXPECT_TRUE(summaries.take({ban_of("192.0.2.1", 130)}).empty()) << "nothing came";
    EXPECT_EQ(summaries.take({ban_of("192.0.2.1", 131)}).at(0).since, 1U);
}

TEST(BanSummaries, ABanThatBeganAnewCountsAnew) {
    BanSummaries summaries;
    summaries.take({ban_of("192.0.2.1", 5)});
    summaries.take({ban_of("192.0.2.1", 500)});
    EXPECT_EQ(summaries.take({ban_of("192.0.2.1", 20)}).at(0).since, 20U);
    summaries.take({});
    EXPECT_TRUE(summaries.take({ban_of("192.0.2.1", 30)}).empty()) << "one that was gone is new";
}

TEST(BanSummaries, ThousandsOfBansAreTheBusiestAndANumber) {
    BanSummaries summaries;
    std::vector<Ban> standing;
    for (int i = 0; i < 1000; ++i)
        standing.push_back(ban_of("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250), 0));
    summaries.take(standing);
    for (std::size_t i = 0; i < standing.size(); ++i) standing[i].packets = i;
    auto round = summaries.take(standing);
    ASSERT_EQ(round.size(), BanSummaries::kMostPerRound);
    EXPECT_EQ(round.front().since, 999U);
    EXPECT_EQ(round.back().since, 900U);
    EXPECT_EQ(round.front().untold, 899U) << "one of the thousand dropped nothing";
    EXPECT_EQ(round.back().untold, 0U);
    // What found no place is not lost: it is in the next sum.
    round = summaries.take(standing);
    ASSERT_EQ(round.size(), BanSummaries::kMostPerRound);
    EXPECT_EQ(round.front().since, 899U);
}

}  // namespace
}  // namespace sluice
