// What is told of a ban: its beginning, how it goes on, its end, each once and with what it dropped.
#include <nlohmann/json.hpp>
#include <sstream>

#include "api/ban_control.hpp"
#include "plane_fixture.hpp"

namespace sluice {
namespace {

IpPrefix source(std::string_view text) {
    return IpPrefix::parse(text).value();
}

class BanEvents : public PlaneTest {
  protected:
    void SetUp() override { use_policy("name: test\nkernel: {mode: enforce}\n"); }

    std::vector<nlohmann::json> events(const std::string& action) {
        std::vector<nlohmann::json> found;
        std::istringstream lines{log_text("ban")};
        for (std::string line; std::getline(lines, line);)
            if (auto event = nlohmann::json::parse(line); event["event"]["action"] == action)
                found.push_back(std::move(event));
        return found;
    }

    FakeKernel kernel_;
    MemoryLedger ledger_;
    Metrics metrics_;
    BanControl bans_{*plane_, &kernel_, ledger_, metrics_};
    const Actor operator_{"alice", "token", "operator", "192.0.2.77"};
};

TEST_F(BanEvents, ABanEndsOnceWithWhatItDropped) {
    const Nanos now = ledger_now();
    ASSERT_TRUE(bans_.add(source("198.51.100.7"), kMinute, "scraper", operator_));
    const Ban placed{source("198.51.100.7"), "scraper", BanOrigin::kOperator, 0, 4711};
    const Ban own{source("203.0.113.5"), "limit_udp", BanOrigin::kKernel, 0, 99};
    bans_.tick(now + kMinute + kMillisecond);  // the kernel's clock is not there yet
    EXPECT_EQ(events("ban-ended").size(), 0U);
    kernel_.expired = {placed, own};
    kernel_.banned.clear();
    bans_.tick(now + kMinute + 2 * kMillisecond);
    bans_.tick(now + 2 * kMinute);
    const auto ended = events("ban-ended");
    ASSERT_EQ(ended.size(), 2U);
    EXPECT_EQ(ended[0]["sluice"]["ban"]["packets"], 4711);
    EXPECT_EQ(ended[0]["sluice"]["ban"]["origin"], "operator");
    EXPECT_EQ(ended[1]["sluice"]["ban"]["packets"], 99);
    EXPECT_EQ(ended[1]["sluice"]["ban"]["reason"], "limit_udp");
    EXPECT_EQ(plane_->bans.load()->size(), 0U);
}

TEST_F(BanEvents, ABanThatTheKernelNeverHeldEndsAllTheSame) {
    const Nanos now = ledger_now();
    kernel_.refuse_bans = true;
    bans_.escalated({Escalation::Kind::kBan, source("198.51.100.9"), kMinute, 100});
    bans_.tick(now + kMinute + 2 * kSecond);
    ASSERT_EQ(events("ban-ended").size(), 1U);
    EXPECT_EQ(plane_->bans.load()->size(), 0U);
}

TEST_F(BanEvents, ABanThatWasProlongedGoesOn) {
    ASSERT_TRUE(bans_.add(source("198.51.100.7"), kHour, "again", operator_));
    kernel_.expired = {{source("198.51.100.7"), "limit_udp", BanOrigin::kKernel, 0, 5}};
    bans_.tick(ledger_now());
    EXPECT_EQ(events("ban-ended").size(), 0U);
    EXPECT_EQ(plane_->bans.load()->size(), 1U);
}

TEST_F(BanEvents, WhileItLastsASummaryAMinuteSaysWhatWasDroppedSince) {
    const Nanos start = ledger_now();
    ASSERT_TRUE(bans_.add(source("198.51.100.7"), kHour, "scraper", operator_));
    std::uint64_t& packets = kernel_.banned.at(source("198.51.100.7")).packets;
    for (int second = 0; second <= 240; ++second) {
        if (second <= 180) packets = 10 * static_cast<std::uint64_t>(second);
        bans_.tick(start + second * kSecond);
    }
    const auto told = events("ban-summary");
    ASSERT_EQ(told.size(), 2U) << "at two minutes and at three; at one it was new, at four nothing had come";
    EXPECT_EQ(told[0]["sluice"]["ban"]["packets"], 1200);
    EXPECT_EQ(told[0]["sluice"]["ban"]["packets_since"], 1200);
    EXPECT_EQ(told[1]["sluice"]["ban"]["packets"], 1800);
    EXPECT_EQ(told[1]["sluice"]["ban"]["packets_since"], 600);
    EXPECT_EQ(told[1]["sluice"]["ban"]["reason"], "scraper");
    EXPECT_EQ(told[1]["sluice"]["ban"]["origin"], "operator");
    EXPECT_FALSE(told[1]["sluice"]["ban"].contains("untold"));
}

TEST_F(BanEvents, BansThatAPolicyLiftsSayWhatTheyDropped) {
    ASSERT_TRUE(bans_.add(source("198.51.100.7"), kMinute, "mine", operator_));
    use_policy("name: test\nkernel: {mode: enforce, allow: [198.51.100.0/24]}\n");
    kernel_.lifted = {{source("198.51.100.7"), "mine", BanOrigin::kOperator, kMinute, 42},
                      {source("198.51.100.8"), "limit_udp", BanOrigin::kKernel, kMinute, 43}};
    bans_.policy_changed();
    const auto lifted = events("ban-lifted");
    ASSERT_EQ(lifted.size(), 2U);
    EXPECT_EQ(lifted[0]["sluice"]["ban"]["packets"], 42);
    EXPECT_EQ(lifted[1]["sluice"]["ban"]["packets"], 43);
    EXPECT_EQ(lifted[1]["sluice"]["ban"]["origin"], "kernel");
    EXPECT_EQ(lifted[1]["user"]["name"], "policy");
}

}  // namespace
}  // namespace sluice
