#include "policy/policy_yaml.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "policy/policy_check.hpp"
#include "policy/policy_json.hpp"
#include "unit/policy/load.hpp"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kContractExample = R"(name: starguide
trusted_proxies: [127.0.0.0/8, "::1/128"]
source_prefix: {ipv4: 32, ipv6: 64}
kernel:
  mode: enforce                 # enforce | shadow (count what would be dropped) | off
  ports: [8080]                 # traffic to other ports is never touched; omitted: all
  allow: [192.0.2.10, "2001:db8:1::/48"]
  deny: [198.51.100.0/24, {file: deny.txt}]          # a file holds one address or prefix a line
  prefix: {ipv4: 24, ipv6: 48}  # what `per: prefix` groups by
  limits:                       # count: packets | bytes | tcp_syn | udp | icmp; per: source (default) | prefix
    - {name: packets, count: packets, rate: 5000/s, burst: 10000}
    - {name: syn, count: tcp_syn, rate: 100/s, burst: 200}
  syn_cookies: auto             # auto (while a SYN flood lasts) | always | off
  ban: {after: 1000, within: 10s, for: 60s}          # drops by one source before it is banned
identity:
  jwt: {keys: jwks.json, algorithms: [RS256], issuer: I, audience: A, user: sub}
  api_keys: {header: X-API-Key, file: keys.yaml}
routes:                         # first match; * one segment, ** the rest
  - {name: ai_openai, path: "/api/ai/openai/**", class: ai, provider: openai}
  - {name: voice, path: "/api/voice/**", class: voice}
  - {name: assessment, path: "/api/assessments/**", class: assessment}
limits:                         # per: ip | user (an anonymous request's user is its address); exact trailing windows
  - {name: ip, per: ip, when: anonymous, rate: 1000/h}
  - {name: user, per: user, when: authenticated, rate: 5000/h}
  - {name: ai, per: user, class: ai, rate: 100/h}
  - {name: voice, per: user, class: voice, rate: 50/h}
  - {name: assessment, per: user, class: assessment, rate: 200/h}
escalation: {after: 100, within: 60s, for: 600s}     # refused requests of one source before the kernel drops it
)";

const std::string kDigest(64, 'a');

