// The policy that hosts of one process share through a real Redis.
#include "ledger/fleet_policies.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "policy/policy_yaml.hpp"
#include "policy/sha256.hpp"
#include "unit/ledger/redis_fixture.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;

FleetPolicy policy(const std::string& text) {
    FleetPolicy made;
    made.text = text;
    made.name = "starguide";
    made.by = "alice";
    made.reason = "incident 7";
    return made;
}

FleetPolicy told(const std::string& text) {
    FleetPolicy made = policy(text);
    made.host = "a";
    made.host_id = "0123";
    made.version = 1'700'000'000'000'001;
    made.decided_us = 1'700'000'000'000'000;
    return made;
}

TEST(FleetPolicyBytes, AreReadAsWritten) {
    const FleetPolicy written = told("name: x\nlimits: []\n");
    EXPECT_EQ(parse_policy(to_bytes(written)), written);
    FleetPolicy empty = told("");
    EXPECT_EQ(parse_policy(to_bytes(empty)), empty);
}

TEST(FleetPolicyBytes, OfAnybodyAreNotBelieved) {
    const std::string good = to_bytes(told("name: x\n"));
    for (std::size_t length = 0; length < good.size(); ++length)
        EXPECT_FALSE(parse_policy(std::string_view{good}.substr(0, length))) << length;
    std::string other = good;
    other.back() = '!';
    EXPECT_FALSE(parse_policy(other)) << "not the text that its hash is of";
    const std::string sha = sha256_hex("t");
    for (const std::string& head :
         std::vector<std::string>{"0:1:" + sha, "1:0:" + sha, "99999999999999999999:1:" + sha, "-1:1:" + sha,
                                  "1:1:" + sha + "0", "1:1", std::string{}}) {
        EXPECT_FALSE(parse_policy_head(head)) << head;
        EXPECT_FALSE(parse_policy(head + "\n{\"id\":\"x\"}\nt")) << head;
    }
    EXPECT_TRUE(parse_policy("1:1:" + sha + "\n{\"id\":\"x\"}\nt"));
    EXPECT_FALSE(parse_policy("1:1:" + sha + "\n[]\nt"));
    EXPECT_FALSE(parse_policy("1:1:" + sha + "\n{}\nt")) << "nobody's";
    const std::string large(kMaxPolicyBytes + 1, 'x');
    EXPECT_FALSE(parse_policy("1:1:" + sha256_hex(large) + "\n{\"id\":\"x\"}\n" + large));
    const auto plain = parse_policy("1:1:" + sha + "\n{\"id\":\"x\",\"by\":\"\\u001b[2J\",\"host\":7}\nt");
    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->by, "?[2J");
    EXPECT_EQ(plain->host, "");
}

using Host = test::Peer;

class FleetPoliciesTest : public test::RedisTest {
  protected:
    std::unique_ptr<Host> host(const std::string& name, std::optional<FleetPolicy> known = std::nullopt) {
        auto sharing = settings();
        sharing.share_policies = true;
        auto made = std::make_unique<Host>(directory_.path() + "/" + name, sharing, name);
        made->policies().know(std::move(known));
        return made;
    }
    // The news that comes next; its text is empty if none does.
    static FleetPolicies::News next(const Host& host) {
        std::optional<FleetPolicies::News> news;
        EXPECT_TRUE(becomes([&] { return (news = host.policies().take()).has_value(); }));
        return news.value_or(FleetPolicies::News{});
    }
};

TEST_F(FleetPoliciesTest, ADecisionReachesTheOthersAndANewcomer) {
    const auto a = host("a");
    const auto b = host("b");
    a->policies().say(policy("one"));
    const auto own = next(*a);
    EXPECT_TRUE(own.own);
    EXPECT_GT(own.policy.version, 0U);
    const auto heard = next(*b);
    EXPECT_FALSE(heard.own);
    EXPECT_EQ(heard.policy, own.policy);
    EXPECT_EQ(heard.policy.host, "a");
    const auto c = host("c");
    EXPECT_EQ(next(*c).policy, own.policy);
    // Who took it already is not told again.
    const auto d = host("d", own.policy);
    b->policies().say(policy("two"));
    EXPECT_EQ(next(*d).policy.text, "two");
    EXPECT_EQ(next(*a).policy.text, "two");
}

