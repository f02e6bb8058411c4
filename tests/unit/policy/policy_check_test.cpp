#include "policy/policy_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/policy/load.hpp"

namespace sluice {
namespace {

using testing::HasSubstr;

TEST(PolicyCheck, ADefaultPolicyLacksOnlyItsName) {
    Policy policy;
    EXPECT_EQ(
        to_string(check_policy(policy)),
        "error: \"\" can't be a policy's name (at $.name); allowed: 1 to 64 of A-Z, a-z, 0-9, _, - and .\n");
    policy.name = "Flood-only_1.2";
    EXPECT_TRUE(check_policy(policy).empty());
}

TEST(PolicyCheck, NamesAreUniqueInTheirList) {
    EXPECT_EQ(problems_of("routes: [{name: a, path: /a}]\nlimits:\n  - {name: a, per: ip, rate: 1/s}\n  - "
                          "{name: a, per: ip, rate: 2/s}\n"),
              "p.yaml:5:12: error: name \"a\" is taken by $.limits[0] (at $.limits[1].name); allowed: each "
              "name once in its list\n");
}

TEST(PolicyCheck, BoundsTheNumberOfItems) {
    const auto limits = [](std::size_t count, std::string_view rest) {
        std::string text = "limits:\n";
        for (std::size_t i = 0; i < count; ++i)
            text += "  - {name: l" + std::to_string(i) + ", " + std::string{rest} + "}\n";
        return text;
    };
    EXPECT_EQ(problems_of(limits(kMaxLimitsOfRequest, "per: ip, rate: 1/s")), "");
    EXPECT_EQ(problems_of(limits(kMaxLimitsOfRequest + 1, "per: ip, rate: 1/s")),
              "p.yaml:3:3: error: 33 limits apply to one request without a class (at $.limits); allowed: at "
              "most 32\n");
    EXPECT_THAT(problems_of(limits(kMaxRequestLimits + 1, "per: ip, rate: 1/s")),
                HasSubstr("p.yaml:3:3: error: 65 items (at $.limits); allowed: at most 64\n"));
    const auto kernel = [&](std::size_t count) {
        std::string text = "kernel:\n  limits:\n";
        for (std::size_t i = 0; i < count; ++i)
            text += "    - {name: l" + std::to_string(i) + ", count: udp, rate: 9/s}\n";
        return problems_of(text);
    };
    EXPECT_EQ(kernel(7), "");
    EXPECT_EQ(kernel(8),
              "p.yaml:4:5: error: 8 limits per source, 0 per prefix (at $.kernel.limits); allowed: at most 7 "
              "of each\n");
}

TEST(PolicyCheck, RoutesThatAnEarlierOneShadows) {
    const auto shadowed = [](std::string_view earlier, std::string_view later) {
        const auto said = problems_of("routes:\n  - {name: a, path: " + std::string{earlier} +
                                      "}\n  - {name: b, path: " + std::string{later} + "}\n");
        EXPECT_EQ(said.find("error"), std::string::npos) << said;
        return said.find("warning: never matches: route \"a\"") != std::string::npos;
    };
    EXPECT_TRUE(shadowed("/api/**", "/api/ai/x"));
    EXPECT_TRUE(shadowed("/api/**", "/api"));
    EXPECT_TRUE(shadowed("/api/**", "/api/ai/**"));
    EXPECT_TRUE(shadowed("/api/*", "/api/x"));
    EXPECT_TRUE(shadowed("/api/*/c", "/api/b/c"));
    EXPECT_TRUE(shadowed("/**", "/"));
    EXPECT_TRUE(shadowed("/a", "/a"));
    EXPECT_TRUE(shadowed("/a", "/a, methods: [GET]"));
    EXPECT_TRUE(shadowed("/a, methods: [GET, POST]", "/a, methods: [POST]"));
    EXPECT_TRUE(shadowed("/a, methods: [GET]", "/a, methods: [HEAD]"));
    EXPECT_FALSE(shadowed("/a, methods: [HEAD]", "/a, methods: [GET]"));
    EXPECT_FALSE(shadowed("/a, methods: [GET]", "/a"));
    EXPECT_FALSE(shadowed("/a, methods: [GET]", "/a, methods: [POST]"));
    EXPECT_FALSE(shadowed("/api/*", "/api/**"));
    EXPECT_FALSE(shadowed("/api/*", "/api/"));
    EXPECT_FALSE(shadowed("/api/x", "/api/*"));
    EXPECT_FALSE(shadowed("/api/a/**", "/api/b/**"));
    EXPECT_FALSE(shadowed("/a", "/a/b"));
    EXPECT_FALSE(shadowed("/a/b", "/a"));
}

TEST(PolicyCheck, PathsMustBeCanonical) {
    for (const auto* path :
         {"api", "\"\"", "/a//b", "/a/../b", "/a/./b", "/a/**/b", "/a*", "/a/**b", "\"/a b\"", "\"/a?b=1\"",
          "\"/a#b\"", "/a;v=1", "/a%2f", "/a%4", "/ä", "'/a\\b'"})
        EXPECT_THAT(problems_of("routes: [{name: r, path: " + std::string{path} + "}]\n"),
                    HasSubstr("error: \""))
            << path;
    for (const auto* path : {"/", "/a/", "/a/*/b", "/**", "/a%C3%A4", "/a-._~!$&'()+=:@", "/%3B"})
        EXPECT_EQ(problems_of("routes: [{name: r, path: \"" + std::string{path} + "\"}]\n"), "") << path;
}

TEST(PolicyCheck, ClassesAndLimitsMustMeet) {
    EXPECT_THAT(problems_of("routes: [{name: a, path: /a, class: ai}]\nlimits: [{name: x, per: ip, class: "
                            "voice, rate: 1/h}, {name: y, per: ip, rate: 1/s}]\n"),
                HasSubstr("p.yaml:3:36: error: no route has class \"voice\": the limit would never apply (at "
                          "$.limits[0].class); allowed: ai"));
    EXPECT_THAT(problems_of("routes: [{name: a, path: /a, class: ai}]\n"),
                HasSubstr("warning: no limit is for class \"ai\""));
    EXPECT_EQ(problems_of("routes: [{name: a, path: /a, class: login}]\n"), "") << "has a meaning of its own";
}

TEST(PolicyCheck, LimitsThatDoNothingOrTooLittle) {
    EXPECT_THAT(problems_of("limits: [{name: u, per: user, when: authenticated, rate: 1/s}]\n"),
                testing::AllOf(HasSubstr("warning: never applies: without `identity`"),
                               HasSubstr("warning: an anonymous request without a class is under no limit")));
    EXPECT_THAT(problems_of("limits: [{name: u, per: user, when: anonymous, rate: 1/s}]\n"),
                HasSubstr("warning: counts addresses"));
    EXPECT_THAT(problems_of("escalation: {after: 1, within: 1s, for: 1s}\n"),
                HasSubstr("warning: never happens"));
    EXPECT_THAT(problems_of("kernel: {ban: {after: 1, within: 1s, for: 1s}}\n"),
                HasSubstr("warning: never happens"));
}

TEST(PolicyCheck, BurstsBelowATickOrAFrame) {
    EXPECT_THAT(problems_of("kernel: {limits: [{name: a, count: packets, rate: 5000/s, burst: 19}]}\n"),
                HasSubstr("warning: burst 19 is less than 5000/s grants in a tick"));
    EXPECT_EQ(problems_of("kernel: {limits: [{name: a, count: packets, rate: 5000/s, burst: 20}]}\n"), "");
    EXPECT_THAT(problems_of("kernel: {limits: [{name: a, count: bytes, rate: 5000/s, burst: 1513}]}\n"),
                HasSubstr("error: burst 1513 is less than one full frame"));
}

TEST(PolicyCheck, ListsThatContradict) {
    EXPECT_THAT(problems_of("kernel: {deny: [0.0.0.0/0]}\n"),
                HasSubstr("warning: denies every address of a family"));
    EXPECT_THAT(problems_of("kernel: {allow: [\"::/0\"]}\n"),
                HasSubstr("warning: allows every address of a family"));
    EXPECT_THAT(problems_of("kernel: {allow: [192.0.2.0/24], deny: [192.0.2.7, 203.0.113.0/24]}\n"),
                HasSubstr("warning: 192.0.2.7: also allowed, and allow wins (at $.kernel.deny)"));
    EXPECT_EQ(problems_of("kernel: {allow: [192.0.2.7], deny: [192.0.2.0/24]}\n"), "")
        << "a hole is what allow is for";
    EXPECT_EQ(problems_of("kernel: {allow: [\"c000:200::/24\"], deny: [192.0.2.0/24]}\n"), "")
        << "families are apart";
    EXPECT_THAT(problems_of("trusted_proxies: [10.0.0.1]\nkernel: {deny: [10.0.0.0/8]}\n"),
                HasSubstr("warning: denies trusted proxies"));
    EXPECT_THAT(problems_of("kernel: {prefix: {ipv4: 32, ipv6: 128}, limits: [{name: a, count: udp, per: "
                            "prefix, rate: 9/s}]}\n"),
                HasSubstr("error: is longer than source_prefix"));
}

TEST(PolicyCheck, ListsHoldAMillionAndNoMore) {
    Policy policy;
    policy.name = "lists";
    policy.kernel.deny.prefixes.assign(kMaxPrefixes, IpPrefix::parse("192.0.2.1").value());
    EXPECT_TRUE(check_policy(policy).empty());
    policy.kernel.deny.prefixes.push_back(IpPrefix::parse("192.0.2.2").value());
    EXPECT_EQ(to_string(check_policy(policy)),
              "error: 1000001 prefixes, those of its files included (at $.kernel.deny); allowed: at most "
              "1000000\n");
}

TEST(PolicyCheck, HeadersThatMayNotCarryAKey) {
    const TemporaryFolder folder;
    folder.write("k", "keys: [{sha256: " + std::string(64, '0') + ", user: u}]");
    for (const auto* header : {"Authorization", "cookie", "\"\"", "\"X Y\"", "\"X:\""})
        EXPECT_THAT(problems_of("identity: {api_keys: {file: k, header: " + std::string{header} + "}}\n",
                                folder.path()),
                    HasSubstr("can't carry an API key"));
    EXPECT_EQ(problems_of("identity: {api_keys: {file: k, header: X-Key}}\n", folder.path()), "");
}

}  // namespace
}  // namespace sluice
