// Leases against a real Redis, with hosts of one process: exact together, whatever becomes of Redis.
#include "ledger/redis_ledger.hpp"

#include <gtest/gtest.h>
#include <hiredis/hiredis.h>

#include <condition_variable>
#include <fstream>
#include <future>
#include <thread>

#include "unit/ledger/redis_fixture.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;

// One host: its ledger, its limiter, and a caller that waits where a request would be parked.
class Host {
  public:
    Host(const std::string& directory, const RedisSettings& settings) {
        auto opened = RedisLedger::open({.directory = directory}, settings);
        EXPECT_TRUE(opened) << opened.error().message;
        if (!opened) return;
        ledger = *std::move(opened);
        book = &ledger->lease(limiter);
    }
    ~Host() {
        if (ledger) ledger->stop();
    }
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;

    Admission admit(const Charge& charge, LedgerLoss loss = LedgerLoss::kShare) {
        return admit(std::span{&charge, 1}, loss);
    }
    Admission admit(std::span<const Charge> charges, LedgerLoss loss = LedgerLoss::kShare) {
        const std::vector<LedgerLoss> losses(charges.size(), loss);
        Nanos asked = 0;
        while (true) {
            const Nanos now = monotonic_now();
            auto woken = std::make_shared<std::promise<void>>();
            auto wait = woken->get_future();
            const auto admission = book->admit({charges, losses, now, ledger_time_at(now), asked}, results,
                                               [woken] { return [woken] { woken->set_value(); }; });
            if (admission) return *admission;
            if (asked == 0) asked = now;
            if (wait.wait_for(5s) != std::future_status::ready) {
                ADD_FAILURE() << "nobody woke the request";
                return {.admitted = false};
            }
        }
    }
    bool becomes(bool up) const {
        for (int tries = 0; tries < 500; ++tries) {
            if (ledger->health().up == up) return true;
            std::this_thread::sleep_for(10ms);
        }
        return false;
    }

    Limiter limiter{test::kSmallLimiter};
    std::unique_ptr<RedisLedger> ledger;
    LeaseBook* book = nullptr;
    std::array<ChargeResult, kMaxCharges> results;
};

Charge charge_of(std::uint64_t key, std::uint64_t count, Nanos window = kHour) {
    return {.key = {.high = key, .low = key}, .limit = 1, .rate = {.count = count, .window = window}};
}

class RedisLedgerTest : public test::RedisTest {
  protected:
    std::unique_ptr<Host> host(const std::string& name) {
        return std::make_unique<Host>(directory_.path() + "/" + name, settings());
    }
    static int admitted(Host& host, const Charge& charge, int requests,
                        LedgerLoss loss = LedgerLoss::kShare) {
        int count = 0;
        for (int i = 0; i < requests; ++i) count += host.admit(charge, loss).admitted ? 1 : 0;
        return count;
    }
};

TEST_F(RedisLedgerTest, HostsAdmitOneLimitTogether) {
    const auto a = host("a");
    const auto b = host("b");
    const Charge charge = charge_of(1, 100);
    auto other = std::async(std::launch::async, [&] { return admitted(*b, charge, 200); });
    const int mine = admitted(*a, charge, 200);
    EXPECT_EQ(mine + other.get(), 100);
    EXPECT_EQ(a->ledger->kind(), "redis");
    EXPECT_GT(a->ledger->shared()->messages, 0U);
    EXPECT_LT(a->ledger->shared()->messages, 300U);  // a refused request asks no more
}

TEST_F(RedisLedgerTest, ARefusalSaysWhenThereIsMore) {
    const auto a = host("a");
    const Charge charge = charge_of(2, 1);
    ASSERT_TRUE(a->admit(charge).admitted);
    EXPECT_EQ(a->results[0].remaining, 0U);
    const Admission refused = a->admit(charge);
    EXPECT_FALSE(refused.admitted);
    EXPECT_TRUE(a->results[0].refused);
    EXPECT_GT(refused.retry_at, ledger_now() + 59 * kMinute);
    EXPECT_LE(refused.retry_at, ledger_now() + 61 * kMinute);
}

