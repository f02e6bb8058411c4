#include "daemon/config_settings.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "http/endpoint.hpp"
#include "ledger/resp_stream.hpp"

namespace sluice {
namespace {

Error wrong(std::string message) {
    return Error{ErrorCode::kInvalid, std::move(message)};
}

Result<std::string> text(const YamlNode& node) {
    if (node.kind != YamlNode::Kind::kScalar || node.text.empty()) return wrong("is not a text");
    return node.text;
}

Result<std::vector<std::string>> texts(const YamlNode& node) {
    std::vector<std::string> all;
    if (node.kind == YamlNode::Kind::kNull) return all;
    if (node.kind != YamlNode::Kind::kSequence) return wrong("is not a list");
    for (const YamlNode& entry : node.items) {
        const auto one = text(entry);
        if (!one) return wrong("has an entry that is not a text");
        all.push_back(*one);
    }
    return all;
}

Result<std::uint64_t> number(const YamlNode& node, std::uint64_t least, std::uint64_t most) {
    const auto digits = text(node);
    std::uint64_t value = 0;
    if (!digits) return wrong("is not a number");
    const auto [end, error] = std::from_chars(digits->data(), digits->data() + digits->size(), value);
    if (error != std::errc{} || end != digits->data() + digits->size()) return wrong("is not a whole number");
    if (value < least || value > most) return wrong("is out of range");
    return value;
}

using Read = decltype(Setting::read);

// Each of these makes the reader of one kind of value; `member` finds its place in the config.
template <class Member>
Read reads_text(Member member) {
    return [member](Config& config, const YamlNode& node, const std::string&) -> Result<> {
        auto value = text(node);
        if (!value) return value.error();
        member(config) = *std::move(value);
        return {};
    };
}

template <class Member>
Read reads_number(Member member, std::uint64_t least, std::uint64_t most) {
    return [=](Config& config, const YamlNode& node, const std::string&) -> Result<> {
        const auto value = number(node, least, most);
        if (!value) return value.error();
        auto& place = member(config);
        place = static_cast<std::remove_reference_t<decltype(place)>>(*value);
        return {};
    };
}

template <class Member>
Read reads_endpoints(Member member) {
    return [member](Config& config, const YamlNode& node, const std::string&) -> Result<> {
        auto all = texts(node);
        if (!all) return all.error();
        for (const std::string& one : *all)
            if (const auto endpoint = http::Endpoint::parse(one); !endpoint)
                return wrong(endpoint.error().message);
        member(config) = *std::move(all);
        return {};
    };
}

template <class E, class Member>
Read reads_word(Member member, std::vector<std::pair<std::string_view, E>> words) {
    return [member, words = std::move(words)](Config& config, const YamlNode& node,
                                              const std::string&) -> Result<> {
        const auto value = text(node);
        if (!value) return value.error();
        for (const auto& [word, meaning] : words) {
            if (*value != word) continue;
            member(config) = meaning;
            return {};
        }
        return wrong("is " + in_quotes(*value));
    };
}

TlsFiles& gateway_tls(Config& config) {
    if (!config.gateway.tls) config.gateway.tls.emplace();
    return *config.gateway.tls;
}

TlsFiles& admin_tls(Config& config) {
    if (!config.admin.tls) config.admin.tls.emplace();
    return *config.admin.tls;
}

Result<> reads_redis_nodes(Config& config, const YamlNode& node, const std::string&) {
    auto all = texts(node);
    if (!all) return all.error();
    for (const std::string& one : *all)
        if (const auto address = RedisAddress::parse(one); !address) return wrong(address.error().message);
    config.ledger.redis.nodes = *std::move(all);
    return {};
}

Result<> reads_ledger_deadline(Config& config, const YamlNode& node, const std::string&) {
    constexpr std::string_view kUnit = "ms";
    constexpr std::uint64_t kMostMs = 1000;
    const auto value = text(node);
    if (!value || !value->ends_with(kUnit)) return wrong("is not a whole number of ms");
    YamlNode digits = node;
    digits.text.resize(digits.text.size() - kUnit.size());
    const auto ms = number(digits, 1, kMostMs);
    if (!ms) return ms.error();
    config.ledger.redis.deadline = static_cast<Nanos>(*ms) * kMillisecond;
    return {};
}

constexpr std::uint64_t kHourMs = 3'600'000;
constexpr std::string_view kMilliseconds = "milliseconds, 1 to 3600000";

template <class Member>
Read reads_ms(Member member) {
    return reads_number(member, 1, kHourMs);
}

// NOLINTBEGIN(readability-magic-numbers): the ranges stand here and nowhere else.
const std::vector<Setting>& table() {
    static const std::vector<Setting> settings = {
        {"interfaces", "list of interface names; default none",
         "where the XDP program is attached; none: requests only",
         [](Config& config, const YamlNode& node, const std::string&) -> Result<> {
             auto all = texts(node);
             if (!all) return all.error();
             config.interfaces = *std::move(all);
             return {};
         }},
        {"xdp_mode", "auto | native | generic; default auto",
         "auto tries native first and says if it had to go generic",
         reads_word<XdpMode>(
             [](Config & c) -> auto& { return c.xdp_mode; },
             {{"auto", XdpMode::kAuto}, {"native", XdpMode::kNative}, {"generic", XdpMode::kGeneric}})},
        {"xdp_priority", "1 to 1000; default 50",
         "place among other XDP programs beside ours: lower runs first. Taken when the program is attached "
         "anew",
         reads_number(
             [](Config & c) -> auto& { return c.xdp_priority; }, 1, 1000)},
        {"on_exit", "detach | keep; default detach",
         "what a clean stop does with the XDP program; a crash always keeps",
         reads_word<OnExit>([](Config & c) -> auto& { return c.on_exit; },
                            {{"detach", OnExit::kDetach}, {"keep", OnExit::kKeep}})},
        {"policy", "path; default /etc/sluice/policy.yaml", "the policy file; watched",
         reads_text([](Config & c) -> auto& { return c.policy; })},

        {"gateway.listen", "list of ADDR:PORT; default none", "where the gateway accepts; none: no gateway",
         reads_endpoints([](Config & c) -> auto& { return c.gateway.listen; })},
        {"gateway.upstream", "list of ADDR:PORT or unix:PATH", "the application, taken in turn",
         reads_endpoints([](Config & c) -> auto& { return c.gateway.upstream; })},
        {"gateway.tls.certificate", "path", "PEM chain; with it every listener speaks TLS",
         reads_text([](Config & c) -> auto& { return gateway_tls(c).certificate; })},
        {"gateway.tls.key", "path", "its private key",
         reads_text([](Config & c) -> auto& { return gateway_tls(c).key; })},
        {"gateway.workers", "0 to 256; default 0", "threads; 0: one a CPU",
         reads_number(
             [](Config & c) -> auto& { return c.gateway.workers; }, 0, 256)},
        {"gateway.max_connections", "16 to 10000000; default 20000",
         "shared out evenly to the workers; beyond its share a worker answers 503",
         reads_number(
             [](Config & c) -> auto& { return c.gateway.max_connections; }, 16, 10'000'000)},
        {"gateway.max_connections_per_source", "0 to 10000000; default 1024",
         "of one IPv4 address or IPv6 /64; more are answered 503. Not for trusted proxies; 0: no bound",
         reads_number(
             [](Config & c) -> auto& { return c.gateway.max_connections_per_source; }, 0, 10'000'000)},
        {"gateway.max_header_bytes", "1024 to 1048576; default 16384",
         "a larger request header is answered 431",
         reads_number(
             [](Config & c) -> auto& { return c.gateway.max_header_bytes; }, 1024, 1 << 20)},
        {"gateway.max_body_bytes", "0 to 2^40; default 67108864", "a larger request body is answered 413",
         reads_number(
             [](Config & c) -> auto& { return c.gateway.max_body_bytes; }, 0, 1ULL << 40)},
        {"gateway.header_deadline_ms", kMilliseconds, "to read a request header: 408; default 10000",
         reads_ms([](Config & c) -> auto& { return c.gateway.header_deadline_ms; })},
        {"gateway.body_deadline_ms", kMilliseconds, "without a byte of the body: 408; default 30000",
         reads_ms([](Config & c) -> auto& { return c.gateway.body_deadline_ms; })},
        {"gateway.body_min_bytes_per_s", "0 to 1000000000; default 500",
         "a body may keep the gateway waiting for body_deadline_ms in all and a second for each so many "
         "bytes: 408; "
         "0: as long as it goes on",
         reads_number(
             [](Config & c) -> auto& { return c.gateway.body_min_bytes_per_s; }, 0, 1'000'000'000)},
        {"gateway.write_deadline_ms", kMilliseconds,
         "without a byte read by the client of its answer: closed; default 30000",
         reads_ms([](Config & c) -> auto& { return c.gateway.write_deadline_ms; })},
        {"gateway.tunnel_deadline_ms", kMilliseconds,
         "a WebSocket without a byte either way: closed; default 600000",
         reads_ms([](Config & c) -> auto& { return c.gateway.tunnel_deadline_ms; })},
        {"gateway.idle_deadline_ms", kMilliseconds, "between requests of a connection; default 60000",
         reads_ms([](Config & c) -> auto& { return c.gateway.idle_deadline_ms; })},
        {"gateway.upstream_connect_deadline_ms", kMilliseconds,
         "to connect to the application: 502; default 3000",
         reads_ms([](Config & c) -> auto& { return c.gateway.upstream_connect_deadline_ms; })},
        {"gateway.upstream_deadline_ms", kMilliseconds, "to the application's first byte: 504; default 60000",
         reads_ms([](Config & c) -> auto& { return c.gateway.upstream_deadline_ms; })},
        {"gateway.upstream_gap_deadline_ms", kMilliseconds,
         "silence within the application's answer: cut off; default 300000",
         reads_ms([](Config & c) -> auto& { return c.gateway.upstream_gap_deadline_ms; })},
        {"gateway.upstream_idle_deadline_ms", kMilliseconds,
         "an unused connection to the application is kept; below its own keep-alive; default 4000",
         reads_ms([](Config & c) -> auto& { return c.gateway.upstream_idle_deadline_ms; })},
        {"gateway.drain_deadline_ms", kMilliseconds, "for requests in flight at SIGTERM; default 30000",
         reads_ms([](Config & c) -> auto& { return c.gateway.drain_deadline_ms; })},

        {"admin.socket", "path; default /run/sluice/admin.sock", "Unix socket of sluicectl, mode 0660",
         reads_text([](Config & c) -> auto& { return c.admin.socket; })},
        {"admin.listen", "ADDR:PORT; default none",
         "TCP door of the admin API and of Prometheus; needs admin.tokens",
         reads_text([](Config & c) -> auto& { return c.admin.listen; })},
        {"admin.tokens", "path", "who may do what over TCP: list of {name, role, sha256}",
         reads_text([](Config & c) -> auto& { return c.admin.tokens; })},
        {"admin.tls.certificate", "path", "PEM chain for the TCP door",
         reads_text([](Config & c) -> auto& { return admin_tls(c).certificate; })},
        {"admin.tls.key", "path", "its private key",
         reads_text([](Config & c) -> auto& { return admin_tls(c).key; })},

        {"ledger.kind", "embedded | redis; default embedded",
         "where what was spent is kept; redis: limits hold over all hosts that use the same one",
         reads_word<LedgerKind>([](Config & c) -> auto& { return c.ledger.kind; },
                                {{"embedded", LedgerKind::kEmbedded}, {"redis", LedgerKind::kRedis}})},
        {"ledger.path", "path; default /var/lib/sluice",
         "folder of the embedded ledger; with redis, of what is this host's alone",
         reads_text([](Config & c) -> auto& { return c.ledger.path; })},
        {"ledger.nodes", "list of HOST:PORT or unix:PATH",
         "redis: tried in turn; with ledger.sentinel, the sentinels; with ledger.cluster, some of its nodes",
         reads_redis_nodes},
        {"ledger.cluster", "true | false; default false",
         "redis: the nodes are of a Redis Cluster; the others are found by them",
         reads_word<bool>([](Config & c) -> auto& { return c.ledger.redis.cluster; },
                          {{"true", true}, {"false", false}})},
        {"ledger.sentinel", "name; default none", "redis: the master that the sentinels watch",
         reads_text([](Config & c) -> auto& { return c.ledger.redis.sentinel; })},
        {"ledger.tls", "true | false; default false", "redis: encrypted, the server's name checked",
         reads_word<bool>([](Config & c) -> auto& { return c.ledger.redis.tls; },
                          {{"true", true}, {"false", false}})},
        {"ledger.ca_file", "path; default the system's", "redis: PEM of whom to trust",
         reads_text([](Config & c) -> auto& { return c.ledger.redis.ca_file; })},
        {"ledger.username", "name; default Redis's default user", "redis: ACL user",
         reads_text([](Config & c) -> auto& { return c.ledger.redis.username; })},
        {"ledger.password_file", "path", "redis: its first line is the password, read at each connection",
         reads_text([](Config & c) -> auto& { return c.ledger.redis.password_file; })},
        {"ledger.host_name", "name; default the system's", "redis: what other hosts call this one",
         reads_text([](Config & c) -> auto& { return c.ledger.redis.host_name; })},
        {"ledger.deadline", "1ms to 1000ms; default 20ms",
         "redis: no request waits longer, and silence for longer means it is away", reads_ledger_deadline},

        {"fleet.policies", "true | false; default false",
         "ledger.kind redis: what is applied, confirmed or rolled back on one host holds on all that say so",
         reads_word<bool>([](Config & c) -> auto& { return c.ledger.redis.share_policies; },
                          {{"true", true}, {"false", false}})},

        {"log.directory", "path; default /var/log/sluice", "folder of the log files, one a category",
         reads_text([](Config & c) -> auto& { return c.log.directory; })},
        {"limiter.max_keys", "1000 to 10^9; default 4000000",
         "users and addresses counted, once for each limit; beyond, newcomers share one counter a limit",
         reads_number(
             [](Config & c) -> auto& { return c.limiter.max_keys; }, 1000, 1'000'000'000)},
        {"limiter.max_bytes", "2^20 to 2^40; default 1073741824",
         "memory for that; at most 190 bytes a counter with up to eight requests in its window",
         reads_number(
             [](Config & c) -> auto& { return c.limiter.max_bytes; }, 1ULL << 20, 1ULL << 40)},
        {"log.max_bytes", "4096 to 2^40; default 10485760", "a log file is rotated before it grows beyond",
         reads_number(
             [](Config & c) -> auto& { return c.log.max_bytes; }, 4096, 1ULL << 40)},
        {"log.files", "1 to 1000; default 5", "files kept of each category, the current one included",
         reads_number(
             [](Config & c) -> auto& { return c.log.files; }, 1, 1000)},
        {"log.stdout", "true | false; default false", "every record to standard output too",
         reads_word<bool>([](Config & c) -> auto& { return c.log.to_stdout; },
                          {{"true", true}, {"false", false}})},

        {"health.database", "tcp://HOST:PORT or http(s)://…", "probed for GET /api/health",
         reads_text([](Config & c) -> auto& { return c.health.database; })},
        {"health.ai_providers.*", "name: https://…", "probed for GET /api/health",
         [](Config& config, const YamlNode& node, const std::string& key) -> Result<> {
             const auto url = text(node);
             if (!url) return url.error();
             config.health.ai_providers[key] = *url;
             return {};
         }},
    };
    return settings;
}
// NOLINTEND(readability-magic-numbers)

}  // namespace

std::span<const Setting> config_settings() {
    return table();
}

std::string config_help() {
    std::size_t width = 0;
    for (const Setting& setting : table()) width = std::max(width, setting.path.size());
    std::string help;
    for (const Setting& setting : table()) {
        help.append(setting.path).append(width + 2 - setting.path.size(), ' ');
        help.append(setting.help).append("\n").append(width + 2, ' ');
        help.append("(").append(setting.form).append(")\n");
    }
    return help;
}

}  // namespace sluice
