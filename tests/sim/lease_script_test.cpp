// The script in a real Redis against its model: random conversations, the same answers.
#include "ledger/lease_script.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "sim/effort.hpp"
#include "sim/lease_model.hpp"
#include "support/redis_server.hpp"

namespace sluice::sim {
namespace {

using test::RedisContext;
using test::RedisReply;
using test::RedisServer;

class LeaseScriptTest : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!RedisServer::installed()) GTEST_SKIP() << "no redis-server here: apt-get install redis-server";
        std::string name = std::filesystem::temp_directory_path() / "sluice-redis-XXXXXX";
        directory_ = ::mkdtemp(name.data());
        server_ = std::make_unique<RedisServer>(directory_);
        context_ = server_->connect();
        const RedisReply loaded = test::command(*context_, {"SCRIPT", "LOAD", std::string{kLeaseScript}});
        ASSERT_EQ(loaded->type, REDIS_REPLY_STRING) << loaded->str;
        sha_ = loaded->str;
    }
    void TearDown() override {
        context_.reset();
        server_.reset();
        if (!directory_.empty()) std::filesystem::remove_all(directory_);
    }

    RedisReply call(const std::vector<std::string>& arguments) {
        std::vector<std::string> words{"EVALSHA", sha_, "1"};
        words.insert(words.end(), arguments.begin(), arguments.end());
        return test::command(*context_, words);
    }

    std::string directory_;
    std::unique_ptr<RedisServer> server_;
    RedisContext context_;
    std::string sha_;
};

// The bound keeps the script's time where the test wants it: its own clock is far later.
constexpr std::int64_t kBegin = 1'000'000'000'000;
constexpr std::int64_t kRedisClock = 2'000'000'000'000'000;

TEST_F(LeaseScriptTest, AnswersAsItsModel) {
    std::mt19937_64 random{11};
    const auto below = [&](std::uint64_t end) { return random() % end; };
    LeaseModel model;
    std::array<int, 3> seen{};
    const int conversations = 60 * effort("SLUICE_SIM_SEEDS", 1);
    for (int key = 0; key < conversations; ++key) {
        const Rate rate{.count = std::array<std::uint64_t, 6>{1, 3, 10, 100, 300, 5000}[below(6)],
                        .window = std::array{kSecond, 10 * kSecond, kHour}[below(3)]};
        std::array<LeaseReply, 4> last{};
        std::array<std::uint64_t, 4> told{};
        std::int64_t now = kBegin;
        for (int step = 0; step < 60; ++step) {
            now +=
                static_cast<std::int64_t>(below(static_cast<std::uint64_t>(rate.window / kMicrosecond / 10)));
            if (below(20) == 0) now -= 300'000;  // what a later message finds: a clock that went back
            const std::size_t host = below(4);
            LeaseRequest request;
            request.limit = below(10) == 0 ? rate.count / 2 + 1 : rate.count;
            request.window_us = (below(20) == 0 ? rate.window * 2 : rate.window) / kMicrosecond;
            request.unit_us = lease_unit_us(rate);
            request.lease = 1;
            request.seq = last[host].seq + (below(15) == 0 ? 0 : 1 + below(2));
            request.base = told[host] + (below(20) == 0 ? 5 : 0) - (told[host] > 2 && below(10) == 0 ? 2 : 0);
            request.bound_us = now;
            request.keep = below(2) == 0 ? last[host].tokens : below(last[host].tokens + 1);
            request.need = below(4);
            request.want = request.need + (below(3) == 0 ? below(rate.count) : 0);
            request.long_us = 2'000'000;
            request.short_us = 5'000;
            std::int64_t age = request.window_us + request.window_us / 10;
            for (std::uint64_t i = below(5); i > 0; --i) {
                age -= static_cast<std::int64_t>(below(static_cast<std::uint64_t>(age)));
                request.uses.push_back({age, 1 + below(3)});
            }
            const std::string name = "host" + std::to_string(host);
            const KeyHash hash{.high = 7, .low = static_cast<std::uint64_t>(key)};
            const LeaseReply expected = model.call(key, name, request, kRedisClock);
            const RedisReply raw = call(lease_arguments(hash, name, request));
            ASSERT_NE(raw, nullptr);
            ASSERT_NE(raw->type, REDIS_REPLY_ERROR) << raw->str;
            const auto reply = parse_lease_reply(*raw);
            ASSERT_TRUE(reply);
            ASSERT_EQ(*reply, expected)
                << "key " << key << ", step " << step << ": status " << static_cast<int>(reply->status) << "/"
                << static_cast<int>(expected.status) << " tokens " << reply->tokens << "/" << expected.tokens
                << " free " << reply->free << "/" << expected.free << " retry " << reply->retry_us << "/"
                << expected.retry_us << " away " << reply->leased_away << "/" << expected.leased_away;
            ++seen[static_cast<std::size_t>(reply->status)];
            if (reply->status == LeaseReply::Status::kOk) {
                last[host] = *reply;
                told[host] = reply->known;
            }
            if (reply->status == LeaseReply::Status::kOk && below(200) == 0) {
                model.forget(key);
                ASSERT_EQ(call(lease_reset_arguments(hash))->integer, 1);
            }
        }
    }
    for (const int count : seen) EXPECT_GT(count, 10);  // each status was compared
}

TEST_F(LeaseScriptTest, KeysEndSoonAfterTheirWindow) {
    const LeaseRequest request{.limit = 10,
                               .window_us = 10'000'000,
                               .seq = 1,
                               .need = 1,
                               .want = 1,
                               .long_us = 2'000'000,
                               .short_us = 5'000,
                               .uses = {}};
    const KeyHash key{.high = 1, .low = 2};
    const auto reply = parse_lease_reply(*call(lease_arguments(key, "host", request)));
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->tokens, 1U);
    const RedisReply left = test::command(*context_, {"PTTL", lease_key_name(key)});
    EXPECT_GT(left->integer, 12'000);  // however slow this machine is now
    EXPECT_LE(left->integer, 20'007);
}

TEST_F(LeaseScriptTest, UsesItsOwnClock) {
    LeaseRequest request{.limit = 10, .window_us = 1'000'000, .seq = 1, .need = 1, .want = 1, .uses = {}};
    const RedisReply time = test::command(*context_, {"TIME"});
    const auto reply = parse_lease_reply(*call(lease_arguments({.high = 1, .low = 3}, "host", request)));
    ASSERT_TRUE(reply);
    const std::int64_t read_us =
        std::stoll(time->element[0]->str) * 1'000'000 + std::stoll(time->element[1]->str);
    EXPECT_GE(reply->now_us, read_us);
    EXPECT_LE(reply->now_us, read_us + 5'000'000);
}

TEST_F(LeaseScriptTest, ResettingAKeyThatIsNotThereChangesNothing) {
    EXPECT_EQ(call(lease_reset_arguments({.high = 1, .low = 4}))->integer, 0);
}

}  // namespace
}  // namespace sluice::sim