TEST_F(FleetPoliciesTest, WhoDoesNotShareHasNone) {
    const Host alone{directory_.path() + "/alone", settings(), "alone"};
    EXPECT_EQ(alone.ledger->fleet().policies(), nullptr);
}

TEST_F(FleetPoliciesTest, OfTwoDecisionsOneStandsEverywhere) {
    const auto a = host("a");
    const auto b = host("b");
    for (int round = 0; round < 3; ++round) {
        a->policies().say(policy("a" + std::to_string(round)));
        b->policies().say(policy("b" + std::to_string(round)));
        std::string at_a, at_b;
        EXPECT_TRUE(becomes([&] {
            if (const auto news = a->policies().take()) at_a = news->policy.text;
            if (const auto news = b->policies().take()) at_b = news->policy.text;
            return !at_a.empty() && at_a == at_b;
        })) << at_a
            << " " << at_b;
    }
}

TEST_F(FleetPoliciesTest, WhatIsDecidedWithoutRedisTravelsAfterUnlessALaterOneStands) {
    const auto a = host("a");
    const auto b = host("b");
    a->policies().say(policy("zero"));
    EXPECT_EQ(next(*b).policy.text, "zero");
    EXPECT_TRUE(next(*a).own);
    server_->kill();
    ASSERT_TRUE(becomes([&] { return !a->ledger->health().up && !b->ledger->health().up; }));
    b->policies().say(policy("earlier"));
    std::this_thread::sleep_for(20ms);  // Redis tells them apart by their age
    a->policies().say(policy("later"));
    server_->restart();
    std::string at_a, at_b;
    EXPECT_TRUE(becomes([&] {
        if (const auto news = a->policies().take()) at_a = news->policy.text;
        if (const auto news = b->policies().take()) at_b = news->policy.text;
        return at_a == "later" && at_b == "later";
    })) << at_a
        << " " << at_b;
}

TEST_F(FleetPoliciesTest, ARedisThatForgotItIsToldAgainAndNobodyHearsItTwice) {
    const auto a = host("a");
    const auto b = host("b");
    a->policies().say(policy("one"));
    EXPECT_TRUE(next(*a).own);
    EXPECT_EQ(next(*b).policy.text, "one");
    server_->command({"FLUSHALL"});
    const auto c = host("c");
    EXPECT_EQ(next(*c).policy.text, "one");
    b->policies().say(policy("two"));
    EXPECT_EQ(next(*a).policy.text, "two") << "and not the first again";
}

TEST_F(FleetPoliciesTest, WhatIsNotUnderstoodIsCountedAndOverWhenItIsMended) {
    const auto a = host("a");
    server_->command({"SET", std::string{kFleetPolicyHeadKey}, "7:7:" + sha256_hex("x")});
    server_->command({"SET", "sluice:1:{fleet}:policy", "7:7:" + sha256_hex("x") + "\n{}\nx"});
    EXPECT_TRUE(becomes([&] { return a->policies().stats().invalid == 1; }));
    EXPECT_FALSE(a->ledger->fleet().stats().error.empty());
    EXPECT_FALSE(a->policies().take());
    a->policies().say(policy("one"));
    EXPECT_TRUE(next(*a).own);
    EXPECT_TRUE(a->ledger->fleet().stats().error.empty());
}

TEST_F(FleetPoliciesTest, TheLongestPolicyTravels) {
    const auto a = host("a");
    const auto b = host("b");
    a->policies().say(policy(std::string(kMaxPolicyBytes, '#')));
    EXPECT_EQ(next(*b).policy.text.size(), kMaxPolicyBytes);
}

}  // namespace
}  // namespace sluice
