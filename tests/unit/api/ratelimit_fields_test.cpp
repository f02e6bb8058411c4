#include "api/ratelimit_fields.hpp"

#include <gtest/gtest.h>

#include <array>

namespace sluice {
namespace {

TEST(RateLimitFields, OneItemALimit) {
    const std::array limits{RateLimitItem{"ai", {100, kHour}, 0, 411 * kSecond + 1},
                            RateLimitItem{"user", {5000, kHour}, 4900, 0}};
    std::string policy;
    append_ratelimit_policy(policy, limits);
    EXPECT_EQ(policy, R"("ai";q=100;w=3600, "user";q=5000;w=3600)");
    std::string state;
    append_ratelimit(state, limits);
    EXPECT_EQ(state, R"("ai";r=0;t=412, "user";r=4900;t=0)");
}

TEST(RateLimitFields, RequestsInFlightHaveAUnitInPlaceOfAWindow) {
    const std::array limits{RateLimitItem{"ai", {100, kHour}, 7, kSecond},
                            RateLimitItem{"streams", {5, 0}, 2, 0}};
    std::string policy;
    append_ratelimit_policy(policy, limits);
    EXPECT_EQ(policy, R"("ai";q=100;w=3600, "streams";q=5;qu="concurrent-requests")");
    std::string state;
    append_ratelimit(state, limits);
    EXPECT_EQ(state, R"("ai";r=7;t=1, "streams";r=2)");
}

TEST(RateLimitFields, WholeSecondsAreNeverTooFew) {
    EXPECT_EQ(whole_seconds(0), 1);
    EXPECT_EQ(whole_seconds(1), 1);
    EXPECT_EQ(whole_seconds(kSecond), 1);
    EXPECT_EQ(whole_seconds(kSecond + 1), 2);
}

TEST(RateLimitFields, ProblemNamesWhatWasViolated) {
    const std::array<std::string_view, 2> violated{"ai", "user"};
    std::string body;
    append_quota_exceeded(body, violated);
    EXPECT_NE(body.find(R"("violated-policies":["ai","user"])"), std::string::npos);
    EXPECT_NE(body.find(R"("status":429)"), std::string::npos);
    body.clear();
    append_banned(body, 9);
    EXPECT_NE(body.find("retry after 9 seconds"), std::string::npos);
}

}  // namespace
}  // namespace sluice
