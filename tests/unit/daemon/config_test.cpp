#include "daemon/config.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "daemon/config_settings.hpp"
#include "daemon/performance_report.hpp"

namespace sluice {
namespace {

std::string fault_of(std::string_view text) {
    const auto config = parse_config(text, "sluiced.yaml");
    return config ? "accepted" : config.error().message;
}

TEST(Config, ReadsEverySection) {
    const auto config = parse_config(R"(
interfaces: [eth0, eth1]
xdp_mode: native
xdp_priority: 10
on_exit: keep
policy: /etc/p.yaml
gateway: {listen: ["0.0.0.0:8080"], upstream: ["127.0.0.1:8000", "unix:/run/app.sock"], workers: 2, max_body_bytes: 1000,
          tls: {certificate: c.pem, key: k.pem}}
admin: {socket: /run/a.sock, listen: "127.0.0.1:9900", tokens: t.yaml}
ledger: {kind: embedded, path: /var/lib/x}
limiter: {max_keys: 5000, max_bytes: 2097152}
log: {directory: /var/log/x, max_bytes: 4096, files: 3, stdout: true}
health: {database: "tcp://127.0.0.1:5432", ai_providers: {openai: "https://api.example"}}
)",
                                     "sluiced.yaml");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->interfaces, (std::vector<std::string>{"eth0", "eth1"}));
    EXPECT_EQ(config->xdp_mode, XdpMode::kNative);
    EXPECT_EQ(config->xdp_priority, 10U);
    EXPECT_EQ(config->on_exit, OnExit::kKeep);
    EXPECT_EQ(config->gateway.upstream.size(), 2U);
    EXPECT_EQ(config->gateway.max_body_bytes, 1000U);
    EXPECT_EQ(config->gateway.tls->key, "k.pem");
    EXPECT_EQ(config->ledger.path, "/var/lib/x");
    EXPECT_EQ(config->limiter.max_keys, 5000U);
    EXPECT_EQ(config->limiter.max_bytes, 2'097'152U);
    EXPECT_EQ(config->log.files, 3U);
    EXPECT_TRUE(config->log.to_stdout);
    EXPECT_EQ(config->health.ai_providers.at("openai"), "https://api.example");
}

TEST(Config, AnEmptyFileIsAllDefaults) {
    ASSERT_TRUE(parse_config("{}", "f"));
    EXPECT_EQ(parse_config("{log: }", "f")->log.max_bytes, 10'485'760U);
    EXPECT_NE(fault_of("").find("empty"), std::string::npos);
}

TEST(Config, AFaultNamesFileLineColumnFieldAndWhatIsAllowed) {
    EXPECT_EQ(fault_of("xdp_mode: fast\n"),
              "sluiced.yaml:1:11: error: \"xdp_mode\" is \"fast\" (at $.xdp_mode); allowed: auto | native | "
              "generic; default auto");
    EXPECT_NE(fault_of("gateway:\n  listn: [\"0.0.0.0:80\"]\n")
                  .find("sluiced.yaml:2:3: error: \"gateway.listn\" is not"),
              std::string::npos);
    EXPECT_NE(fault_of("limiter: {max_keys: 10}").find("out of range"), std::string::npos);
    EXPECT_NE(fault_of("log: {files: 0}").find("out of range"), std::string::npos);
    EXPECT_NE(fault_of("gateway: {listen: [localhost]}").find("sluiced.yaml:1:19"), std::string::npos);
    EXPECT_NE(fault_of("ledger: {kind: mysql}").find("embedded | redis"), std::string::npos);
    EXPECT_NE(fault_of("ledger: {kind: redis, nodes: [redis]}").find("HOST:PORT"), std::string::npos);
    EXPECT_NE(fault_of("ledger: {deadline: 20}").find("1ms to 1000ms"), std::string::npos);
    EXPECT_NE(fault_of("ledger: {deadline: 2000ms}").find("out of range"), std::string::npos);
    EXPECT_NE(fault_of("log: [a]").find("not a mapping"), std::string::npos);
    EXPECT_NE(fault_of("a: [").find("sluiced.yaml:"), std::string::npos);
    EXPECT_NE(fault_of("- a\n").find("not a mapping"), std::string::npos);
}

TEST(Config, AllFaultsAreToldAtOnce) {
    const std::string faults = fault_of("xdp_mode: fast\non_exit: never\n");
    EXPECT_NE(faults.find(":1:"), std::string::npos);
    EXPECT_NE(faults.find(":2:"), std::string::npos);
}

TEST(Config, TheWholeIsCheckedToo) {
    Config config;
    EXPECT_NE(check_config(config).error().message.find("nothing to do"), std::string::npos);
    config.gateway.listen = {"127.0.0.1:80"};
    EXPECT_NE(check_config(config).error().message.find("gateway.upstream"), std::string::npos);
    config.gateway.upstream = {"127.0.0.1:8000"};
    config.admin.listen = "127.0.0.1:9900";
    EXPECT_NE(check_config(config).error().message.find("admin.tokens"), std::string::npos);
    config.admin.tokens = "t";
    config.health.database = "postgres";
    EXPECT_NE(check_config(config).error().message.find("health.database"), std::string::npos);
    config.health.database = "";
    config.policy = "/nonexistent/policy.yaml";
    EXPECT_NE(check_config(config).error().message.find("/nonexistent/policy.yaml"), std::string::npos);
}

