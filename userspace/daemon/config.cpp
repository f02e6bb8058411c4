#include "daemon/config.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <set>
#include <sstream>

#include "api/health_prober.hpp"
#include "daemon/config_settings.hpp"
#include "http/endpoint.hpp"
#include "ledger/resp_stream.hpp"
#include "policy/yaml_tree.hpp"

namespace sluice {
namespace {

// Walks the document and lays what it finds over `config`; a problem for each mistake.
class ConfigReader {
  public:
    ConfigReader(Config& config, const std::string& file, Problems& problems)
        : config_(config), file_(file), problems_(problems) {}

    void read_map(const YamlNode& map, const std::string& prefix) {
        for (std::size_t i = 0; i < map.keys.size(); ++i) read_entry(map.keys[i], map.items[i], prefix);
    }

  private:
    void read_entry(const YamlNode& key, const YamlNode& value, const std::string& prefix) {
        const std::string path = prefix.empty() ? key.text : prefix + "." + key.text;
        for (const Setting& setting : config_settings()) {
            const bool any_key = !prefix.empty() && setting.path == prefix + ".*";
            if (setting.path != path && !any_key) continue;
            if (const auto read = setting.read(config_, value, key.text); !read)
                problem(value, path, read.error().message, setting.form);
            return;
        }
        if (!is_section(path)) return problem(key, path, "is not a setting", names_under(prefix));
        if (value.kind == YamlNode::Kind::kNull) return;
        if (value.kind != YamlNode::Kind::kMap)
            return problem(value, path, "is not a mapping", names_under(path));
        read_map(value, path);
    }

    static bool is_section(const std::string& path) {
        return std::ranges::any_of(
            config_settings(), [&](const Setting& setting) { return setting.path.starts_with(path + "."); });
    }

    static std::string names_under(const std::string& prefix) {
        const std::string start = prefix.empty() ? "" : prefix + ".";
        std::set<std::string_view> names;
        for (const Setting& setting : config_settings()) {
            if (!setting.path.starts_with(start)) continue;
            const std::string_view rest = setting.path.substr(start.size());
            names.insert(rest.substr(0, rest.find('.')));
        }
        std::string list;
        for (const std::string_view name : names) list.append(list.empty() ? "" : ", ").append(name);
        return list;
    }

    void problem(const YamlNode& node, const std::string& path, std::string_view what,
                 std::string_view allowed) {
        problems_.push_back({Severity::kError, file_, node.mark.line, node.mark.column, "$." + path,
                             in_quotes(path) + " " + std::string{what}, std::string{allowed}});
    }

    Config& config_;
    const std::string& file_;
    Problems& problems_;
};

Error invalid(std::string message) {
    return Error{ErrorCode::kInvalid, std::move(message)};
}

Result<> readable(const std::string& what, const std::string& path) {
    if (::access(path.c_str(), R_OK) != 0)
        return Error{ErrorCode::kInvalid, system_error(what, path, errno).message};
    return {};
}

Result<> check_tls(const std::string& section, const std::optional<TlsFiles>& tls) {
    if (!tls) return {};
    if (tls->certificate.empty() || tls->key.empty())
        return invalid(section + " needs both certificate and key");
    if (auto found = readable(section + ".certificate", tls->certificate); !found) return found;
    return readable(section + ".key", tls->key);
}

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& display_name) {
    Config config;
    config.file = display_name;
    Problems problems;
    const auto document = parse_yaml(text, display_name, problems);
    if (document && document->kind == YamlNode::Kind::kMap)
        ConfigReader{config, display_name, problems}.read_map(*document, "");
    else if (document && document->kind != YamlNode::Kind::kNull)
        return invalid(display_name + ": the config is not a mapping of settings");
    if (has_errors(problems)) {
        std::string lines = to_string(problems);
        lines.pop_back();  // the last line feed
        return invalid(std::move(lines));
    }
    return config;
}

Result<Config> read_config(const std::string& file) {
    std::ifstream stream{file};
    if (!stream) return invalid(system_error("read", file, errno).message);
    std::ostringstream text;
    const bool empty = stream.peek() == std::ifstream::traits_type::eof();  // << of nothing is a failure
    if (stream.bad() || (!empty && !(text << stream.rdbuf())))
        return invalid(system_error("read", file, errno).message);
    return parse_config(text.str(), file);
}

Result<LedgerSettings> parse_ledger(std::string_view text, LedgerSettings settings) {
    constexpr std::string_view kEmbedded = "embedded:";
    constexpr std::string_view kAllowed =
        "'; allowed: embedded:DIR, redis://HOST:PORT[,…], rediss://HOST:PORT[,…]";
    const auto wrong = [&](std::string_view why) {
        return invalid("ledger '" + std::string{text} + std::string{kAllowed} + std::string{why});
    };
    if (text.starts_with(kEmbedded) && text.size() > kEmbedded.size()) {
        settings.kind = LedgerKind::kEmbedded;
        settings.path = text.substr(kEmbedded.size());
        return settings;
    }
    const std::size_t slashes = text.find("://");
    const std::string_view scheme = text.substr(0, slashes);
    if (scheme != "redis" && scheme != "rediss") return wrong("");
    std::string_view rest = text.substr(slashes + 3);
    settings.kind = LedgerKind::kRedis;
    settings.redis.tls = scheme == "rediss";
    settings.redis.nodes.clear();
    if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
        const std::string_view user = rest.substr(0, at);
        if (user.empty() || user.find(':') != std::string_view::npos)
            return invalid(
                "ledger: a password on the command line is seen by everyone; use USER@ and "
                "ledger.password_file");
        settings.redis.username = user;
        rest.remove_prefix(at + 1);
    }
    while (true) {
        const std::size_t comma = rest.find(',');
        const std::string_view node = rest.substr(0, comma);
        if (const auto address = RedisAddress::parse(node); !address)
            return wrong(": " + address.error().message);
        settings.redis.nodes.emplace_back(node);
        if (comma == std::string_view::npos) return settings;
        rest.remove_prefix(comma + 1);
    }
}

