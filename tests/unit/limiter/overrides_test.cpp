#include "limiter/overrides.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

Override change(std::string limit, std::uint64_t count, std::optional<Nanos> expires_at = std::nullopt) {
    return {.limit = std::move(limit), .rate = {count, kHour}, .expires_at = expires_at};
}

Overrides some() {
    return *(*(*Overrides{}.with("alice", change("ai", 10), 0))
                  .with("alice", change("voice", 20, kMinute), 0))
                .with("bob", change("ai", 30, kHour), 0);
}

TEST(Overrides, FoundUntilTheyExpire) {
    const Overrides overrides = some();
    EXPECT_EQ(overrides.size(), 3U);
    EXPECT_EQ(overrides.find("alice", "ai", kDay)->rate.count, 10U);
    EXPECT_EQ(overrides.find("alice", "voice", kMinute - 1)->rate.count, 20U);
    EXPECT_EQ(overrides.find("alice", "voice", kMinute), nullptr);
    EXPECT_EQ(overrides.find("alice", "other", 0), nullptr);
    EXPECT_EQ(overrides.find("carol", "ai", 0), nullptr);
    EXPECT_EQ(overrides.of("alice").size(), 2U);
    EXPECT_EQ(Overrides{}.find("alice", "ai", 0), nullptr);
    EXPECT_TRUE(Overrides{}.empty());
}

TEST(Overrides, ChangesLeaveTheOriginalAlone) {
    const Overrides before = some();
    const Overrides after = *before.with("alice", change("ai", 99), 0);
    EXPECT_EQ(before.find("alice", "ai", 0)->rate.count, 10U);
    EXPECT_EQ(after.find("alice", "ai", 0)->rate.count, 99U);
    EXPECT_EQ(after.size(), 3U);
    const Overrides less = *after.without("bob", "ai");
    EXPECT_EQ(less.size(), 2U);
    EXPECT_EQ(less.of("bob").size(), 0U);
    EXPECT_EQ(less.without("bob", "ai").error().code, ErrorCode::kNotFound);
    EXPECT_EQ(less.without("alice", "no").error().code, ErrorCode::kNotFound);
}

TEST(Overrides, NonsenseIsRefused) {
    const auto code = [](std::string_view user, const Override& what) {
        const auto result = Overrides{}.with(user, what, kSecond);
        return result ? std::optional<ErrorCode>{} : result.error().code;
    };
    EXPECT_EQ(code("alice", change("ai", 1)), std::nullopt);
    EXPECT_EQ(code("", change("ai", 1)), ErrorCode::kInvalid);
    EXPECT_EQ(code("alice", change("", 1)), ErrorCode::kInvalid);
    EXPECT_EQ(code("alice", change("ai", 0)), ErrorCode::kInvalid);
    EXPECT_EQ(code("alice", {"ai", {1, -1}, std::nullopt}), ErrorCode::kInvalid);
    EXPECT_EQ(code("alice", {"streams", {1, 0}, std::nullopt}), std::nullopt) << "at once";
    EXPECT_EQ(code("alice", change("ai", 1, kSecond)), ErrorCode::kInvalid);
    EXPECT_EQ(code(std::string(1025, 'u'), change("ai", 1)), ErrorCode::kInvalid);
}

TEST(Overrides, CurrentDropsWhatExpired) {
    const Overrides current = some().current(kMinute);
    EXPECT_EQ(current.size(), 2U);
    EXPECT_EQ(some().current(kHour).size(), 1U);
    EXPECT_EQ(some().current(kHour).of("bob").size(), 0U);
}

TEST(Overrides, SurviveBytesAndRefuseDamagedOnes) {
    const Overrides overrides = *some().with(std::string{"nul\0user", 8}, change("ai", 7), 0);
    const std::string bytes = overrides.serialise();
    const auto parsed = Overrides::parse(bytes);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(*parsed, overrides);
    EXPECT_EQ(*Overrides::parse(Overrides{}.serialise()), Overrides{});
    std::size_t whole = 0;  // cutting between two overrides leaves fewer, cutting elsewhere is noticed
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        if (Overrides::parse(bytes.substr(0, length))) ++whole;
    }
    EXPECT_EQ(whole, 4U);
    std::string other_version = bytes;
    other_version[0] = 2;
    EXPECT_EQ(Overrides::parse(other_version).error().message,
              "override: stored overrides: version 2, not 1");
}

}  // namespace
}  // namespace sluice
