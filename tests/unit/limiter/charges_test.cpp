// Which limits apply to whom: the mission's M1 to M5 as a table, fallbacks, overrides, sources.
#include "limiter/charges.hpp"

#include <gtest/gtest.h>

#include <set>

#include "fixtures.hpp"

namespace sluice {
namespace {

using test::hasher;

RequestLimit limit(std::string name, LimitScope per, LimitWhen when, std::string class_name, Rate rate,
                   LimitMode mode = LimitMode::kEnforce) {
    return {.name = std::move(name),
            .per = per,
            .when = when,
            .class_name = std::move(class_name),
            .rate = rate,
            .mode = mode};
}

Policy mission() {
    Policy policy;
    policy.name = "mission";
    policy.limits = {limit("ip", LimitScope::kIp, LimitWhen::kAnonymous, "", {1000, kHour}),
                     limit("user", LimitScope::kUser, LimitWhen::kAuthenticated, "", {5000, kHour}),
                     limit("ai", LimitScope::kUser, LimitWhen::kAlways, "ai", {100, kHour}),
                     limit("voice", LimitScope::kUser, LimitWhen::kAlways, "voice", {50, kHour}),
                     limit("assessment", LimitScope::kUser, LimitWhen::kAlways, "assessment", {200, kHour})};
    return policy;
}

ChargePlan plan_of(const Policy& policy) {
    auto plan = ChargePlan::make(policy, hasher());
    EXPECT_TRUE(plan);
    return *plan;
}

const IpAddress kClient = *IpAddress::parse("203.0.113.7");

ChargeList charges_of(const Policy& policy, const RequestSubject& request, const Overrides& overrides = {},
                      Nanos now = kSecond) {
    ChargeList list;
    plan_of(policy).charges(request, overrides, now, list);
    return list;
}

std::vector<std::string> names(const Policy& policy, const ChargeList& list) {
    std::vector<std::string> result;
    for (const std::uint16_t index : list.limits()) result.push_back(policy.limits[index].name);
    return result;
}

using Names = std::vector<std::string>;

TEST(Charges, MissionTable) {
    const Policy policy = mission();
    struct Row {
        std::string_view class_name, user;
        Names limits;
    };
    const Row rows[] = {
        {"", "", {"ip"}},                       // M1
        {"", "alice", {"user"}},                // M2
        {"ai", "alice", {"user", "ai"}},        // M3 beside M2
        {"ai", "", {"ip", "ai"}},               // an anonymous request's user is its address
        {"voice", "alice", {"user", "voice"}},  // M4
        {"voice", "", {"ip", "voice"}},
        {"assessment", "alice", {"user", "assessment"}},  // M5
        {"assessment", "", {"ip", "assessment"}},
        {"unknown", "alice", {"user"}},  // a class no limit names
    };
    for (const Row& row : rows) {
        const ChargeList list = charges_of(policy, {row.class_name, row.user, kClient});
        EXPECT_EQ(names(policy, list), row.limits) << row.class_name << " " << row.user;
        for (std::size_t i = 0; i < list.size(); ++i) {
            const RequestLimit& of = policy.limits[list.limits()[i]];
            EXPECT_EQ(list.charges()[i].rate, of.rate);
            EXPECT_EQ(list.charges()[i].cost, 1U);
            const bool by_user = of.per == LimitScope::kUser && !row.user.empty();
            EXPECT_EQ(
                list.charges()[i].key,
                by_user
                    ? hasher().key(hasher().limit_id(of.name), hasher().subject(SubjectKind::kUser, row.user))
                    : hasher().key(hasher().limit_id(of.name), hasher().subject(IpPrefix{kClient, 32})));
        }
    }
}

TEST(Charges, NoLimitsChargeNothing) {
    EXPECT_EQ(charges_of(Policy{}, {"ai", "alice", kClient}).size(), 0U);
}

TEST(Charges, WhereNoneAppliesTheStrictestDoes) {
    Policy policy;
    policy.limits = {
        limit("ai", LimitScope::kUser, LimitWhen::kAlways, "ai", {100, kHour}),
        limit("voice", LimitScope::kUser, LimitWhen::kAuthenticated, "voice", {1, kMinute}),
        limit("shadow", LimitScope::kUser, LimitWhen::kAlways, "x", {1, kDay}, LimitMode::kShadow)};
    EXPECT_EQ(names(policy, charges_of(policy, {"", "alice", kClient})), Names{"voice"})
        << "60/h in the long run";
    EXPECT_EQ(names(policy, charges_of(policy, {"voice", "", kClient})), Names{"voice"})
        << "though it is anonymous";
    EXPECT_EQ(names(policy, charges_of(policy, {"ai", "", kClient})), Names{"ai"});
    EXPECT_EQ(names(policy, charges_of(policy, {"x", "", kClient})), Names{"shadow"})
        << "it applies, as a trial";
    policy.limits.erase(policy.limits.begin(), policy.limits.begin() + 2);
    EXPECT_EQ(names(policy, charges_of(policy, {"", "", kClient})), Names{"shadow"}) << "nothing is enforced";
}

TEST(Charges, TiesGoToTheSmallerCountThenTheFirstWritten) {
    Policy policy;
    policy.limits = {limit("hour", LimitScope::kIp, LimitWhen::kAlways, "a", {3600, kHour}),
                     limit("second", LimitScope::kIp, LimitWhen::kAlways, "b", {1, kSecond}),
                     limit("again", LimitScope::kIp, LimitWhen::kAlways, "c", {1, kSecond})};
    EXPECT_EQ(names(policy, charges_of(policy, {"", "", kClient})), Names{"second"});
}

TEST(Charges, SourcesAreMaskedAsThePolicySays) {
    Policy policy = mission();
    policy.source_prefix = {24, 56};
    const auto key = [&](const char* address) {
        return charges_of(policy, {"", "", *IpAddress::parse(address)}).charges()[0].key;
    };
    EXPECT_EQ(key("192.0.2.1"), key("192.0.2.200"));
    EXPECT_NE(key("192.0.2.1"), key("192.0.3.1"));
    EXPECT_EQ(key("2001:db8:1:2ff::1"), key("2001:db8:1:200::2"));
    EXPECT_NE(key("2001:db8:1:2ff::1"), key("2001:db8:1:300::1"));
    EXPECT_EQ(key("::ffff:192.0.2.1"), key("192.0.2.1"));
}

TEST(Charges, UserWhoseNameIsAnAddressGetsNoneOfItsCounters) {
    const Policy policy = mission();
    const ChargeList anonymous = charges_of(policy, {"ai", "", kClient});
    std::string bytes{reinterpret_cast<const char*>(kClient.bytes().data()), 16};
    for (const std::string& user : {std::string{"203.0.113.7"}, bytes, bytes + ' '}) {
        const ChargeList named = charges_of(policy, {"ai", user, kClient});
        for (const Charge& a : anonymous.charges()) {
            for (const Charge& b : named.charges()) EXPECT_NE(a.key, b.key);
        }
    }
}

TEST(Charges, OverridesReplaceTheRateOfThatUserAndLimitOnly) {
    const Policy policy = mission();
    const auto overrides = Overrides{}.with("alice", {"ai", {500, kHour}, 10 * kSecond}, kSecond);
    ASSERT_TRUE(overrides);
    const auto rates = [&](std::string_view user, Nanos now) {
        std::vector<std::uint64_t> result;
        const ChargeList list = charges_of(policy, {"ai", user, kClient}, *overrides, now);
        for (const Charge& charge : list.charges()) result.push_back(charge.rate.count);
        return result;
    };
    EXPECT_EQ(rates("alice", kSecond), (std::vector<std::uint64_t>{5000, 500}));
    EXPECT_EQ(rates("alice", 10 * kSecond), (std::vector<std::uint64_t>{5000, 100})) << "expired";
    EXPECT_EQ(rates("bob", kSecond), (std::vector<std::uint64_t>{5000, 100}));
    EXPECT_EQ(rates("", kSecond), (std::vector<std::uint64_t>{1000, 100}));
}

TEST(Charges, MoreLimitsOnOneRequestThanFitAreAnError) {
    Policy policy;
    for (std::size_t i = 0; i < kMaxCharges; ++i) {
        policy.limits.push_back(
            limit("l" + std::to_string(i), LimitScope::kIp, LimitWhen::kAlways, "", {1, kHour}));
    }
    EXPECT_TRUE(ChargePlan::make(policy, hasher()));
    policy.limits.push_back(limit("extra", LimitScope::kIp, LimitWhen::kAlways, "ai", {1, kHour}));
    const auto plan = ChargePlan::make(policy, hasher());
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().message, "policy limits: 33 apply to one request of class ai, at most 32 may");
}

TEST(Charges, LimitsOnRequestsInFlightComeAfterTheRates) {
    Policy policy = mission();
    policy.limits.insert(policy.limits.begin(),
                         {limit("streams", LimitScope::kUser, LimitWhen::kAlways, "", {5, 0}),
                          limit("voices", LimitScope::kUser, LimitWhen::kAlways, "voice", {1, 0})});
    const ChargeList list = charges_of(policy, {"voice", "alice", kClient});
    EXPECT_EQ(names(policy, list), (Names{"user", "voice", "streams", "voices"}));
    ASSERT_EQ(list.by_rate().size(), 2U);
    ASSERT_EQ(list.in_flight().size(), 2U);
    EXPECT_EQ(list.in_flight()[1].rate, (Rate{1, 0}));
    EXPECT_EQ(list.in_flight()[0].key, charges_of(policy, {"", "alice", kClient}).in_flight()[0].key)
        << "one count over all classes";
}

// A limit on requests in flight that is added must not take the last resort from requests without a rate.
TEST(Charges, ALimitOnRequestsInFlightIsNoRate) {
    Policy policy = mission();
    policy.limits = {limit("user", LimitScope::kUser, LimitWhen::kAuthenticated, "", {5000, kHour}),
                     limit("streams", LimitScope::kIp, LimitWhen::kAlways, "", {5, 0})};
    EXPECT_EQ(names(policy, charges_of(policy, {"", "", kClient})), (Names{"user", "streams"}));
    policy.limits = {limit("few", LimitScope::kIp, LimitWhen::kAuthenticated, "", {1, 0}),
                     limit("streams", LimitScope::kIp, LimitWhen::kAnonymous, "", {5, 0})};
    EXPECT_EQ(names(policy, charges_of(policy, {"", "", kClient})), Names{"streams"});
    policy.limits.pop_back();
    EXPECT_EQ(names(policy, charges_of(policy, {"", "", kClient})), Names{"few"}) << "never none";
}

TEST(Charges, AnOverrideOfTheOtherKindCountsForNothing) {
    Policy policy = mission();
    policy.limits.push_back(limit("streams", LimitScope::kUser, LimitWhen::kAlways, "", {5, 0}));
    const auto overrides = Overrides{}
                               .with("alice", {"user", {9, 0}, std::nullopt}, 0)
                               ->with("alice", {"streams", {7, 0}, std::nullopt}, 0);
    const ChargeList list = charges_of(policy, {"", "alice", kClient}, *overrides);
    EXPECT_EQ(list.by_rate()[0].rate, (Rate{5000, kHour}));
    EXPECT_EQ(list.in_flight()[0].rate, (Rate{7, 0}));
}

}  // namespace
}  // namespace sluice