Result<> check_ledger(const LedgerSettings& ledger) {
    if (ledger.kind != LedgerKind::kRedis) {
        if (ledger.redis.share_policies)
            return invalid("fleet.policies is true, but ledger.kind is not redis: there is no fleet");
        return {};
    }
    const RedisSettings& redis = ledger.redis;
    if (redis.nodes.empty())
        return invalid("ledger.kind redis needs ledger.nodes, a list of HOST:PORT or unix:PATH");
    if (!redis.ca_file.empty() && !redis.tls)
        return invalid("ledger.ca_file is set, but ledger.tls is not: nothing would be encrypted");
    if (redis.cluster && !redis.sentinel.empty())
        return invalid("ledger.cluster and ledger.sentinel are both set: a Cluster fails over by itself");
    for (const std::string& node : redis.nodes)
        if (redis.cluster && node.starts_with("unix:"))
            return invalid("ledger.nodes " + node + ": the nodes of a Cluster are reached by HOST:PORT");
    if (!redis.username.empty() && redis.password_file.empty())
        return invalid("ledger.username needs ledger.password_file");
    for (const auto& [name, file] :
         {std::pair{"ledger.password_file", redis.password_file}, std::pair{"ledger.ca_file", redis.ca_file}})
        if (!file.empty())
            if (auto readable_file = readable(name, file); !readable_file) return readable_file;
    return {};
}

Result<> check_config(const Config& config) {
    if (config.gateway.listen.empty() && config.interfaces.empty())
        return invalid("nothing to do: neither interfaces nor gateway.listen are set");
    if (!config.gateway.listen.empty() && config.gateway.upstream.empty())
        return invalid("gateway.listen needs gateway.upstream, the address of the application");
    for (const std::string& listen : config.gateway.listen)
        if (listen.starts_with("unix:"))
            return invalid("gateway.listen " + listen + ": the gateway listens on TCP only");
    if (auto tls = check_tls("gateway.tls", config.gateway.tls); !tls) return tls;
    if (!config.admin.listen.empty()) {
        const auto endpoint = http::Endpoint::parse(config.admin.listen);
        if (!endpoint) return invalid("admin.listen: " + endpoint.error().message);
        if (config.admin.tokens.empty())
            return invalid("admin.listen needs admin.tokens, the file of bearer tokens");
    }
    if (auto tls = check_tls("admin.tls", config.admin.tls); !tls) return tls;
    if (!config.health.database.empty())
        if (const auto url = ProbeUrl::parse(config.health.database); !url)
            return invalid("health.database: " + url.error().message);
    for (const auto& [name, text] : config.health.ai_providers)
        if (const auto url = ProbeUrl::parse(text); !url)
            return invalid("health.ai_providers." + name + ": " + url.error().message);
    if (auto ledger = check_ledger(config.ledger); !ledger) return ledger;
    return readable("policy", config.policy);
}

}  // namespace sluice
