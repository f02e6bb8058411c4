#include "api/top_requests.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace sluice {
namespace {

TEST(SpaceSaving, CountsExactlyWhileThereIsRoom) {
    SpaceSaving<std::string> top{4};
    for (int i = 0; i < 7; ++i) top.add("a", i % 2 == 0);
    top.add("b", false);
    std::map<std::string, std::uint64_t> counts;
    for (const auto& entry : top.entries()) {
        counts[entry.key] = entry.count;
        EXPECT_EQ(entry.error, 0U);
    }
    EXPECT_EQ(counts, (std::map<std::string, std::uint64_t>{{"a", 7}, {"b", 1}}));
}

TEST(SpaceSaving, KeepsTheHeavyUnderAFloodOfOthersWithinItsBound) {
    constexpr std::size_t kPlaces = 64;
    SpaceSaving<int> top{kPlaces};
    std::mt19937 random{7};
    std::map<int, std::uint64_t> truth;
    constexpr std::uint64_t kEvents = 200'000;
    for (std::uint64_t i = 0; i < kEvents; ++i) {
        const int key =
            i % 10 == 0 ? static_cast<int>(i / 10 % 3) : 100 + static_cast<int>(random() % 50'000);
        ++truth[key];
        top.add(key, false);
    }
    for (const int heavy : {0, 1, 2}) {
        const auto& entries = top.entries();
        const auto found = std::ranges::find(entries, heavy, &SpaceSaving<int>::Entry::key);
        ASSERT_NE(found, entries.end());
        EXPECT_GE(found->count, truth[heavy]);
        EXPECT_LE(found->count - found->error, truth[heavy]);
        EXPECT_LE(found->error, kEvents / kPlaces);
    }
}

IpPrefix source(std::string_view text) {
    return IpPrefix::parse(text).value();
}

TEST(TopRequests, MergesWorkersAndForgetsAfterTwoMinutes) {
    TopRequests a;
    TopRequests b;
    const Nanos start = 1'000 * kMinute;
    for (int i = 0; i < 3; ++i) a.record(source("192.0.2.1"), "anna", true, start);
    a.record(source("192.0.2.2"), "", false, start);
    for (int i = 0; i < 2; ++i) b.record(source("192.0.2.2"), "", false, start);

    const auto top = [&](RequestTopBy by, Nanos now) {
        std::vector<TopRequests::Count> sources;
        std::vector<TopRequests::Count> users;
        a.collect(sources, users, now);
        b.collect(sources, users, now);
        return merge_top(sources, by, 10);
    };
    const auto by_requests = top(RequestTopBy::kRequests, start);
    ASSERT_EQ(by_requests.size(), 2U);
    EXPECT_EQ(by_requests[0].requests, 3U);
    EXPECT_EQ(by_requests[1].requests, 3U);
    const auto by_denials = top(RequestTopBy::kDenials, start);
    ASSERT_EQ(by_denials.size(), 1U);
    EXPECT_EQ(by_denials[0].name, "192.0.2.1");
    EXPECT_TRUE(top(RequestTopBy::kRequests, start + 2 * kMinute).empty());

    a.record(source("192.0.2.3"), "", false, start + 90 * kSecond);
    EXPECT_EQ(top(RequestTopBy::kRequests, start + 90 * kSecond).size(), 3U)
        << "the previous minute still counts";
}

}  // namespace
}  // namespace sluice