TEST(Config, TheHelpNamesEverySetting) {
    const std::string help = config_help();
    for (const Setting& setting : config_settings()) EXPECT_NE(help.find(setting.path), std::string::npos);
}

TEST(Config, EmptyAndMissingFilesAreToldApart) {
    const std::string file = testing::TempDir() + "sluice-empty-" + std::to_string(::getpid()) + ".yaml";
    std::ofstream{file};
    EXPECT_NE(read_config(file).error().message.find("the file is empty"), std::string::npos);
    std::filesystem::remove(file);
    EXPECT_NE(read_config(file).error().message.find("No such file"), std::string::npos);
}

TEST(Config, LedgerFlag) {
    EXPECT_EQ(parse_ledger("embedded:/var/lib/x")->path, "/var/lib/x");
    for (const auto* text :
         {"", "embedded:", "redis://127.0.0.1", "/var/lib/x", "redis://", "redis://a:1,", "http://a:1"})
        EXPECT_FALSE(parse_ledger(text)) << text;
    const auto redis = parse_ledger("rediss://sluice@10.0.0.1:6379,[::1]:6380", {.path = "/var/lib/y"});
    ASSERT_TRUE(redis);
    EXPECT_EQ(redis->kind, LedgerKind::kRedis);
    EXPECT_EQ(redis->path, "/var/lib/y");
    EXPECT_TRUE(redis->redis.tls);
    EXPECT_EQ(redis->redis.username, "sluice");
    EXPECT_EQ(redis->redis.nodes, (std::vector<std::string>{"10.0.0.1:6379", "[::1]:6380"}));
    const auto password = parse_ledger("redis://user:secret@10.0.0.1:6379");
    ASSERT_FALSE(password);
    EXPECT_EQ(password.error().message.find("secret@"), std::string::npos);
    EXPECT_NE(password.error().message.find("password_file"), std::string::npos);
}

TEST(Config, RedisLedger) {
    const auto config = parse_config(
        "ledger: {kind: redis, nodes: ['redis:6379', 'unix:/run/redis.sock'], tls: true, deadline: 50ms, "
        "sentinel: m}",
        "sluiced.yaml");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->ledger.kind, LedgerKind::kRedis);
    EXPECT_EQ(config->ledger.redis.nodes.size(), 2U);
    EXPECT_EQ(config->ledger.redis.deadline, 50 * kMillisecond);
    EXPECT_EQ(config->ledger.redis.sentinel, "m");
    Config whole;
    whole.interfaces = {"lo"};
    whole.ledger.kind = LedgerKind::kRedis;
    const auto fault = [&] { return check_config(whole).error().message; };
    EXPECT_NE(fault().find("ledger.nodes"), std::string::npos);
    whole.ledger.redis.nodes = {"redis:6379"};
    whole.ledger.redis.ca_file = "/none";
    EXPECT_NE(fault().find("ledger.tls"), std::string::npos);
    whole.ledger.redis.tls = true;
    EXPECT_NE(fault().find("/none"), std::string::npos);
    whole.ledger.redis.ca_file.clear();
    whole.ledger.redis.username = "sluice";
    EXPECT_NE(fault().find("ledger.password_file"), std::string::npos);
}

TEST(Config, FleetPoliciesNeedAFleet) {
    EXPECT_FALSE(parse_config("fleet: {policies: maybe}", "sluiced.yaml"));
    EXPECT_FALSE(parse_config("{}", "sluiced.yaml")->ledger.redis.share_policies);
    const auto config = parse_config("fleet: {policies: true}", "sluiced.yaml");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_TRUE(config->ledger.redis.share_policies);
    Config whole;
    whole.interfaces = {"lo"};
    whole.ledger = config->ledger;
    EXPECT_NE(check_config(whole).error().message.find("fleet.policies"), std::string::npos);
}

TEST(Config, RedisCluster) {
    const auto config =
        parse_config("ledger: {kind: redis, nodes: ['a:7000', 'b:7000'], cluster: true}", "sluiced.yaml");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_TRUE(config->ledger.redis.cluster);
    EXPECT_FALSE(parse_config("ledger: {cluster: a}", "sluiced.yaml"));
    Config whole;
    whole.interfaces = {"lo"};
    whole.ledger = config->ledger;
    const auto fault = [&] { return check_config(whole).error().message; };
    whole.ledger.redis.sentinel = "m";
    EXPECT_NE(fault().find("ledger.sentinel"), std::string::npos);
    whole.ledger.redis.sentinel.clear();
    whole.ledger.redis.nodes.emplace_back("unix:/run/redis.sock");
    EXPECT_NE(fault().find("unix:/run/redis.sock"), std::string::npos);
}

TEST(PerformanceReport, QuantilesAreBucketBounds) {
    constexpr std::array<Nanos, 3> kBounds{10, 20, 30};
    EXPECT_EQ(bucket_quantile(std::array<std::uint64_t, 4>{}, kBounds, 0.5), 0);
    EXPECT_EQ(bucket_quantile(std::array<std::uint64_t, 4>{50, 49, 1, 0}, kBounds, 0.5), 10);
    EXPECT_EQ(bucket_quantile(std::array<std::uint64_t, 4>{50, 49, 1, 0}, kBounds, 0.99), 20);
    EXPECT_EQ(bucket_quantile(std::array<std::uint64_t, 4>{0, 0, 0, 9}, kBounds, 0.99), 30);
}

}  // namespace
}  // namespace sluice