TEST(PolicyYaml, GroupsOfPorts) {
    const auto load = load_policy_text(
        "name: p\nkernel:\n  ports: [80, {ports: [53, 853]}, others, {name: web, ports: [443], limits: []}]\n"
        "  limits: [{name: a, count: udp, rate: 5/s}]\n",
        "p.yaml", "/nonexistent");
    ASSERT_TRUE(load) << to_string(load.problems);
    const KernelPolicy& kernel = load.loaded->policy->kernel;
    EXPECT_EQ(kernel.ports, std::vector<std::uint16_t>{80});
    EXPECT_TRUE(kernel.other_ports);
    ASSERT_EQ(kernel.port_groups.size(), 2U);
    EXPECT_EQ(kernel.port_groups[0], (PortGroup{"53_853", {53, 853}, kernel.limits, 1}))
        << "limits that are not given are those of the other ports";
    EXPECT_EQ(kernel.port_groups[1], (PortGroup{"web", {443}, {}, 3}));
    EXPECT_EQ(kernel.newcomers, (Rate{125'000, kSecond}));
}

TEST(PolicyYaml, TheContractsExampleLoads) {
    const TemporaryFolder folder;
    folder.write("deny.txt", "203.0.113.0/24\n\n  2001:db8:bad::/48  # scanners\r\n198.51.100.0/24\n");
    folder.write("jwks.json", R"({"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]})");
    folder.write("keys.yaml", "keys: [{sha256: " + kDigest + ", user: alice}]");
    const auto load = load_policy_file(folder.write("policy.yaml", kContractExample));
    ASSERT_TRUE(load) << to_string(load.problems);
    EXPECT_TRUE(load.problems.empty()) << to_string(load.problems);

    const Policy& policy = *load.loaded->policy;
    EXPECT_EQ(policy.name, "starguide");
    EXPECT_EQ(policy.trusted_proxies.size(), 2U);
    EXPECT_EQ(policy.kernel.mode, KernelMode::kEnforce);
    EXPECT_EQ(policy.kernel.ports, std::vector<std::uint16_t>{8080});
    EXPECT_EQ(policy.kernel.deny.prefixes.size(), 3U) << "in place and from the file, each once";
    EXPECT_EQ(policy.kernel.deny.files, std::vector<std::string>{"deny.txt"});
    ASSERT_EQ(policy.kernel.limits.size(), 2U);
    EXPECT_EQ(
        policy.kernel.limits[1],
        (PacketLimit{
            "syn", PacketCount::kTcpSyn, PacketScope::kSource, {100, kSecond}, 200, LimitMode::kEnforce}));
    EXPECT_EQ(policy.kernel.ban, (BanRule{1000, 10 * kSecond, kMinute}));
    ASSERT_TRUE(policy.identity.jwt && policy.identity.api_keys);
    EXPECT_EQ(policy.identity.jwt->issuer, "I");
    EXPECT_EQ(policy.identity.jwt->roles_claim, "roles");
    EXPECT_EQ(policy.identity.api_keys->keys, (std::vector<ApiKey>{{kDigest, "alice"}}));
    ASSERT_EQ(policy.routes.size(), 3U);
    EXPECT_EQ(policy.routes[0].provider, "openai");
    ASSERT_EQ(policy.limits.size(), 5U);
    EXPECT_EQ(
        policy.limits[3],
        (RequestLimit{
            "voice", LimitScope::kUser, LimitWhen::kAlways, "voice", {50, kHour}, LimitMode::kEnforce}));
    EXPECT_EQ(policy.escalation, (BanRule{100, kMinute, 10 * kMinute}));
    EXPECT_THAT(load.loaded->files,
                testing::UnorderedElementsAre(folder.path() + "/deny.txt", folder.path() + "/jwks.json",
                                              folder.path() + "/keys.yaml"));
}

TEST(PolicyYaml, ExamplesLoad) {
    const std::filesystem::path folder{SLUICE_SOURCE_DIR "/policies"};
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator{folder}) {
        if (entry.path().extension() != ".yaml") continue;
        const auto load = load_policy_file(entry.path().string());
        EXPECT_TRUE(load) << to_string(load.problems);
        for (const Problem& problem : load.problems)
            EXPECT_THAT(problem.message, HasSubstr("is refused")) << "only the empty key files are warned of";
        ++count;
    }
    EXPECT_EQ(count, 3U);
}

TEST(PolicyYaml, TheMissionsLimits) {
    const auto load = load_policy_file(SLUICE_SOURCE_DIR "/policies/starguide.yaml");
    ASSERT_TRUE(load);
    const auto rate = [&](std::string_view name) {
        for (const RequestLimit& limit : load.loaded->policy->limits)
            if (limit.name == name) return to_string(limit.rate);
        return std::string{};
    };
    EXPECT_EQ(rate("ip"), "1000/h");         // M1
    EXPECT_EQ(rate("user"), "5000/h");       // M2
    EXPECT_EQ(rate("ai"), "100/h");          // M3
    EXPECT_EQ(rate("voice"), "50/h");        // M4
    EXPECT_EQ(rate("assessment"), "200/h");  // M5
}

TEST(PolicyYaml, DefaultsAreFilledIn) {
    EXPECT_EQ(policy_of("").kernel.mode, KernelMode::kOff) << "no kernel section";
    const Policy policy = policy_of(
        "kernel:\n  limits:\n    - {name: a, count: packets, rate: 100/s}\n"
        "    - {name: b, count: udp, rate: 3/m}\n    - {name: c, count: bytes, rate: 100/s}\n");
    EXPECT_EQ(policy.kernel.mode, KernelMode::kEnforce);
    EXPECT_EQ(policy.source_prefix, (SourcePrefix{32, 64}));
    EXPECT_EQ(policy.kernel.prefix, (SourcePrefix{24, 48}));
    EXPECT_EQ(policy.kernel.limits[0].burst, 100U) << "a second's worth";
    EXPECT_EQ(policy.kernel.limits[1].burst, 1U);
    EXPECT_EQ(policy.kernel.limits[2].burst, kMinByteBurst);
}

