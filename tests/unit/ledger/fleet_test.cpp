// Hosts of one process that talk through a real Redis.
#include "ledger/fleet.hpp"

#include <gtest/gtest.h>
#include <hiredis/hiredis.h>

#include <thread>

#include "unit/ledger/redis_fixture.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;

using Host = test::Peer;

FleetFact ban(const std::string& source, std::string origin = "operator", Nanos lasts = kMinute) {
    FleetFact fact;
    fact.source = IpPrefix::parse(source).value();
    fact.reason = "scraping";
    fact.origin = std::move(origin);
    fact.lasts = lasts;
    return fact;
}

class FleetTest : public test::RedisTest {
  protected:
    std::unique_ptr<Host> host(const std::string& name) {
        return std::make_unique<Host>(directory_.path() + "/" + name, settings(), name);
    }
    // What a host hears until there are so many.
    static std::vector<FleetNews> heard(const Host& host, std::size_t count) {
        std::vector<FleetNews> all;
        becomes([&] {
            for (FleetNews& news : host.fleet().take(1000)) all.push_back(std::move(news));
            return all.size() >= count;
        });
        EXPECT_EQ(all.size(), count);
        return all;
    }
};

TEST_F(FleetTest, ADecisionReachesTheOthersAndNotItsOwnHost) {
    const auto a = host("a");
    const auto b = host("b");
    a->fleet().say(ban("192.0.2.7"));
    const auto news = heard(*b, 1);
    ASSERT_EQ(news.size(), 1U);
    EXPECT_EQ(news[0].fact.host, "a");
    EXPECT_EQ(news[0].fact.source.to_string(), "192.0.2.7");
    EXPECT_GT(*news[0].fact.lasts, 50 * kSecond);
    EXPECT_LE(*news[0].fact.lasts, kMinute);
    FleetFact lift = ban("192.0.2.7");
    lift.withdrawn = true;
    b->fleet().say(lift);
    const auto back = heard(*a, 1);
    ASSERT_EQ(back.size(), 1U);
    EXPECT_TRUE(back[0].fact.withdrawn);
    EXPECT_TRUE(b->fleet().take(10).empty());
    // A newcomer learns what stands: the lift, for as long as anyone may still hold the ban.
    const auto c = host("c");
    EXPECT_TRUE(heard(*c, 1).front().fact.withdrawn);
}

TEST_F(FleetTest, AThousandBansArriveAll) {
    const auto a = host("a");
    for (int i = 0; i < 1000; ++i)
        a->fleet().say(ban("198.51." + std::to_string(i / 250) + "." + std::to_string(i % 250), "kernel"));
    ASSERT_TRUE(becomes([&] { return a->fleet().stats().sent == 1000; }));
    const auto b = host("b");
    heard(*b, 1000);
    EXPECT_EQ(b->fleet().stats().invalid, 0U);
}

TEST_F(FleetTest, WhatIsDecidedWhileRedisIsAwayArrivesAfterAndWhatStoodStands) {
    const auto a = host("a");
    const auto b = host("b");
    a->fleet().say(ban("192.0.2.7"));
    heard(*b, 1);
    server_->kill();
    ASSERT_TRUE(becomes([&] { return !a->ledger->health().up; }));
    EXPECT_GT(a->ledger->shared()->alone, 0);
    a->fleet().say(ban("192.0.2.8"));
    server_->restart();
    ASSERT_TRUE(becomes([&] { return a->ledger->health().up && b->ledger->health().up; }));
    EXPECT_EQ(a->ledger->shared()->alone, 0);
    const auto c = host("c");
    heard(*c, 2);
}

TEST_F(FleetTest, ARedisEmptiedBehindItsConnectionsIsToldAgain) {
    const auto a = host("a");
    const auto b = host("b");
    a->fleet().say(ban("192.0.2.7"));
    heard(*b, 1);
    server_->command({"FLUSHALL"});
    b->fleet().say(ban("192.0.2.8"));
    heard(*a, 1);
    ASSERT_TRUE(becomes([&] { return a->fleet().stats().sent >= 2; }));
    const auto c = host("c");
    heard(*c, 2);
}

TEST_F(FleetTest, AMachineNeitherShortensABanNorOutdoesAPerson) {
    const auto a = host("a");
    const auto b = host("b");
    a->fleet().say(ban("192.0.2.7", "operator", kHour));
    heard(*b, 1);
    b->fleet().say(ban("192.0.2.7", "kernel", kMinute));
    ASSERT_TRUE(becomes([&] { return b->fleet().stats().superseded == 1; }));
    b->fleet().say(ban("192.0.2.7", "kernel", 2 * kHour));
    heard(*a, 1);
    a->fleet().say(ban("192.0.2.7", "operator", kSecond));
    heard(*b, 1);
}

TEST_F(FleetTest, HostsSeeOneAnother) {
    const auto a = host("a");
    auto b = host("b");
    b->fleet().describe("policy", "hash", "follows");
    const auto names = [&] {
        std::string text;
        for (const FleetHost& one : a->fleet().hosts(monotonic_now()))
            text += one.name + (one.self ? "*" : "") + " " + std::string{to_string(one.state)} + " ";
        return text;
    };
    ASSERT_TRUE(becomes([&] { return names() == "a* up b up "; })) << names();
    ASSERT_TRUE(becomes([&] { return a->fleet().hosts(monotonic_now()).back().policy_hash == "hash"; }));
    EXPECT_EQ(a->fleet().hosts(monotonic_now()).back().version, SLUICE_VERSION);
    EXPECT_TRUE(becomes([&] { return a->ledger->shared()->hosts == 2; }));
    EXPECT_NE(a->fleet().hosts(monotonic_now() + 5 * kSecond).back().state, FleetHost::State::kUp);
    b.reset();  // says so
    EXPECT_TRUE(becomes([&] { return names() == "a* up "; })) << names();
    EXPECT_TRUE(becomes([&] { return a->ledger->shared()->hosts == 1; }));
}

TEST_F(FleetTest, WhatStrangersWriteIsCountedAndPassedOver) {
    const auto a = host("a");
    server_->command({"HSET", "sluice:1:{fleet}:facts", "ban 192.0.2.9", "o{\"source\":\"0.0.0.0/0\"}"});
    server_->command({"ZADD", "sluice:1:{fleet}:log", "5", "ban 192.0.2.9", "6", "no such kind"});
    server_->command({"HSET", "sluice:1:{fleet}:hosts", "x", "[]"});
    server_->command({"ZADD", "sluice:1:{fleet}:seen", "99999999999999", "x"});
    server_->command({"SET", std::string{kFleetHeadKey}, "7:e"});
    EXPECT_TRUE(becomes([&] { return a->fleet().stats().invalid == 2; }));
    EXPECT_TRUE(a->fleet().take(10).empty());
    EXPECT_TRUE(becomes([&] { return a->fleet().hosts(monotonic_now()).size() == 2; }));
    // What Redis holds under the name is of another kind: refused, said, and over when it is mended.
    server_->command({"DEL", "sluice:1:{fleet}:log"});
    server_->command({"SET", "sluice:1:{fleet}:log", "text"});
    a->fleet().say(ban("192.0.2.7"));
    EXPECT_TRUE(becomes([&] { return !a->ledger->shared()->fleet_error.empty(); }));
    server_->command({"DEL", "sluice:1:{fleet}:log"});
    EXPECT_TRUE(becomes([&] { return a->fleet().stats().sent == 1; }));
    EXPECT_TRUE(becomes([&] { return a->ledger->shared()->fleet_error.empty(); }));
}

}  // namespace
}  // namespace sluice
