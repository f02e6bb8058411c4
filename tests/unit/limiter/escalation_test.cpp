#include "limiter/escalation.hpp"

#include <gtest/gtest.h>

#include "fixtures.hpp"

namespace sluice {
namespace {

using Kind = Escalation::Kind;

constexpr std::uint64_t kAnonymous = 0;
constexpr std::uint64_t kAlice = 1;
constexpr std::uint64_t kBob = 2;

class EscalationTest : public testing::Test {
  protected:
    std::optional<Escalation> refuse(int times, std::uint64_t identity = kAnonymous,
                                     Nanos step = kMillisecond) {
        std::optional<Escalation> last;
        for (int i = 0; i < times; ++i) {
            last = tracker_.on_refused(rules_, client_, identity, now_ += step);
            if (last) ++reports_;
        }
        return last;
    }
    void admit(std::uint64_t identity) {
        tracker_.on_admitted(rules_, client_, identity, now_ += kMillisecond);
    }

    EscalationTracker tracker_{test::hasher(), 1024};
    EscalationRules rules_{.rule = BanRule{.after = 100, .within = kMinute, .duration = 10 * kMinute},
                           .source_prefix = {},
                           .exempt = PrefixSet{{*IpPrefix::parse("10.0.0.0/8")}}};
    IpAddress client_ = *IpAddress::parse("203.0.113.7");
    Nanos now_ = kHour;
    int reports_ = 0;
};

TEST_F(EscalationTest, HundredthRefusalBansOnce) {
    EXPECT_FALSE(refuse(99));
    const auto ban = refuse(1);
    ASSERT_TRUE(ban);
    EXPECT_EQ(ban->kind, Kind::kBan);
    EXPECT_EQ(ban->source, (IpPrefix{client_, 32}));
    EXPECT_EQ(ban->duration, 10 * kMinute);
    EXPECT_EQ(ban->refused, 100U);
    refuse(1000);
    EXPECT_EQ(reports_, 1) << "while it lasts";
    now_ += 10 * kMinute;
    refuse(99);
    EXPECT_EQ(reports_, 1);
    refuse(1);
    EXPECT_EQ(reports_, 2) << "anew";
}

TEST_F(EscalationTest, FewerWithinTheSpanNeverBan) {
    refuse(1000, kAnonymous, kMinute / 98);
    EXPECT_EQ(reports_, 0);
}

TEST_F(EscalationTest, WhoeverKeepsOnIsCaughtWithinTwoSpans) {
    const Nanos start = now_;
    while (reports_ == 0 && now_ < start + kHour) refuse(1, kAnonymous, kMinute / 101);
    EXPECT_LE(now_ - start, 2 * kMinute);
}

TEST_F(EscalationTest, NoRuleNoBan) {
    rules_.rule.reset();
    refuse(1000);
    EXPECT_EQ(reports_, 0);
}

TEST_F(EscalationTest, ExemptSourcesAreNeverBanned) {
    client_ = *IpAddress::parse("10.1.2.3");
    refuse(1000);
    EXPECT_EQ(reports_, 0);
    // Nor a source that contains one.
    rules_.source_prefix = {4, 64};
    client_ = *IpAddress::parse("11.0.0.1");
    refuse(1000);
    EXPECT_EQ(reports_, 0);
}

TEST_F(EscalationTest, PolicyExemptsItsProxiesAndAllowedSources) {
    Policy policy;
    policy.trusted_proxies = {*IpPrefix::parse("192.0.2.1")};
    policy.kernel.allow.prefixes = {*IpPrefix::parse("2001:db8::/32")};
    policy.escalation = rules_.rule;
    rules_ = EscalationRules::of(policy);
    for (const char* address : {"192.0.2.1", "2001:db8:5::1"}) {
        client_ = *IpAddress::parse(address);
        refuse(200);
        EXPECT_EQ(reports_, 0) << address;
    }
    client_ = *IpAddress::parse("192.0.2.2");
    EXPECT_FALSE(refuse(99));
    EXPECT_TRUE(refuse(1));
}

TEST_F(EscalationTest, LoneUserBansHisAddress) {
    admit(kAlice);
    EXPECT_EQ(refuse(100, kAlice)->kind, Kind::kBan);
}

TEST_F(EscalationTest, OneUsersSinsDoNotBanAnAddressThatOthersUse) {
    admit(kBob);
    refuse(99, kAlice);
    const auto report = refuse(1, kAlice);
    ASSERT_TRUE(report);
    EXPECT_EQ(report->kind, Kind::kShared);
    refuse(500, kAlice);
    EXPECT_EQ(reports_, 1) << "said once a span";
    now_ += 2 * kMinute;  // Bob has not been seen since: it is Alice's address now
    EXPECT_EQ(refuse(100, kAlice)->kind, Kind::kBan);
}

TEST_F(EscalationTest, AnonymousTrafficThatWasAdmittedMakesAnAddressShared) {
    admit(kAnonymous);
    EXPECT_EQ(refuse(100, kAlice)->kind, Kind::kShared);
}

TEST_F(EscalationTest, AnonymousRefusalsAloneDoNotMakeItShared) {
    refuse(50);
    EXPECT_EQ(refuse(50, kAlice)->kind, Kind::kBan) << "one client, with and without his token";
}

TEST_F(EscalationTest, SharedAddressIsStillBannedForItsOwnAnonymousRefusals) {
    admit(kAlice);
    admit(kBob);
    refuse(50, kAlice);
    EXPECT_FALSE(refuse(49));
    EXPECT_EQ(refuse(1)->kind, Kind::kShared) << "50 of a user, 50 anonymous";
    EXPECT_FALSE(refuse(49));
    EXPECT_EQ(refuse(1)->kind, Kind::kBan) << "100 anonymous";
}

TEST_F(EscalationTest, SourcesOfOnePrefixCountTogether) {
    client_ = *IpAddress::parse("2001:db8::1");
    refuse(50);
    client_ = *IpAddress::parse("2001:db8::2");
    const auto ban = refuse(50);
    ASSERT_TRUE(ban);
    EXPECT_EQ(ban->source, *IpPrefix::parse("2001:db8::/64"));
}

TEST_F(EscalationTest, LiftedBanStartsOver) {
    refuse(100);
    tracker_.forget(IpPrefix{client_, 32});
    EXPECT_FALSE(refuse(99));
    EXPECT_EQ(refuse(1)->kind, Kind::kBan);
}

TEST_F(EscalationTest, MemoryIsFixedAndTheSilentMakeRoom) {
    EscalationTracker tiny{test::hasher(), 4};  // one set
    const auto refuse_from = [&](unsigned host, int times) {
        std::optional<Escalation> last;
        const IpAddress client = IpAddress::from_v4({192, 0, 2, static_cast<std::uint8_t>(host)});
        for (int i = 0; i < times; ++i)
            last = tiny.on_refused(rules_, client, kAnonymous, now_ += kMicrosecond);
        return last;
    };
    refuse_from(1, 90);
    for (unsigned host = 2; host <= 4; ++host) refuse_from(host, 1);
    EXPECT_FALSE(refuse_from(1, 9)) << "kept, with 99";
    refuse_from(5, 1);
    EXPECT_TRUE(refuse_from(1, 1)) << "2 made room, not the busy one";
}

}  // namespace
}  // namespace sluice
