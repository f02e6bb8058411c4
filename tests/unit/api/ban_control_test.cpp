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

class PeerBansTest : public BanControlTest {
  protected:
    void SetUp() override {
        BanControlTest::SetUp();
        bans_.share_with([this](const FleetFact& fact) { told_.push_back(fact); });
    }
    static FleetNews news(std::string_view of, Nanos lasts = kMinute) {
        FleetFact fact;
        fact.source = source(of);
        fact.reason = "scraper";
        fact.origin = "operator";
        fact.by = "bob";
        fact.host = "edge-2";
        fact.host_id = "id";
        fact.lasts = lasts;
        return {fact, monotonic_now()};
    }
    static FleetNews lifted(std::string_view of) {
        FleetNews made = news(of);
        made.fact.withdrawn = true;
        return made;
    }
    void hear(const FleetNews& one) { bans_.peers_said({&one, 1}); }

    std::vector<FleetFact> told_;
};

TEST_F(PeerBansTest, WhatIsDecidedHereIsTold) {
    ASSERT_TRUE(bans_.add(source("198.51.100.7"), kMinute, "scraper", operator_));
    bans_.escalated({Escalation::Kind::kBan, source("198.51.100.9"), kHour, 100});
    KernelEvent event;
    event.kind = KernelEvent::Kind::kBanBegan;
    event.source = source("198.51.100.10");
    event.reason = "limit_udp";
    event.ban_duration = kMinute;
    bans_.kernel_banned(event);
    ASSERT_TRUE(bans_.lift(source("198.51.100.7"), operator_));
    ASSERT_EQ(told_.size(), 4U);
    EXPECT_EQ(told_[0].origin, "operator");
    EXPECT_EQ(told_[0].by, "alice");
    EXPECT_EQ(told_[0].lasts, kMinute);
    EXPECT_EQ(told_[1].origin, "escalation");
    EXPECT_EQ(told_[2].origin, "kernel");
    EXPECT_EQ(told_[2].reason, "limit_udp");
    EXPECT_TRUE(told_[3].withdrawn);
    EXPECT_GT(*told_[3].lasts, 59 * kSecond) << "as long as anyone may hold it";
    EXPECT_FALSE(bans_.add(source("10.0.0.1"), kMinute, "", operator_));
    EXPECT_EQ(told_.size(), 4U) << "what was refused is not";
}

TEST_F(PeerBansTest, WhatAnotherHostDecidedIsEnforcedShownAndNotToldAgain) {
    hear(news("198.51.100.7"));
    EXPECT_EQ(kernel_.banned.at(source("198.51.100.7")).origin, BanOrigin::kPeer);
    EXPECT_NE(plane_->bans.load()->find(IpAddress::parse("198.51.100.7").value(), ledger_now()), nullptr);
    const auto list = bans_.list();
    ASSERT_EQ(list->size(), 1U);
    EXPECT_EQ(list->front().origin, "peer");
    EXPECT_EQ(list->front().host, "edge-2");
    EXPECT_EQ(list->front().reason, "scraper");
    EXPECT_NE(log_text("ban").find("edge-2"), std::string::npos);
    bans_.tick(ledger_now());
    EXPECT_EQ(ledger_.documents["bans"].find("198.51.100.7"), std::string::npos) << "Redis keeps it";
    hear(lifted("198.51.100.7"));
    EXPECT_TRUE(kernel_.banned.empty());
    EXPECT_EQ(plane_->bans.load()->size(), 0U);
    EXPECT_TRUE(told_.empty());
    hear(lifted("198.51.100.7"));  // nothing there any more
}

TEST_F(PeerBansTest, ThisHostsPolicyDecidesForThisHost) {
    const std::vector<FleetNews> all{news("10.1.2.3"),
                                     news("192.0.2.200"),
                                     news("203.0.0.0/8"),
                                     news("2001:db8::/31"),
                                     news("198.51.100.1", 400 * kDay),
                                     news("198.51.100.2", -1)};
    bans_.peers_said(all);
    FleetNews wordy = news("198.51.100.3");
    wordy.fact.reason = std::string(500, 'x');
    hear(wordy);
    EXPECT_TRUE(kernel_.banned.empty());
    EXPECT_TRUE(bans_.list()->empty());
    EXPECT_EQ(bans_.refused_of_peers(), 6U) << "what has ended is no refusal";
    EXPECT_NE(log_text("ban").find("ban-suppressed"), std::string::npos);
}

TEST_F(PeerBansTest, WhatThisHostToldBeforeItsRestartStaysItsOwn) {
    ASSERT_TRUE(bans_.add(source("198.51.100.7"), kMinute, "scraper", operator_));
    hear(news("198.51.100.7"));
    EXPECT_EQ(bans_.list()->front().origin, "operator");
    hear(news("198.51.100.7", kHour));
    EXPECT_EQ(bans_.list()->front().origin, "peer");
}

TEST_F(PeerBansTest, ALiftEndsTheKernelsOwnBanToo) {
    kernel_.banned[source("203.0.113.5")] = {source("203.0.113.5"), "limit_packets", BanOrigin::kKernel,
                                             kMinute, 99};
    hear(lifted("203.0.113.5"));
    EXPECT_TRUE(kernel_.banned.empty());
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
