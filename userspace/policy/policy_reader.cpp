#include "policy/policy_reader.hpp"

#include <algorithm>
#include <filesystem>
#include <tuple>

#include "policy/policy_check.hpp"
#include "policy/policy_yaml.hpp"
#include "policy/reference_files.hpp"
#include "policy/sha256.hpp"

namespace sluice {
namespace {

constexpr std::string_view kPrefixForm = "an address or prefix such as 192.0.2.0/24 or \"2001:db8::/32\"";

// One reader for one policy; a method for each section.
class PolicyReader {
  public:
    PolicyReader(DocumentReader& document, ReferenceReader& references)
        : document_(document), references_(references) {}

    void read(const YamlNode& root, Policy& policy) const {
        const SectionReader section{document_, root, "$", "$"};
        section.text("name", policy.name);
        if (const YamlNode* node = section.find("trusted_proxies"))
            read_prefixes(*node, section.path("trusted_proxies"), "", policy.trusted_proxies, nullptr);
        sort_unique(policy.trusted_proxies);
        if (const YamlNode* node = section.find("source_prefix"))
            read_source_prefix(*node, "$.source_prefix", policy.source_prefix);
        if (const YamlNode* node = section.find("kernel")) read_kernel(*node, policy.kernel);
        if (const YamlNode* node = section.find("identity")) read_identity(*node, policy.identity);
        if (const YamlNode* node = section.find("routes")) read_routes(*node, policy.routes);
        if (const YamlNode* node = section.find("limits")) read_limits(*node, policy.limits);
        if (const YamlNode* node = section.find("escalation"))
            read_ban(*node, "$.escalation", policy.escalation);
    }

  private:
    static void sort_unique(std::vector<IpPrefix>& prefixes) {
        std::ranges::sort(prefixes);
        prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
    }

    // Items are prefixes or, if files is given, {file: NAME}; file_section is then its key table.
    void read_prefixes(const YamlNode& node, const std::string& path, std::string_view file_section,
                       std::vector<IpPrefix>& prefixes, std::vector<std::string>* files) const {
        const std::string allowed =
            "a list of " + std::string{kPrefixForm} + (files == nullptr ? "" : ", or {file: NAME}");
        const ListReader items{document_, node, path, allowed};
        for (std::size_t i = 0; i < items.size(); ++i) {
            if (files != nullptr && items[i].kind == YamlNode::Kind::kMap) {
                read_prefix_file(SectionReader{document_, items[i], items.path(i), file_section}, prefixes,
                                 *files);
                continue;
            }
            const auto written = scalar_at(document_, items[i], items.path(i), kPrefixForm);
            if (!written) continue;
            if (const auto prefix = parse_prefix(*written))
                prefixes.push_back(*prefix);
            else
                document_.error(items.path(i), prefix.error().message, std::string{kPrefixForm});
        }
    }

    void read_prefix_file(const SectionReader& section, std::vector<IpPrefix>& prefixes,
                          std::vector<std::string>& files) const {
        std::string written;
        if (!section.text("file", written)) return;
        const auto content = references_.read(document_, section.path("file"), written, kMaxListFileBytes);
        if (!content) return;
        read_prefix_lines(*content, references_.name_of(written), prefixes, document_.problems());
        files.push_back(std::move(written));
    }

    void read_list(const SectionReader& section, std::string_view key, PrefixList& list) const {
        const YamlNode* const node = section.find(key);
        if (node == nullptr) return;
        const std::string path = section.path(key);
        read_prefixes(*node, path, path + "[]", list.prefixes, &list.files);
        sort_unique(list.prefixes);
    }

    void read_source_prefix(const YamlNode& node, const std::string& path, SourcePrefix& prefix) const {
        const SectionReader section{document_, node, path, path};
        std::uint64_t ipv4 = prefix.ipv4;
        std::uint64_t ipv6 = prefix.ipv6;
        section.integer("ipv4", kMinIpv4Prefix, 32, ipv4);
        section.integer("ipv6", kMinIpv6Prefix, 128, ipv6);
        prefix = {static_cast<std::uint8_t>(ipv4), static_cast<std::uint8_t>(ipv6)};
    }