TEST(PolicyYaml, AllProblemsAreCollectedInOrder) {
    const std::string text =
        problems_of("kernel:\n  mode: of\n  prots: [80]\nlimits:\n  - {name: x, per: ip, rate: 0/h}\n");
    EXPECT_EQ(text,
              "p.yaml:3:9: error: \"of\" is not a mode (at $.kernel.mode); allowed: enforce | shadow | off\n"
              "p.yaml:4:3: error: unknown key \"prots\"; did you mean \"ports\"? (at $.kernel.prots); "
              "allowed: mode, ports, "
              "allow, deny, prefix, limits, newcomers, syn_cookies, ban\n"
              "p.yaml:6:30: error: \"0/h\" is not a rate (at $.limits[0].rate); allowed: N/s, N/m, N/h, N/d "
              "or N per whole "
              "units such as N/15m, N from 1\n");
}

// Each fault alone: what is said of it begins as given.
TEST(PolicyYaml, FaultsSayWhereAndWhat) {
    struct Case {
        const char* text;
        const char* start;
    };
    for (const auto& [text, start] : {
             Case{"name: twice\n", "p.yaml:2:1: error: key \"name\" appears twice"},
             Case{"kernel: on\n", "p.yaml:2:9: error: a single value in place of a mapping (at $.kernel)"},
             Case{"kernel:\n", "p.yaml:3:1: error: nothing in place of a mapping (at $.kernel)"},
             Case{"limits: {}\n", "p.yaml:2:9: error: a mapping in place of a list (at $.limits)"},
             Case{"limits: [x]\n",
                  "p.yaml:2:10: error: a single value in place of a mapping (at $.limits[0])"},
             Case{"source_prefix: {ipv4: 33}\n",
                  "p.yaml:2:23: error: \"33\" is not a whole number in range (at $.source_prefix.ipv4); "
                  "allowed: 8…32"},
             Case{"source_prefix: {ipv6: 31}\n",
                  "p.yaml:2:23: error: \"31\" is not a whole number in range (at $.source_prefix.ipv6); "
                  "allowed: 32…128"},
             Case{"source_prefix: {ipv4: 0x20}\n", "p.yaml:2:23: error: \"0x20\""},
             Case{"kernel: {ports: [65536]}\n",
                  "p.yaml:2:18: error: \"65536\" is not a whole number in range (at $.kernel.ports[0])"},
             Case{"kernel: {ports: []}\n", "p.yaml:2:17: error: an empty list of ports (at $.kernel.ports)"},
             Case{"kernel: {ports: [80, {ports: [81, 80]}]}\n",
                  "p.yaml:2:35: error: port 80 appears twice (at $.kernel.ports[1].ports[1]); allowed: each "
                  "port once"},
             Case{"kernel: {ports: [{ports: []}]}\n",
                  "p.yaml:2:26: error: an empty list of ports (at $.kernel.ports[0].ports)"},
             Case{"kernel: {ports: [{limits: []}]}\n",
                  "p.yaml:2:18: error: \"ports\" is missing (at $.kernel.ports[0].ports)"},
             Case{"kernel: {ports: [1, {name: a, ports: [2]}, {name: a, ports: [3]}]}\n",
                  "p.yaml:2:44: error: two groups have the name \"a\" (at $.kernel.ports[2])"},
             Case{"kernel: {ports: [other]}\n", "p.yaml:2:18: error: \"other\" is not a whole number"},
             Case{"kernel: {ports: [{ports: [1], limits: [{name: a, count: udp, rate: 1/s, burst: 0}]}]}\n",
                  "p.yaml:2:80: error: \"0\" is not a whole number in range (at "
                  "$.kernel.ports[0].limits[0].burst)"},
             Case{"kernel: {ports: [{ports: [1], limits: [{name: a, count: bytes, rate: 1/s, burst: 9}]}]}\n",
                  "p.yaml:2:82: error: burst 9 is less than one full frame (at "
                  "$.kernel.ports[0].limits[0].burst)"},
             Case{"kernel: {newcomers: 5/d}\n",
                  "p.yaml:2:21: error: 5/d is out of range (at $.kernel.newcomers)"},
             Case{"kernel: {deny: [192.0.2.1/24]}\n",
                  "p.yaml:2:17: error: '192.0.2.1/24' has bits set after its length; the prefix is "
                  "192.0.2.0/24 (at $.kernel.deny[0])"},
             Case{"kernel: {deny: [[1]]}\n",
                  "p.yaml:2:17: error: a list in place of a single value (at $.kernel.deny[0])"},
             Case{"kernel: {deny: [{file: /etc/passwd}]}\n",
                  "p.yaml:2:24: error: \"/etc/passwd\": an absolute path (at $.kernel.deny[0].file)"},
             Case{"kernel: {deny: [{file: a/../../b}]}\n",
                  "p.yaml:2:24: error: \"a/../../b\": a path that leaves the folder"},
             Case{"kernel: {deny: [{file: gone.txt}]}\n",
                  "p.yaml:2:24: error: open /nonexistent/gone.txt: No such file"},
             Case{"kernel: {ban: {within: 10s, for: 60s}}\n",
                  "p.yaml:2:15: error: \"after\" is missing (at $.kernel.ban.after)"},
             Case{"escalation: {after: 1, within: 10s, for: 31d}\n",
                  "p.yaml:2:42: error: \"31d\" is out of range (at $.escalation.for); allowed: 1s…30d"},
             Case{"escalation: {after: 0, within: 10s, for: 1d}\n", "p.yaml:2:21: error: \"0\""},
             Case{"kernel: {limits: [{name: a, count: udp, rate: 1/s, burst: 0}]}\n",
                  "p.yaml:2:59: error: \"0\" is not a whole number in range (at $.kernel.limits[0].burst); "
                  "allowed: 1…"},
             Case{"kernel: {limits: [{name: a, count: udp, rate: 1/s, burst: -1}]}\n",
                  "p.yaml:2:59: error: \"-1\""},
             Case{"kernel: {limits: [{name: a, count: udp, rate: 1/2h}]}\n",
                  "p.yaml:2:47: error: 1/2h is out of range (at $.kernel.limits[0].rate)"},
             Case{"limits: [{name: A, per: ip, rate: 1/s}]\n",
                  "p.yaml:2:17: error: \"A\" can't be a name (at $.limits[0].name)"},
             Case{"limits: [{name: other, per: ip, rate: 1/s}]\n",
                  "p.yaml:2:17: error: \"other\" can't be a name"},
             Case{"limits: [{name: a, per: ip, rate: 1/32d}]\n",
                  "p.yaml:2:35: error: 1/32d is out of range (at $.limits[0].rate)"},
             Case{"routes: [{name: a, path: /a, methods: [post]}]\n",
                  "p.yaml:2:40: error: \"post\" is not a method (at $.routes[0].methods[0])"},
             Case{"trusted_proxies: [0.0.0.0/0]\n", "p.yaml:2:18: error: 0.0.0.0/0 trusts everyone"},
             Case{"identity: {jwt: {algorithms: [none]}}\n",
                  "p.yaml:2:17: error: \"keys\" is missing (at $.identity.jwt.keys)\np.yaml:2:31: error: "
                  "\"none\" is not an algorithm that is taken (at "
                  "$.identity.jwt.algorithms[0])"},
         }) {
        const std::string said = problems_of(text);
        EXPECT_EQ(said.substr(0, std::string_view{start}.size()), start) << said;
    }
}