TEST_F(RedisLedgerTest, AllChargesOrNone) {
    const auto a = host("a");
    const auto b = host("b");
    const std::array both{charge_of(3, 10), charge_of(4, 1)};
    ASSERT_TRUE(a->admit(both).admitted);
    for (int i = 0; i < 5; ++i) EXPECT_FALSE(b->admit(both).admitted);
    EXPECT_EQ(admitted(*b, both[0], 20), 9);
}

TEST_F(RedisLedgerTest, AShadowLimitRefusesNothing) {
    const auto a = host("a");
    Charge shadow = charge_of(5, 1);
    shadow.mode = LimitMode::kShadow;
    EXPECT_TRUE(a->admit(shadow).admitted);
    EXPECT_FALSE(a->results[0].refused);
    EXPECT_TRUE(a->admit(shadow).admitted);
    EXPECT_TRUE(a->results[0].refused);
}

TEST_F(RedisLedgerTest, AResetIsForAllHosts) {
    const auto a = host("a");
    const auto b = host("b");
    const Charge charge = charge_of(6, 5);
    ASSERT_EQ(admitted(*a, charge, 10), 5);
    ASSERT_EQ(admitted(*b, charge, 1), 0);
    const auto done = b->book->reset(charge.key);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_GE(admitted(*b, charge, 10), 4);  // the last use of `a` may not have been told yet
}

TEST_F(RedisLedgerTest, WhileRedisIsDeadEachLimitDoesAsItSays) {
    const auto a = host("a");
    const auto b = host("b");
    for (int tries = 0; a->ledger->shared()->hosts < 2 && tries < 500; ++tries)
        std::this_thread::sleep_for(10ms);
    ASSERT_EQ(a->ledger->shared()->hosts, 2U);
    server_->kill();
    ASSERT_TRUE(a->becomes(false));
    EXPECT_EQ(admitted(*a, charge_of(10, 10), 30, LedgerLoss::kShare), 5);
    EXPECT_EQ(admitted(*a, charge_of(11, 10), 30, LedgerLoss::kOpen), 10);
    EXPECT_EQ(admitted(*a, charge_of(12, 10), 30, LedgerLoss::kClosed), 0);
    EXPECT_FALSE(a->ledger->health().error.empty());
}

TEST_F(RedisLedgerTest, WhatWasAdmittedMeanwhileIsToldWhenRedisIsBackAndOnlyOnce) {
    const auto a = host("a");
    const auto b = host("b");
    const Charge charge = charge_of(13, 10);
    ASSERT_EQ(admitted(*a, charge, 2), 2);
    server_->kill();
    ASSERT_TRUE(a->becomes(false));
    ASSERT_EQ(admitted(*a, charge, 30, LedgerLoss::kOpen), 8);
    server_->restart();  // empty
    ASSERT_TRUE(a->becomes(true));
    ASSERT_TRUE(b->becomes(true));
    std::this_thread::sleep_for(300ms);
    EXPECT_EQ(admitted(*b, charge, 10), 0);
    const auto other = charge_of(14, 10);
    EXPECT_EQ(admitted(*a, other, 20) + admitted(*b, other, 20), 10);
}

TEST_F(RedisLedgerTest, APausedRedisIsAwayUntilItAnswers) {
    RedisSettings quick = settings();
    quick.deadline = 30 * kMillisecond;
    Host a{directory_.path() + "/a", quick};
    ASSERT_TRUE(a.admit(charge_of(20, 10)).admitted);
    server_->pause();
    EXPECT_FALSE(a.admit(charge_of(21, 10), LedgerLoss::kClosed).admitted);
    EXPECT_TRUE(a.becomes(false));
    server_->resume();
    EXPECT_TRUE(a.becomes(true));
    EXPECT_EQ(admitted(a, charge_of(22, 3), 10), 3);
}

TEST_F(RedisLedgerTest, AFlushedRedisIsToldAgain) {
    const auto a = host("a");
    const auto b = host("b");
    const Charge charge = charge_of(30, 10);
    ASSERT_EQ(admitted(*a, charge, 6), 6);
    server_->command({"FLUSHALL"});
    // The secret comes back within a second, and with it what was spent.
    bool told = false;
    for (int tries = 0; tries < 500 && !told; ++tries) {
        std::this_thread::sleep_for(10ms);
        const auto reply = server_->command({"DBSIZE"});
        told = a->ledger->shared()->forgotten > 0;
    }
    ASSERT_TRUE(told);
    std::this_thread::sleep_for(100ms);
    EXPECT_EQ(admitted(*b, charge, 10), 4);
}