    void read_kernel(const YamlNode& node, KernelPolicy& kernel) const {
        const SectionReader section{document_, node, "$.kernel", "$.kernel"};
        kernel.mode = KernelMode::kEnforce;
        section.word("mode", kKernelModes, kernel.mode);
        if (const YamlNode* limits = section.find("limits"))
            read_packet_limits(*limits, section.path("limits"), "$.kernel.limits[]", kernel.limits);
        read_ports(section, kernel);
        read_list(section, "allow", kernel.allow);
        read_list(section, "deny", kernel.deny);
        if (const YamlNode* prefix = section.find("prefix"))
            read_source_prefix(*prefix, "$.kernel.prefix", kernel.prefix);
        section.rate("newcomers", kernel.newcomers.emplace(kUsualNewcomers));
        section.word("syn_cookies", kSynCookies, kernel.syn_cookies);
        if (const YamlNode* ban = section.find("ban")) read_ban(*ban, "$.kernel.ban", kernel.ban);
    }

    // Plain ports, groups, and the word for all others. `limits` has been read: a group without any takes those.
    void read_ports(const SectionReader& section, KernelPolicy& kernel) const {
        static constexpr std::string_view kAllowed =
            "a port, 1…65535, a group {ports: […], limits: […]}, or the word others";
        const YamlNode* const node = section.find("ports");
        if (node == nullptr) return;
        const ListReader items{document_, *node, section.path("ports"), "a list of ports, 1…65535"};
        std::set<std::uint16_t> named;
        for (std::size_t i = 0; i < items.size(); ++i) {
            if (items[i].kind == YamlNode::Kind::kMap) {
                read_port_group(items[i], items.path(i), kernel, named);
                kernel.port_groups.back().item = i;
                continue;
            }
            const auto written = scalar_at(document_, items[i], items.path(i), kAllowed);
            if (!written) continue;
            if (*written == kOtherPorts)
                kernel.other_ports = true;
            else
                read_port(items[i], items.path(i), named, kernel.ports);
        }
        if (items.size() == 0 && node->kind == YamlNode::Kind::kSequence)
            document_.error(section.path("ports"), "an empty list of ports",
                            "at least one port, or no `ports` at all for every port");
    }

    void read_port(const YamlNode& node, const std::string& path, std::set<std::uint16_t>& named,
                   std::vector<std::uint16_t>& ports) const {
        const auto port = integer_at(document_, node, path, 1, 65535);
        if (!port) return;
        const auto value = static_cast<std::uint16_t>(*port);
        if (named.insert(value).second)
            ports.push_back(value);
        else
            document_.error(path, "port " + std::to_string(value) + " appears twice", "each port once");
    }

    void read_port_group(const YamlNode& node, const std::string& path, KernelPolicy& kernel,
                         std::set<std::uint16_t>& named) const {
        const SectionReader section{document_, node, path, "$.kernel.ports[]"};
        PortGroup group;
        if (const YamlNode* ports = section.find("ports")) {
            const ListReader items{document_, *ports, section.path("ports"), "a list of ports, 1…65535"};
            for (std::size_t i = 0; i < items.size(); ++i)
                read_port(items[i], items.path(i), named, group.ports);
            if (items.size() == 0 && ports->kind == YamlNode::Kind::kSequence)
                document_.error(section.path("ports"), "an empty list of ports", "at least one port");
        }
        for (const std::uint16_t port : group.ports)
            group.name += (group.name.empty() ? "" : "_") + std::to_string(port);
        section.text("name", group.name);
        if (const YamlNode* limits = section.find("limits"))
            read_packet_limits(*limits, section.path("limits"), "$.kernel.ports[].limits[]", group.limits);
        else
            group.limits = kernel.limits;
        kernel.port_groups.push_back(std::move(group));
    }

