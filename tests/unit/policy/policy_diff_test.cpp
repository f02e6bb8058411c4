#include "policy/policy_diff.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "policy/policy_json.hpp"
#include "unit/policy/load.hpp"

namespace sluice {
namespace {

std::string diff(std::string_view before, std::string_view after) {
    return to_string(diff_policies(policy_of(before), policy_of(after)));
}

constexpr std::string_view kLimits =
    "limits:\n  - {name: a, per: ip, rate: 60/h}\n  - {name: b, per: user, rate: 5/s}\n";

TEST(PolicyDiff, SpellingIsNoChange) {
    EXPECT_EQ(diff(kLimits,
                   "limits: # comment\n  - {rate: 5/s, per: user, name: b}\n  - {name: a, per: ip, when: "
                   "always, rate: 60/60m}\n"),
              "");
    EXPECT_EQ(diff("kernel: {ports: [80, 81]}", "kernel: {mode: enforce, ports: [81, 80]}"), "");
}

TEST(PolicyDiff, ListsAreComparedByName) {
    EXPECT_EQ(diff(kLimits,
                   "limits:\n  - {name: new, per: ip, rate: 1/s}\n  - {name: b, per: user, rate: 6/s, mode: "
                   "shadow}\n"),
              "- $.limits[a]: {per: ip, when: always, rate: 60/h, mode: enforce}\n"
              "~ $.limits[b].rate: 5/s → 6/s\n"
              "~ $.limits[b].mode: enforce → shadow\n"
              "+ $.limits[new]: {per: ip, when: always, rate: 1/s, mode: enforce}\n");
    EXPECT_EQ(diff("kernel: {limits: [{name: a, count: udp, rate: 5/s}]}",
                   "kernel: {limits: [{name: a, count: icmp, rate: 5/s}]}"),
              "~ $.kernel.limits[a].count: udp → icmp\n");
}

TEST(PolicyDiff, TheOrderOfRoutesMatters) {
    EXPECT_EQ(
        diff("routes: [{name: x, path: /x}, {name: a, path: /a}, {name: b, path: /b}]",
             "routes: [{name: x, path: /x}, {name: b, path: /b}, {name: n, path: /n}, {name: a, path: /a}]"),
        "+ $.routes[n]: {path: /n}\n~ $.routes: order a, b → order b, a\n");
}

TEST(PolicyDiff, SectionsComeAndGo) {
    EXPECT_EQ(
        diff("", "escalation: {after: 1, within: 60s, for: 1h}\nlimits: [{name: a, per: ip, rate: 1/s}]"),
        "+ $.limits[a]: {per: ip, when: always, rate: 1/s, mode: enforce}\n"
        "+ $.escalation: {after: 1, within: 1m, for: 1h}\n");
    EXPECT_EQ(diff("kernel: {ports: [80]}", "kernel: {ports: [80, 443], mode: shadow}"),
              "~ $.kernel.mode: enforce → shadow\n~ $.kernel.ports: [80] → [80, 443]\n");
}

TEST(PolicyDiff, GroupsOfPortsAreComparedByName) {
    EXPECT_EQ(
        diff("kernel: {ports: [80, {name: a, ports: [53], limits: [{name: u, count: udp, rate: 5/s}]}]}",
             "kernel: {ports: [{name: b, ports: [54]}, {name: a, ports: [53, 853], limits: [{name: u, count: "
             "udp, rate: 6/s}]}, 80]}"),
        "~ $.kernel.port_groups[a].ports: [53] → [53, 853]\n"
        "~ $.kernel.port_groups[a].limits[u].rate: 5/s → 6/s\n"
        "~ $.kernel.port_groups[a].limits[u].burst: 5 → 6\n"
        "+ $.kernel.port_groups[b]: {ports: [54], limits: []}\n");
}

TEST(PolicyDiff, LongListsAreSummarised) {
    std::string many = "kernel: {deny: [";
    for (int i = 0; i < 100; ++i) many += "10.0." + std::to_string(i) + ".0/24, ";
    EXPECT_EQ(
        diff("kernel: {deny: [192.0.2.0/24, 10.0.0.0/24]}", many + "]}"),
        "- $.kernel.deny: 192.0.2.0/24\n"
        "+ $.kernel.deny: 10.0.1.0/24, 10.0.2.0/24, 10.0.3.0/24, 10.0.4.0/24, 10.0.5.0/24 and 94 more\n");
}

TEST(PolicyDiff, KeysShowAsHashesOnly) {
    const auto policy = [](const char* secret) {
        const TemporaryFolder folder;
        folder.write("j", std::string{R"({"keys":[{"kty":"oct","k":")"} + secret + "\"}]}");
        return policy_of("identity: {jwt: {keys: j, algorithms: [HS256]}}", folder.path());
    };
    const auto changes = diff_policies(policy("c2VjcmV0"), policy("b3RoZXI"));
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].path, "$.identity.jwt.keys_sha256");
    EXPECT_EQ(changes[0].before.size(), 12U);
    EXPECT_EQ(to_json(policy("c2VjcmV0")).dump().find("c2VjcmV0"), std::string::npos);
    EXPECT_EQ(to_json(changes)[0]["kind"], "changed");
}

TEST(PolicyDiff, AHundredThousandPrefixesAreQuick) {
    Policy before;
    Policy after;
    for (unsigned i = 0; i < 100'000; ++i)
        before.kernel.deny.prefixes.emplace_back(
            IpAddress::from_v4({10, static_cast<std::uint8_t>(i >> 16), static_cast<std::uint8_t>(i >> 8),
                                static_cast<std::uint8_t>(i)}),
            32);
    EXPECT_EQ(diff_policies(before, after)[0].before,
              "10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 99995 more");
}

}  // namespace
}  // namespace sluice