TEST_F(RedisLedgerTest, TheScriptIsLoadedAgainWhenRedisLostIt) {
    const auto a = host("a");
    ASSERT_TRUE(a->admit(charge_of(31, 10)).admitted);
    server_->command({"SCRIPT", "FLUSH"});
    EXPECT_TRUE(a->admit(charge_of(32, 10)).admitted);
}

TEST_F(RedisLedgerTest, HotKeysSeldomAsk) {
    const auto a = host("a");
    const Charge charge = charge_of(40, 10'000'000);
    EXPECT_EQ(admitted(*a, charge, 100'000), 100'000);
    EXPECT_LT(a->ledger->shared()->messages, 1000U);
}

TEST_F(RedisLedgerTest, ManyThreadsOnManyHostsAdmitExactlyTheLimit) {
    std::array hosts{host("a"), host("b"), host("c")};
    const std::array charges{charge_of(50, 100), charge_of(51, 2000)};
    std::array<std::atomic<int>, 2> counts{};
    {
        std::vector<std::jthread> threads;
        for (auto& one : hosts)
            threads.emplace_back([&] {
                for (int i = 0; i < 2000; ++i)
                    for (std::size_t k = 0; k < charges.size(); ++k)
                        counts[k] += one->admit(charges[k]).admitted ? 1 : 0;
            });
    }
    EXPECT_EQ(counts[0], 100);
    EXPECT_LE(counts[1], 2000);
    EXPECT_GE(counts[1], 1990);  // tokens that another host held when the last requests came
}

TEST_F(RedisLedgerTest, SecretsAreSharedAndKept) {
    std::string first;
    {
        const auto a = host("a");
        first = **a->ledger->get_document("key_secret");
        EXPECT_EQ(first.size(), sizeof(KeySecret));
        EXPECT_EQ(**host("b")->ledger->get_document("key_secret"), first);
    }
    server_->kill();
    const auto again = RedisLedger::open({.directory = directory_.path() + "/a"}, settings());
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(**(*again)->get_document("key_secret"), first);
    const auto newcomer = RedisLedger::open({.directory = directory_.path() + "/new"}, settings());
    ASSERT_FALSE(newcomer);
    EXPECT_EQ(newcomer.error().code, ErrorCode::kUnavailable);
}

TEST_F(RedisLedgerTest, SignsInWithAPasswordFromAFile) {
    const std::string file = directory_.path() + "/password";
    std::ofstream{file} << "s3cret\n";
    server_->command({"ACL", "SETUSER", "sluice", "on", ">s3cret", "~sluice:*", "+@all"});
    server_->command({"ACL", "SETUSER", "default", "off"});
    RedisSettings with = settings();
    with.username = "sluice";
    with.password_file = file;
    Host a{directory_.path() + "/a", with};
    EXPECT_EQ(admitted(a, charge_of(60, 3), 5), 3);
    std::ofstream{file} << "wrong\n";
    const auto refused = RedisLedger::open({.directory = directory_.path() + "/b"}, with);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("WRONGPASS"), std::string::npos) << refused.error().message;
}

TEST(RedisAddress, SaysWhatWouldBeRight) {
    EXPECT_EQ(RedisAddress::parse("redis:6379")->host, "redis");
    EXPECT_EQ(RedisAddress::parse("[::1]:6379")->host, "::1");
    EXPECT_EQ(RedisAddress::parse("unix:/run/redis.sock")->port, "");
    for (const char* wrong :
         {"", "redis", ":6379", "redis:", "redis:x", "redis:0", "redis:70000", "::1:6379", "unix:"}) {
        const auto address = RedisAddress::parse(wrong);
        ASSERT_FALSE(address) << wrong;
        EXPECT_NE(address.error().message.find("HOST:PORT"), std::string::npos);
    }
}

// All that hosts hold comes back when they do not use it.
LeaseBook::Usage settled(Host& host, const Charge& charge) {
    for (int tries = 0; tries < 500; ++tries) {
        const std::array counters{LeaseBook::Counter{charge.key, charge.rate}};
        const auto usage = host.book->usage(counters);
        if (usage.size() == 1 && usage[0] && usage[0]->leased == 0) return *usage[0];
        std::this_thread::sleep_for(10ms);
    }
    ADD_FAILURE() << "leases do not come back";
    return {};
}

