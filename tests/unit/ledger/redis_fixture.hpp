// A Redis of the test's own, and hosts that meet there.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "ledger/redis_ledger.hpp"
#include "support/redis_server.hpp"
#include "unit/ledger/fixtures.hpp"

namespace sluice::test {

class RedisTest : public testing::Test {
  protected:
    void SetUp() override {
        if (!RedisServer::installed()) GTEST_SKIP() << "no redis-server here: apt-get install redis-server";
        server_ = std::make_unique<RedisServer>(directory_.path());
    }
    // Patient: what is tested is not how fast this machine is.
    RedisSettings settings() const {
        RedisSettings settings;
        settings.nodes = {"unix:" + server_->socket()};
        settings.deadline = 500 * kMillisecond;
        return settings;
    }
    // Within five seconds.
    template <class Condition>
    static bool becomes(Condition&& condition) {
        for (int tries = 0; tries < 500; ++tries) {
            if (condition()) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
        }
        return false;
    }

    TemporaryDirectory directory_;
    std::unique_ptr<RedisServer> server_;
};

// A host of a fleet: it talks with the others, and limits nothing.
struct Peer {
    Peer(const std::string& directory, RedisSettings settings, std::string name) {
        settings.host_name = std::move(name);
        auto opened = RedisLedger::open({.directory = directory}, settings);
        EXPECT_TRUE(opened) << opened.error().message;
        ledger = *std::move(opened);
        ledger->lease(limiter);
    }
    ~Peer() { ledger->stop(); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    Fleet& fleet() const { return ledger->fleet(); }
    FleetPolicies& policies() const { return *fleet().policies(); }

    Limiter limiter{kSmallLimiter};
    std::unique_ptr<RedisLedger> ledger;
};

}  // namespace sluice::test
