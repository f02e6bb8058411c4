#include "telemetry/active_users.hpp"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace sluice {
namespace {

constexpr Nanos kStart = 1'000 * kHour;

TEST(ActiveUsers, CountsEachUserOnceWhileInTheWindow) {
    ActiveUsers users;
    EXPECT_EQ(users.count(kStart), 0U);
    users.seen("alice", kStart);
    users.seen("alice", kStart + kSecond);
    users.seen("bob", kStart);
    EXPECT_EQ(users.count(kStart + kSecond), 2U);
    EXPECT_EQ(users.count(kStart + ActiveUsers::kWindow), 1U);  // bob: exactly five minutes ago
    EXPECT_EQ(users.count(kStart + ActiveUsers::kWindow + kSecond), 0U);
}

TEST(ActiveUsers, AnOlderTimeDoesNotShortenAStay) {
    ActiveUsers users;
    users.seen("alice", kStart + kMinute);
    users.seen("alice", kStart);
    EXPECT_EQ(users.count(kStart + kMinute + ActiveUsers::kWindow - 1), 1U);
}

TEST(ActiveUsers, MemoryIsBoundedAndSaysSo) {
    ActiveUsers users{1600};
    for (int i = 0; i < 10'000; ++i) users.seen("user" + std::to_string(i), kStart);
    EXPECT_TRUE(users.saturated());
    EXPECT_LE(users.count(kStart), 1616U);
    EXPECT_GE(users.count(kStart), 1000U);
    // Room is made by those who left, without anyone asking for the count.
    const Nanos later = kStart + ActiveUsers::kWindow + kSecond;
    for (int i = 0; i < 1000; ++i) users.seen("other" + std::to_string(i), later);
    EXPECT_EQ(users.count(later), 1000U);
}

TEST(ActiveUsers, IsExactFromSeveralThreads) {
    ActiveUsers users;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&users, t] {
            for (int i = 0; i < 3000; ++i) users.seen("user" + std::to_string(t * 1000 + i), kStart + i);
        });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(users.count(kStart + kSecond), 6000U);
    EXPECT_FALSE(users.saturated());
}

}  // namespace
}  // namespace sluice