LeaseBook::Peeked peek(Host& host, const Charge& charge, LedgerLoss loss = LedgerLoss::kShare) {
    const Nanos now = monotonic_now();
    return host.book->peek({{&charge, 1}, {&loss, 1}, now, ledger_time_at(now)}, host.results);
}

TEST_F(RedisLedgerTest, TellsWhatAllHostsHaveUsed) {
    const auto a = host("a");
    const auto b = host("b");
    const auto c = host("c");
    const Charge charge = charge_of(81, 100);
    EXPECT_EQ(settled(*c, charge).used, 0U);
    EXPECT_EQ(settled(*c, charge).reset_in, 0);
    ASSERT_EQ(admitted(*a, charge, 30), 30);
    const std::array counters{LeaseBook::Counter{charge.key, charge.rate}};
    // Of its own it misses none, told or not.
    EXPECT_EQ(a->book->usage(counters)[0]->used, 30U);
    const auto from_afar = c->book->usage(counters)[0];
    ASSERT_TRUE(from_afar);
    EXPECT_LE(from_afar->used, 30U);
    EXPECT_GE(from_afar->used + from_afar->leased, 30U);
    ASSERT_EQ(admitted(*b, charge, 20), 20);
    for (Host* one : {a.get(), b.get(), c.get()}) {
        const auto usage = settled(*one, charge);
        EXPECT_EQ(usage.used, 50U);
        EXPECT_EQ(usage.available, 50U);
        EXPECT_EQ(usage.retry_in, 0);
        EXPECT_GT(usage.reset_in, 59 * kMinute);
        EXPECT_LE(usage.reset_in, kHour);
    }
}

TEST_F(RedisLedgerTest, SaysWhatWouldBecomeOfARequestWithoutCountingIt) {
    const auto a = host("a");
    const auto b = host("b");
    const Charge charge = charge_of(82, 10);
    ASSERT_EQ(admitted(*a, charge, 9), 9);
    settled(*b, charge);
    for (int i = 0; i < 3; ++i) {
        const auto peeked = peek(*b, charge);
        EXPECT_TRUE(peeked.admission.admitted);
        EXPECT_TRUE(peeked.of_all_hosts[0]);
        EXPECT_EQ(b->results[0].used, 9U);
        EXPECT_EQ(b->results[0].remaining, 1U);
    }
    ASSERT_EQ(admitted(*b, charge, 1), 1);
    for (Host* one : {a.get(), b.get()}) {
        settled(*one, charge);
        const auto peeked = peek(*one, charge);
        EXPECT_FALSE(peeked.admission.admitted);
        EXPECT_TRUE(one->results[0].refused);
        EXPECT_GT(peeked.admission.retry_at, ledger_now() + 59 * kMinute);
        EXPECT_LE(peeked.admission.retry_at, ledger_now() + kHour);
    }
}

TEST_F(RedisLedgerTest, WithoutRedisItSaysWhatThisHostWouldDecideAlone) {
    const auto a = host("a");
    const auto b = host("b");
    const Charge charge = charge_of(83, 10);
    ASSERT_EQ(admitted(*a, charge, 5), 5);
    a->book->set_hosts(2);
    server_->kill();
    ASSERT_TRUE(a->becomes(false));
    ASSERT_TRUE(b->becomes(false));
    b->book->set_hosts(2);
    const std::array counters{LeaseBook::Counter{charge.key, charge.rate}};
    EXPECT_FALSE(a->book->usage(counters)[0]);
    // Its share is five, and used; the other's is not.
    EXPECT_FALSE(peek(*a, charge).admission.admitted);
    EXPECT_FALSE(peek(*a, charge).of_all_hosts[0]);
    EXPECT_TRUE(peek(*a, charge, LedgerLoss::kOpen).admission.admitted);
    EXPECT_TRUE(peek(*b, charge).admission.admitted);
    EXPECT_FALSE(peek(*b, charge, LedgerLoss::kClosed).admission.admitted);
}

}  // namespace
}  // namespace sluice