TEST(PolicyYaml, ALimitHasARateOrANumberAtOnce) {
    const Policy policy = policy_of(
        "limits:\n  - {name: ip, per: ip, rate: 5/s}\n  - {name: streams, per: user, concurrent: 20, mode: "
        "shadow}\n");
    ASSERT_EQ(policy.limits.size(), 2U);
    EXPECT_FALSE(policy.limits[0].rate.at_once());
    EXPECT_EQ(policy.limits[1].rate, (Rate{20, 0}));
    EXPECT_EQ(policy.limits[1].mode, LimitMode::kShadow);
    EXPECT_EQ(to_json(policy)["limits"][1]["concurrent"], 20);
    EXPECT_FALSE(to_json(policy)["limits"][1].contains("rate"));

    const auto said = [](const std::string& keys) {
        std::string lines =
            problems_of("limits: [{name: ip, per: ip, rate: 1/s}, {name: a, per: ip" + keys + "}]\n");
        lines.pop_back();  // the end of the line
        return lines;
    };
    EXPECT_EQ(said(""),
              "p.yaml:2:42: error: \"rate\" is missing (at $.limits[1].rate); allowed: rate: 100/h, or "
              "concurrent: 20");
    EXPECT_EQ(
        said(", rate: 5/s, concurrent: 2"),
        "p.yaml:2:84: error: stands beside \"rate\" (at $.limits[1].concurrent); allowed: one of the two; "
        "a second limit with a name of its own for the other");
    for (const std::string wrong : {"0", "1000001", "-1", "5/s", "many", "1e3"})
        EXPECT_EQ(said(", concurrent: " + wrong),
                  "p.yaml:2:73: error: \"" + wrong +
                      "\" is not a whole number in range (at $.limits[1].concurrent); allowed: 1…1000000");
    EXPECT_EQ(
        said(", concurrent: 2, algorithm: fixed"),
        "p.yaml:2:87: error: means nothing beside \"concurrent\" (at $.limits[1].algorithm); allowed: only "
        "beside rate");
    EXPECT_THAT(said(", concurrent: 2, on_ledger_loss: open"),
                HasSubstr("p.yaml:2:92: error: means nothing beside \"concurrent\""));
    EXPECT_THAT(said(", concurent: 2"), HasSubstr("did you mean \"concurrent\"?"));
}