    void read_packet_limits(const YamlNode& node, const std::string& path, std::string_view keys,
                            std::vector<PacketLimit>& limits) const {
        const ListReader items{document_, node, path, "a list of {name, count, rate, …}"};
        for (std::size_t i = 0; i < items.size(); ++i) {
            const SectionReader item{document_, items[i], items.path(i), keys};
            PacketLimit limit;
            item.text("name", limit.name);
            item.word("count", kPacketCounts, limit.count);
            item.word("per", kPacketScopes, limit.per);
            item.rate("rate", limit.rate);
            limit.burst = default_burst(limit);
            item.integer("burst", 1, kMaxBurst, limit.burst);
            item.word("mode", kLimitModes, limit.mode);
            limits.push_back(std::move(limit));
        }
    }

    void read_ban(const YamlNode& node, const std::string& path, std::optional<BanRule>& rule) const {
        const SectionReader section{document_, node, path, path};
        BanRule ban;
        section.integer("after", 1, kMaxBanAfter, ban.after);
        section.duration("within", kMinBanWithin, kMaxBanWithin, ban.within);
        section.duration("for", kMinBanFor, kMaxBanFor, ban.duration);
        rule = ban;
    }

    void read_identity(const YamlNode& node, IdentityPolicy& identity) const {
        const SectionReader section{document_, node, "$.identity", "$.identity"};
        if (const YamlNode* jwt = section.find("jwt")) read_jwt(*jwt, identity.jwt.emplace());
        if (const YamlNode* keys = section.find("api_keys"))
            read_api_key_section(*keys, identity.api_keys.emplace());
    }

    void read_jwt(const YamlNode& node, JwtPolicy& jwt) const {
        const SectionReader section{document_, node, "$.identity.jwt", "$.identity.jwt"};
        if (const YamlNode* list = section.find("algorithms")) {
            const ListReader items{document_, *list, section.path("algorithms"),
                                   "a list of " + list_of(kJwtAlgorithms)};
            for (std::size_t i = 0; i < items.size(); ++i) {
                const auto written = scalar_at(document_, items[i], items.path(i), list_of(kJwtAlgorithms));
                if (!written) continue;
                if (const auto algorithm = value_of(kJwtAlgorithms, *written))
                    jwt.algorithms.push_back(*algorithm);
                else
                    document_.error(items.path(i), in_quotes(*written) + " is not an algorithm that is taken",
                                    list_of(kJwtAlgorithms));
            }
        }
        if (std::string issuer; section.text("issuer", issuer)) jwt.issuer = std::move(issuer);
        if (std::string audience; section.text("audience", audience)) jwt.audience = std::move(audience);
        section.text("user", jwt.user_claim);
        section.text("roles", jwt.roles_claim);
        section.duration("leeway", 0, kMaxLeeway, jwt.leeway);
        if (!section.text("keys", jwt.keys_file)) return;
        auto content = references_.read(document_, section.path("keys"), jwt.keys_file, kMaxKeyFileBytes);
        if (!content) return;
        jwt.keys_json = std::move(*content);
        check_jwks(jwt.keys_json, references_.name_of(jwt.keys_file), jwt.algorithms, document_.problems());
    }

    void read_api_key_section(const YamlNode& node, ApiKeyPolicy& api_keys) const {
        const SectionReader section{document_, node, "$.identity.api_keys", "$.identity.api_keys"};
        section.text("header", api_keys.header);
        if (!section.text("file", api_keys.file)) return;
        const auto content =
            references_.read(document_, section.path("file"), api_keys.file, kMaxKeyFileBytes);
        if (content)
            read_api_keys(*content, references_.name_of(api_keys.file), api_keys.keys, document_.problems());
    }

    void read_routes(const YamlNode& node, std::vector<Route>& routes) const {
        const ListReader items{document_, node, "$.routes", "a list of {name, path, …}"};
        for (std::size_t i = 0; i < items.size(); ++i) {
            const SectionReader item{document_, items[i], items.path(i), "$.routes[]"};
            Route route;
            item.text("name", route.name);
            item.text("path", route.path);
            item.text("class", route.class_name);
            item.text("provider", route.provider);
            if (const YamlNode* list = item.find("methods")) {
                const ListReader methods{document_, *list, item.path("methods"),
                                         "a list of methods such as [GET, POST]"};
                for (std::size_t m = 0; m < methods.size(); ++m)
                    if (const auto method =
                            scalar_at(document_, methods[m], methods.path(m), "a method such as POST"))
                        route.methods.emplace_back(*method);
                if (methods.size() == 0 && list->kind == YamlNode::Kind::kSequence)
                    item.wrong("methods", "an empty list of methods",
                               "at least one, or no `methods` at all for any");
            }
            routes.push_back(std::move(route));
        }
    }

