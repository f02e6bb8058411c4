#include "api/quota_control.hpp"

#include "api/judge.hpp"
#include "plane_fixture.hpp"

namespace sluice {
namespace {

constexpr std::string_view kPolicy = R"(
name: test
identity: {api_keys: {header: X-API-Key, file: keys.yaml}}
routes: [{name: ai, path: "/ai/**", class: ai}]
limits:
  - {name: ip, per: ip, when: anonymous, rate: 10/h}
  - {name: user, per: user, when: authenticated, rate: 20/h}
  - {name: ai, per: user, class: ai, rate: 5/h}
)";

class QuotaControlTest : public PlaneTest {
  protected:
    void SetUp() override {
        write_api_keys({"anna"});
        use_policy(std::string{kPolicy});
    }
    bool ask(std::string_view path) {
        Judgement judgement;
        judge_.judge({"GET", path, IpAddress::parse("192.0.2.1").value(), {"", "key-of-anna"}},
                     monotonic_now(), wall_now(), judgement);
        return judgement.verdict == Verdict::kAdmitted;
    }
    const Quota find(const std::string& limit) {
        const auto quotas = control_.show("anna");
        return *std::ranges::find(*quotas, limit, &Quota::limit);
    }

    MemoryLedger ledger_;
    QuotaControl control_{*plane_, ledger_};
    RequestJudge judge_{*plane_};
    const Actor alice_{"alice", "unix socket", "admin", ""};
};

TEST_F(QuotaControlTest, ShowsWhatIsUsedOfEachLimitPerUser) {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(ask("/ai/x"));
    EXPECT_EQ(control_.show("anna")->size(), 2U);
    EXPECT_EQ(find("ai").used, 3U);
    EXPECT_EQ(find("ai").remaining, 2U);
    EXPECT_GT(find("ai").reset_in, 59 * kMinute);
    EXPECT_EQ(find("user").used, 3U);
    EXPECT_EQ(control_.show("nobody")->front().used, 0U);
    EXPECT_EQ(control_.show("").error().code, ErrorCode::kInvalid);
}

TEST_F(QuotaControlTest, AnOverrideHoldsAtOnceKeepsWhatWasSpentAndEnds) {
    for (int i = 0; i < 5; ++i) ask("/ai/x");
    EXPECT_FALSE(ask("/ai/x"));
    ASSERT_TRUE(control_.set("anna", "ai", {7, kHour}, kHour, alice_));
    EXPECT_TRUE(ask("/ai/x"));
    EXPECT_TRUE(ask("/ai/x"));
    EXPECT_FALSE(ask("/ai/x"));
    EXPECT_EQ(find("ai").policy_rate, (Rate{5, kHour}));
    EXPECT_TRUE(find("ai").override_expires_in);
    ASSERT_TRUE(control_.unset("anna", "ai", alice_));
    EXPECT_FALSE(find("ai").policy_rate);
    EXPECT_EQ(control_.unset("anna", "ai", alice_).error().code, ErrorCode::kNotFound);
}

TEST_F(QuotaControlTest, RefusesWhatIsNotALimitPerUser) {
    EXPECT_EQ(control_.set("anna", "ip", {7, kHour}, std::nullopt, alice_).error().code,
              ErrorCode::kNotFound);
    EXPECT_EQ(control_.set("anna", "nonsense", {7, kHour}, std::nullopt, alice_).error().code,
              ErrorCode::kNotFound);
    EXPECT_EQ(control_.set("anna", "ai", {7, kHour}, Nanos{5}, alice_).error().code, ErrorCode::kInvalid);
    EXPECT_TRUE(plane_->overrides.load()->empty());
}

TEST_F(QuotaControlTest, ResetForgetsWhatWasSpent) {
    for (int i = 0; i < 5; ++i) ask("/ai/x");
    ASSERT_TRUE(control_.reset("anna", alice_));
    EXPECT_EQ(find("ai").used, 0U);
    EXPECT_EQ(find("user").used, 0U);
    EXPECT_TRUE(ask("/ai/x"));
}

TEST_F(QuotaControlTest, OverridesSurviveARestartOrSayThatTheyWillNot) {
    ASSERT_TRUE(control_.set("anna", "ai", {7, kHour}, std::nullopt, alice_));
    plane_->overrides.publish(std::make_shared<const Overrides>());
    ASSERT_TRUE(control_.restore());
    EXPECT_EQ(find("ai").rate, (Rate{7, kHour}));
    ledger_.full = true;
    const auto not_stored = control_.set("anna", "ai", {8, kHour}, std::nullopt, alice_);
    ASSERT_FALSE(not_stored);
    EXPECT_NE(not_stored.error().message.find("not survive"), std::string::npos);
    EXPECT_EQ(find("ai").rate, (Rate{8, kHour}));
}

TEST_F(QuotaControlTest, WhatIsChangedHereIsToldAndWhatOthersChangedIsNot) {
    std::vector<FleetFact> told;
    control_.share_with([&](const FleetFact& fact) { told.push_back(fact); });
    ASSERT_TRUE(control_.set("anna", "ai", {7, kHour}, kHour, alice_));
    ASSERT_TRUE(control_.set("anna", "user", {8, kHour}, std::nullopt, alice_));
    ASSERT_TRUE(control_.unset("anna", "ai", alice_));
    ASSERT_TRUE(control_.reset("anna", alice_));
    EXPECT_FALSE(control_.unset("anna", "ai", alice_));
    ASSERT_EQ(told.size(), 4U);
    EXPECT_EQ(told[0].rate, (Rate{7, kHour}));
    EXPECT_EQ(told[0].lasts, kHour);
    EXPECT_FALSE(told[1].lasts);
    EXPECT_TRUE(told[2].withdrawn);
    EXPECT_LE(*told[2].lasts, kHour);
    EXPECT_EQ(told[3].kind, FleetFact::Kind::kReset);

    FleetFact fact;
    fact.kind = FleetFact::Kind::kOverride;
    fact.user = "anna";
    fact.limit = "ai";
    fact.rate = {9, kHour};
    fact.host = "edge-2";
    FleetFact other = fact;
    other.limit = "user";
    other.withdrawn = true;
    FleetFact unknown = other;
    unknown.user = "nobody";
    const std::vector<FleetNews> news{
        {fact, monotonic_now()}, {other, monotonic_now()}, {unknown, monotonic_now()}};
    control_.peers_said(news);
    EXPECT_EQ(find("ai").rate, (Rate{9, kHour}));
    EXPECT_FALSE(find("user").policy_rate);
    EXPECT_EQ(told.size(), 4U);
    const std::string before = log_text("audit");
    EXPECT_NE(before.find("host edge-2"), std::string::npos);
    control_.peers_said({news.data(), 1});
    EXPECT_EQ(log_text("audit"), before) << "what is known is not news";
    plane_->overrides.publish(std::make_shared<const Overrides>());
    ASSERT_TRUE(control_.restore());
    EXPECT_EQ(find("ai").rate, (Rate{9, kHour})) << "kept here as well";
}

TEST_F(QuotaControlTest, AResetElsewhereForgetsWhatWasCountedHere) {
    for (int i = 0; i < 5; ++i) ask("/ai/x");
    FleetFact fact;
    fact.kind = FleetFact::Kind::kReset;
    fact.user = "anna";
    const FleetNews news{fact, monotonic_now()};
    control_.peers_said({&news, 1});
    EXPECT_EQ(find("ai").used, 0U);
}

TEST_F(QuotaControlTest, OfRequestsInFlight) {
    use_policy(std::string{kPolicy} + "  - {name: streams, per: user, when: authenticated, concurrent: 2}\n");
    const auto ask_and_hold = [&](Judgement& judgement) {
        judge_.judge({"GET", "/", IpAddress::parse("192.0.2.1").value(), {"", "key-of-anna"}},
                     monotonic_now(), wall_now(), judgement);
        return judgement.verdict == Verdict::kAdmitted;
    };
    std::array<Judgement, 4> requests;
    EXPECT_TRUE(ask_and_hold(requests[0]));
    EXPECT_EQ(find("streams").used, 1U);
    EXPECT_EQ(find("streams").remaining, 1U);
    EXPECT_EQ(find("streams").reset_in, 0);
    EXPECT_EQ(to_string(find("streams").rate), "2 concurrent");
    EXPECT_TRUE(ask_and_hold(requests[1]));
    EXPECT_FALSE(ask_and_hold(requests[2]));
    EXPECT_EQ(find("user").used, 2U) << "who finds no slot is not charged";

    ASSERT_TRUE(control_.set("anna", "streams", {3, 0}, kHour, alice_));
    EXPECT_TRUE(ask_and_hold(requests[2]));
    EXPECT_FALSE(ask_and_hold(requests[3]));
    EXPECT_EQ(find("streams").policy_rate, (Rate{2, 0}));
    ASSERT_TRUE(control_.set("anna", "streams", {1, 0}, std::nullopt, alice_));
    EXPECT_EQ(find("streams").used, 3U);
    EXPECT_EQ(find("streams").remaining, 0U);
    ASSERT_TRUE(control_.reset("anna", alice_));
    EXPECT_EQ(find("streams").used, 3U) << "they are still in flight";
    for (Judgement& request : requests) request.slots.clear();
    EXPECT_EQ(find("streams").used, 0U);
}

TEST_F(QuotaControlTest, AnOverrideIsOfItsLimitsKind) {
    use_policy(std::string{kPolicy} + "  - {name: streams, per: user, when: authenticated, concurrent: 2}\n");
    const auto rate = control_.set("anna", "streams", {7, kHour}, std::nullopt, alice_);
    EXPECT_EQ(rate.error().code, ErrorCode::kInvalid);
    EXPECT_EQ(rate.error().message, "limit 'streams' is 2 concurrent: an override of it is a number, N");
    const auto count = control_.set("anna", "ai", {7, 0}, std::nullopt, alice_);
    EXPECT_EQ(count.error().message, "limit 'ai' is 5/h: an override of it is a rate such as 200/h");
    EXPECT_EQ(control_.set("anna", "streams", {1'000'001, 0}, std::nullopt, alice_).error().code,
              ErrorCode::kInvalid);
    EXPECT_TRUE(plane_->overrides.load()->empty());
}

}  // namespace
}  // namespace sluice