TEST(PolicyYaml, TextOfSeveralLinesIsQuotedInOne) {
    const std::string said = problems_of("kernel:\n  allow: [\"192.0.2.1\\n10.0.0.0\"]\n");
    EXPECT_THAT(said, HasSubstr("error: \"192.0.2.1"));
    EXPECT_THAT(said, Not(HasSubstr("\n10"))) << said;
}

TEST(PolicyYaml, FaultsOfListFilesNameTheFileAndLine) {
    const TemporaryFolder folder;
    folder.write("d.txt", "192.0.2.1\n# fine\nexample.com\n192.0.2.0/33\n" + std::string(5000, 'x') + "\n");
    const std::string said = problems_of("kernel: {deny: [{file: d.txt}]}\n", folder.path());
    EXPECT_THAT(said, HasSubstr(folder.path() +
                                "/d.txt:3: error: 'example.com' is not an IPv4 or IPv6 address or prefix;"));
    EXPECT_THAT(said, HasSubstr("/d.txt:4: error: '192.0.2.0/33' has a prefix length"));
    EXPECT_THAT(said, HasSubstr("/d.txt:5: error: \"xxx"));
    EXPECT_LT(said.size(), 1000U) << "a long line is cut";
}

TEST(PolicyYaml, FaultsOfKeyFilesNameTheFileAndNeverQuoteSecrets) {
    const TemporaryFolder folder;
    folder.write("keys.yaml", "keys:\n  - {sha256: hunter2, user: a}\n  - {sha256: " + kDigest +
                                  ", user: \"\"}\n  - {sha256: " + kDigest + ", user: b}\n  - {key: x}\n");
    folder.write("jwks.json", "{\"keys\": [\n  {\"kty\": \"oct\", \"k\": \"hunter2\" oops}]}");
    const std::string said = problems_of(
        "identity:\n  jwt: {keys: jwks.json, algorithms: [HS256]}\n  api_keys: {file: keys.yaml}\n",
        folder.path());
    EXPECT_THAT(said, HasSubstr("/keys.yaml:2:14: error: not a SHA-256 (at $.keys[0].sha256)"));
    EXPECT_THAT(said, HasSubstr("/keys.yaml:3:86: error: \"\" is not a user's name (at $.keys[1].user)"));
    EXPECT_THAT(said,
                HasSubstr("/keys.yaml:4:14: error: the same key stands at $.keys[1] (at $.keys[2].sha256)"));
    EXPECT_THAT(said, HasSubstr("/keys.yaml:5:6: error: unknown key \"key\""));
    EXPECT_THAT(said, HasSubstr("/jwks.json:2:33: error: not valid JSON"));
    EXPECT_THAT(said, Not(HasSubstr("hunter2")));
}