    void read_limits(const YamlNode& node, std::vector<RequestLimit>& limits) const {
        const ListReader items{document_, node, "$.limits", "a list of {name, per, rate or concurrent, …}"};
        for (std::size_t i = 0; i < items.size(); ++i) {
            const SectionReader item{document_, items[i], items.path(i), "$.limits[]"};
            RequestLimit limit;
            item.text("name", limit.name);
            item.word("per", kLimitScopes, limit.per);
            item.word("when", kLimitWhens, limit.when);
            item.text("class", limit.class_name);
            read_allowance(item, limit.rate);
            item.word("mode", kLimitModes, limit.mode);
            item.word("algorithm", kLimitAlgorithms, limit.algorithm);
            item.word("on_ledger_loss", kLedgerLosses, limit.on_ledger_loss);
            limits.push_back(std::move(limit));
        }
    }

    // `rate` or `concurrent`, and what goes with it.
    static void read_allowance(const SectionReader& item, Rate& rate) {
        item.rate("rate", rate);
        if (item.find("concurrent") == nullptr) {
            if (item.find("rate") == nullptr)
                item.wrong("rate", "\"rate\" is missing", "rate: 100/h, or concurrent: 20");
            return;
        }
        if (item.find("rate") != nullptr)
            return item.wrong("concurrent", "stands beside \"rate\"",
                              "one of the two; a second limit with a name of its own for the other");
        rate = {1, 0};
        item.integer("concurrent", 1, kMaxConcurrent, rate.count);
        for (const std::string_view key : {"algorithm", "on_ledger_loss"})
            if (item.find(key) != nullptr)
                item.wrong(key, "means nothing beside \"concurrent\"", "only beside rate");
    }

    DocumentReader& document_;
    ReferenceReader& references_;
};

}  // namespace

std::string ReferenceReader::name_of(const std::string& written) const {
    return (std::filesystem::path{folder_} / written).lexically_normal().string();
}

std::optional<std::string> ReferenceReader::read(DocumentReader& document, const std::string& path,
                                                 const std::string& written, std::size_t max_bytes) {
    if (const auto fault = reference_fault(written); !fault.empty()) {
        document.error(path, in_quotes(written) + ": " + std::string{fault},
                       "a file in the policy's folder or below it");
        return std::nullopt;
    }
    auto content = read_bounded_file(name_of(written), max_bytes);
    if (!content) {
        document.error(path, content.error().message, "a readable file in the policy's folder or below it");
        return std::nullopt;
    }
    std::error_code ignored;  // the current folder is gone: then the path stays relative
    const auto absolute = std::filesystem::absolute(name_of(written), ignored);
    digests_[absolute.lexically_normal().string()] = sha256_hex(*content);
    return std::move(*content);
}

Policy read_policy(std::string_view text, const std::string& name, ReferenceReader& references,
                   const PolicyCheck& further, Problems& problems) {
    Policy policy;
    const auto tree = parse_yaml(text, name, problems);
    if (!tree) return policy;
    DocumentReader document{name, kPolicyKeys, problems};
    PolicyReader{document, references}.read(*tree, policy);
    for (Problem& problem : check_policy(policy)) document.add_placed(std::move(problem));
    if (further && !has_errors(problems))
        for (Problem& problem : further(policy)) document.add_placed(std::move(problem));
    // The policy's own first, then those of each file it names; by place.
    std::ranges::stable_sort(problems, {}, [&](const Problem& problem) {
        return std::tuple{problem.file != name, std::string_view{problem.file}, problem.line, problem.column};
    });
    return policy;
}

}  // namespace sluice
