// What sluiced was started with: the config file with the flags laid over it. Sealed at start, never replaced
// while the process runs; what an operator changes live is the policy.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "kernel/kernel_enforcer.hpp"
#include "ledger/redis_settings.hpp"
#include "limiter/limiter.hpp"

namespace sluice {

enum class OnExit : std::uint8_t { kDetach, kKeep };

struct TlsFiles {
    std::string certificate;  // PEM, the chain
    std::string key;          // PEM
};

struct GatewaySettings {
    std::vector<std::string> listen;    // ADDR:PORT; none: no gateway
    std::vector<std::string> upstream;  // ADDR:PORT or unix:PATH
    std::optional<TlsFiles> tls;
    unsigned workers = 0;                          // 0: one a CPU this process may use
    std::uint64_t max_body_bytes = 64ULL << 20;    // larger than a voice recording, smaller than a disk image
    std::uint64_t max_header_bytes = 16ULL << 10;  // nginx and HAProxy stop at 8 to 32 KiB
    std::uint64_t header_deadline_ms = 10'000;
    std::uint64_t body_deadline_ms = 30'000;   // without progress
    std::uint64_t body_min_bytes_per_s = 500;  // Apache's least; 0: none
    std::uint64_t idle_deadline_ms = 60'000;
    std::uint64_t write_deadline_ms = 30'000;
    std::uint64_t tunnel_deadline_ms = 600'000;
    std::uint64_t upstream_connect_deadline_ms = 3'000;
    std::uint64_t upstream_deadline_ms = 60'000;       // to the first byte of the answer: models think
    std::uint64_t upstream_gap_deadline_ms = 300'000;  // generous, for server-sent events
    std::uint64_t upstream_idle_deadline_ms = 4'000;   // below uvicorn's keep-alive of 5 s
    std::uint64_t drain_deadline_ms = 30'000;
    std::uint64_t max_connections = 20'000;           // shared out evenly to the workers
    std::uint64_t max_connections_per_source = 1024;  // an office behind one address stays below; 0: no bound
};

struct AdminSettings {
    std::string socket = "/run/sluice/admin.sock";
    std::string listen;  // ADDR:PORT; empty: no TCP
    std::string tokens;  // file; needed with listen
    std::optional<TlsFiles> tls;
};

enum class LedgerKind : std::uint8_t { kEmbedded, kRedis };

struct LedgerSettings {
    LedgerKind kind = LedgerKind::kEmbedded;
    std::string path = "/var/lib/sluice";  // embedded; redis: of what is this host's alone
    RedisSettings redis{};
};

// What counters may take. Beyond it newcomers share one counter for each limit, strict and counted.
struct LimiterSettings {
    std::uint64_t max_keys = LimiterConfig{}.max_keys;
    std::uint64_t max_bytes = LimiterConfig{}.max_bytes;
};

struct LogSettings {
    std::string directory = "/var/log/sluice";
    std::uint64_t max_bytes = 10'485'760;  // M14
    unsigned files = 5;                    // M14: kept in all, the one being written included
    bool to_stdout = false;
};

struct HealthSettings {
    std::string database;                             // empty: not configured
    std::map<std::string, std::string> ai_providers;  // name → URL
};

struct Config {
    std::string file;  // where it was read from; empty: flags only
    std::vector<std::string> interfaces;
    XdpMode xdp_mode = XdpMode::kAuto;
    std::uint64_t xdp_priority = kUsualXdpPriority;
    OnExit on_exit = OnExit::kDetach;
    std::string policy = "/etc/sluice/policy.yaml";
    GatewaySettings gateway;
    AdminSettings admin;
    LedgerSettings ledger;
    LimiterSettings limiter;
    LogSettings log;
    HealthSettings health;
};

// Reads the file over the defaults. Unknown keys, wrong types and values out of range are faults; all of them
// are reported. Faults are one Error whose message has a line for each.
Result<Config> read_config(const std::string& file);
Result<Config> parse_config(std::string_view text, const std::string& display_name);

// "embedded:DIR", "redis://HOST:PORT,…" or "rediss://…" as --ledger takes it, laid over what the file says.
Result<LedgerSettings> parse_ledger(std::string_view text, LedgerSettings settings = {});

// What only the whole can tell: upstream with listen, tokens with admin.listen, files that must exist. Flags
// laid over the file have been applied by then.
Result<> check_config(const Config& config);

}  // namespace sluice
