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

Result<LedgerSettings> parse_ledger(std::string_view text) {
    constexpr std::string_view kEmbedded = "embedded:";
    if (text.starts_with("redis://") || text.starts_with("rediss://"))
        return invalid("ledger '" + std::string{text} +
                       "': this version can't keep its ledger in Redis yet; allowed: embedded:DIR");
    if (!text.starts_with(kEmbedded) || text.size() == kEmbedded.size())
        return invalid("ledger '" + std::string{text} + "'; allowed: embedded:DIR");
    return LedgerSettings{std::string{text.substr(kEmbedded.size())}};
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
    return readable("policy", config.policy);
}

}  // namespace sluice
