#include "api/ban_control.hpp"

#include "plane_fixture.hpp"

namespace sluice {
namespace {

constexpr std::string_view kPolicy = R"(
name: test
trusted_proxies: [10.0.0.0/8]
kernel: {mode: enforce, allow: [192.0.2.200]}
)";

IpPrefix source(std::string_view text) {
    return IpPrefix::parse(text).value();
}

class BanControlTest : public PlaneTest {
  protected:
    void SetUp() override { use_policy(std::string{kPolicy}); }

    FakeKernel kernel_;
    MemoryLedger ledger_;
    Metrics metrics_;
    BanControl bans_{*plane_, &kernel_, ledger_, metrics_};
    const Actor operator_{"alice", "token", "operator", "192.0.2.77"};
};

TEST_F(BanControlTest, ABanIsInTheKernelInTheWorkersViewAndInTheList) {
    ASSERT_TRUE(bans_.add(source("198.51.100.7"), kMinute, "scraper", operator_));
    EXPECT_EQ(kernel_.banned.at(source("198.51.100.7")).reason, "scraper");
    EXPECT_NE(plane_->bans.load()->find(IpAddress::parse("198.51.100.7").value(), ledger_now()), nullptr);
    const auto list = bans_.list();
    ASSERT_EQ(list->size(), 1U);
    EXPECT_EQ(list->front().origin, "operator");
    EXPECT_EQ(list->front().packets, 7U) << "from the kernel map";
    EXPECT_NE(log_text("audit").find("alice"), std::string::npos);
    EXPECT_NE(log_text("ban").find("198.51.100.7"), std::string::npos);
}

TEST_F(BanControlTest, ALiftTakesItOutEverywhere) {
    ASSERT_TRUE(bans_.add(source("198.51.100.7"), kMinute, "", operator_));
    ASSERT_TRUE(bans_.lift(source("198.51.100.7"), operator_));
    EXPECT_TRUE(kernel_.banned.empty());
    EXPECT_EQ(plane_->bans.load()->size(), 0U);
    EXPECT_EQ(bans_.lift(source("198.51.100.7"), operator_).error().code, ErrorCode::kNotFound);
}

TEST_F(BanControlTest, TheKernelsOwnBansAreListedAndLiftedToo) {
    kernel_.banned[source("203.0.113.5")] = {source("203.0.113.5"), "limit_packets", BanOrigin::kKernel,
                                             kMinute, 99};
    ASSERT_EQ(bans_.list()->size(), 1U);
    EXPECT_EQ(bans_.list()->front().origin, "kernel");
    ASSERT_TRUE(bans_.lift(source("203.0.113.5"), operator_));
    EXPECT_TRUE(bans_.list()->empty());
}

TEST_F(BanControlTest, RefusesWhatWouldLockOutTheWrongPeopleAndChangesNothing) {
    EXPECT_EQ(bans_.add(source("10.1.0.0/16"), kMinute, "", operator_).error().code, ErrorCode::kConflict);
    EXPECT_EQ(bans_.add(source("192.0.2.0/24"), kMinute, "", operator_).error().code, ErrorCode::kConflict);
    EXPECT_EQ(bans_.add(source("203.0.0.0/8"), kMinute, "", operator_).error().code, ErrorCode::kInvalid);
    EXPECT_EQ(bans_.add(source("2001:db8::/31"), kMinute, "", operator_).error().code, ErrorCode::kInvalid);
    EXPECT_EQ(bans_.add(source("203.0.113.1"), 0, "", operator_).error().code, ErrorCode::kInvalid);
    EXPECT_EQ(bans_.add(source("203.0.113.1"), kMinute, std::string(500, 'x'), operator_).error().code,
              ErrorCode::kInvalid);
    kernel_.refuse_bans = true;
    EXPECT_EQ(bans_.add(source("203.0.113.1"), kMinute, "", operator_).error().code, ErrorCode::kExhausted);
    EXPECT_TRUE(bans_.list()->empty());
    EXPECT_EQ(plane_->bans.load()->size(), 0U);
}

TEST_F(BanControlTest, BansSurviveARestartUntilTheyExpire) {
    ASSERT_TRUE(bans_.add(source("198.51.100.7"), kMinute, "scraper", operator_));
    ASSERT_TRUE(bans_.add(source("198.51.100.8"), kHour, "scraper", operator_));
    bans_.tick(ledger_now());
    FakeKernel fresh;
    BanControl restarted{*plane_, &fresh, ledger_, metrics_};
    restarted.restore();
    EXPECT_EQ(fresh.banned.size(), 2U);
    restarted.tick(ledger_now() + 2 * kMinute);
    EXPECT_EQ(plane_->bans.load()->size(), 1U);
    EXPECT_NE(log_text("ban").find("198.51.100.7"), std::string::npos);
}

TEST_F(BanControlTest, AFullDiskIsTriedAgain) {
    ledger_.full = true;
    ASSERT_TRUE(bans_.add(source("198.51.100.7"), kMinute, "", operator_));
    bans_.tick(ledger_now());
    EXPECT_TRUE(ledger_.documents.empty());
    ledger_.full = false;
    bans_.tick(ledger_now());
    EXPECT_EQ(ledger_.documents.size(), 1U);
}

TEST_F(BanControlTest, AnEscalationBansUnlessThePolicyHasAllowedTheSourceMeanwhile) {
    bans_.escalated({Escalation::Kind::kBan, source("198.51.100.9"), kMinute, 100});
    EXPECT_EQ(bans_.list()->front().origin, "escalation");
    bans_.escalated({Escalation::Kind::kBan, source("192.0.2.200"), kMinute, 100});
    bans_.escalated({Escalation::Kind::kShared, source("198.51.100.10"), kMinute, 100});
    EXPECT_EQ(bans_.list()->size(), 1U);
    EXPECT_NE(log_text("ban").find("shared_address"), std::string::npos);
}

TEST_F(BanControlTest, APolicyThatAllowsASourceLiftsItsBan) {
    ASSERT_TRUE(bans_.add(source("198.51.100.7"), kMinute, "", operator_));
    use_policy("name: test\nkernel: {mode: enforce, allow: [198.51.100.0/24]}\n");
    bans_.policy_changed();
    EXPECT_EQ(plane_->bans.load()->size(), 0U);
}

TEST_F(BanControlTest, WithoutAKernelBansHoldForRequests) {
    BanControl requests_only{*plane_, nullptr, ledger_, metrics_};
    ASSERT_TRUE(requests_only.add(source("198.51.100.0/24"), kMinute, "", operator_));
    EXPECT_NE(plane_->bans.load()->find(IpAddress::parse("198.51.100.99").value(), ledger_now()), nullptr);
    ASSERT_TRUE(requests_only.lift(source("198.51.100.0/24"), operator_));
}

TEST(BanRegistry, SurvivesItsDocumentAndToleratesOthers) {
    BanRegistry registry;
    registry.place({source("192.0.2.1"), "operator", "why \"quoted\"", 1000});
    registry.place({source("192.0.2.2"), "escalation", "", 50});
    BanRegistry read;
    read.from_document(registry.to_document(), 100);
    ASSERT_EQ(read.size(), 1U);
    EXPECT_EQ(read.all().front().reason, "why \"quoted\"");
    for (const auto* document : {"", "[]", "{\"version\":1,\"bans\":[{\"source\":7}]}", "{\"version\":2}"})
        read.from_document(document, 100);
    EXPECT_EQ(read.size(), 1U);
}

}  // namespace
}  // namespace sluice