TEST(PolicyYaml, JwksMustBeASetOfKeysAndOneShouldFit) {
    const TemporaryFolder folder;
    const auto said = [&](std::string_view jwks) {
        folder.write("j", jwks);
        return problems_of("identity: {jwt: {keys: j, algorithms: [ES256]}}\n", folder.path());
    };
    EXPECT_THAT(said("[]"), HasSubstr("error: not a JWKS"));
    EXPECT_THAT(said(R"({"keys": [1e999]})"), HasSubstr("j: error: not valid JSON"));
    EXPECT_THAT(said(R"({"keys": 1})"), HasSubstr("error: not a JWKS"));
    EXPECT_THAT(said(R"({"keys": [1]})"), HasSubstr("error: not a JWK: no key type (at $.keys[0])"));
    EXPECT_THAT(said(R"({"keys": []})"), HasSubstr("warning: no key: every token is refused"));
    EXPECT_THAT(said(R"({"keys": [{"kty":"EC","crv":"P-384"}]})"), HasSubstr("warning: no key fits"));
    EXPECT_EQ(said(R"({"keys": [{"kty":"EC","crv":"P-256"}]})"), "");
}

TEST(PolicyYaml, TheHashCoversTheTextAndEveryFile) {
    const TemporaryFolder folder;
    const auto hash = [&](std::string_view text, std::string_view deny) {
        folder.write("d.txt", deny);
        const auto result = load(text, folder.path());
        return result ? result.loaded->hash : "refused";
    };
    const std::string first = hash("kernel: {deny: [{file: d.txt}]}\n", "192.0.2.1\n");
    EXPECT_EQ(first.size(), 12U);
    EXPECT_EQ(first, hash("kernel: {deny: [{file: d.txt}]}\n", "192.0.2.1\n"));
    EXPECT_NE(first, hash("kernel: {deny: [{file: d.txt}]}\n", "192.0.2.2\n"));
    EXPECT_NE(first, hash("kernel: {deny: [{file: d.txt}]} \n", "192.0.2.1\n"));
}

TEST(PolicyYaml, BoundsWhatIsRead) {
    EXPECT_THAT(problems_of("#" + std::string(kMaxPolicyBytes, 'x')), HasSubstr("larger than 1048576 bytes"));
    const TemporaryFolder folder;
    ASSERT_EQ(::symlink("/dev/zero", (folder.path() + "/zero").c_str()), 0);
    EXPECT_THAT(problems_of("kernel: {deny: [{file: zero}]}\n", folder.path()),
                HasSubstr("not a regular file"));
    EXPECT_THAT(to_string(load_policy_file("/nonexistent/p.yaml").problems),
                HasSubstr("/nonexistent/p.yaml: error: open /nonexistent/p.yaml: No such file"));

    std::string many = "trusted_proxies:\n";
    for (int i = 0; i < 500; ++i) many += "  - bad\n";
    const auto result = load(many);
    EXPECT_EQ(result.problems.size(), 101U);
    EXPECT_THAT(result.problems.front().message + result.problems.back().message,
                HasSubstr("too many problems"));
}

TEST(PolicyYaml, ChecksOfOtherLayersGetTheirPlace) {
    const PolicyCheck refuse = [](const Policy&) {
        return Problems{
            {Severity::kError, {}, 0, 0, "$.kernel.limits[0].burst", "too wide for the kernel", {}}};
    };
    const auto load = load_policy_text(
        "name: t\nkernel:\n  limits:\n    - {name: a, count: udp, rate: 5/s}\n", "p.yaml", ".", refuse);
    EXPECT_FALSE(load);
    EXPECT_EQ(to_string(load.problems),
              "p.yaml:4:7: error: too wide for the kernel (at $.kernel.limits[0].burst)\n");
}

TEST(Problem, AsJsonHasOnlyWhatIsKnown) {
    const auto json = to_json(Problems{{Severity::kWarning, "f", 3, 0, {}, "m", {}}});
    EXPECT_EQ(json.dump(), R"([{"file":"f","line":3,"message":"m","severity":"warning"}])");
}

TEST(Problem, QuotesUsersTextSafely) {
    EXPECT_EQ(in_quotes("a\"b\n\x7f"), "\"a\\\"b\\x0a\\x7f\"");
    EXPECT_EQ(in_quotes("a\xc0z\xe2\x82"), "\"a\\xc0z\\xe2\\x82\"")
        << "messages stay UTF-8, so that they fit JSON";
    EXPECT_EQ(in_quotes(std::string(63, 'a') + "\xc3\xa9z"), "\"" + std::string(63, 'a') + "…\"")
        << "not within a character";
}

}  // namespace
}  // namespace sluice
