#include "policy/policy_json.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "policy/sha256.hpp"
#include "policy/units.hpp"
#include "policy/words.hpp"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

std::string fingerprint(std::string_view secret) {
    return sha256_hex(secret).substr(0, 12);
}

Json json_of(const std::vector<IpPrefix>& prefixes) {
    static constexpr std::size_t kShown = 10;
    Json first = Json::array();
    for (std::size_t i = 0; i < std::min(kShown, prefixes.size()); ++i)
        first.push_back(prefixes[i].to_string());
    return {{"count", prefixes.size()}, {"first", std::move(first)}};
}

Json json_of(const PrefixList& list) {
    Json json = json_of(list.prefixes);
    json["files"] = list.files;
    return json;
}

Json json_of(const SourcePrefix& prefix) {
    return {{"ipv4", prefix.ipv4}, {"ipv6", prefix.ipv6}};
}

Json json_of(const BanRule& rule) {
    return {{"after", rule.after},
            {"within", format_duration(rule.within)},
            {"for", format_duration(rule.duration)}};
}

Json json_of(const std::vector<PacketLimit>& limits) {
    Json json = Json::array();
    for (const PacketLimit& limit : limits)
        json.push_back({{"name", limit.name},
                        {"count", to_string(limit.count)},
                        {"per", to_string(limit.per)},
                        {"rate", to_string(limit.rate)},
                        {"burst", limit.burst},
                        {"mode", to_string(limit.mode)}});
    return json;
}

Json json_of(const KernelPolicy& kernel) {
    Json json{{"mode", to_string(kernel.mode)}};
    if (!kernel.ports.empty()) json["ports"] = kernel.ports;
    if (kernel.other_ports) json["ports"].push_back(kOtherPorts);
    for (const PortGroup& group : kernel.port_groups)
        json["port_groups"].push_back(
            {{"name", group.name}, {"ports", group.ports}, {"limits", json_of(group.limits)}});
    json["allow"] = json_of(kernel.allow);
    json["deny"] = json_of(kernel.deny);
    json["prefix"] = json_of(kernel.prefix);
    json["limits"] = json_of(kernel.limits);
    if (kernel.newcomers) json["newcomers"] = to_string(*kernel.newcomers);
    json["syn_cookies"] = to_string(kernel.syn_cookies);
    if (kernel.ban) json["ban"] = json_of(*kernel.ban);
    return json;
}

Json json_of(const JwtPolicy& jwt) {
    Json json{
        {"keys", jwt.keys_file}, {"keys_sha256", fingerprint(jwt.keys_json)}, {"algorithms", Json::array()}};
    for (const JwtAlgorithm algorithm : jwt.algorithms) json["algorithms"].push_back(to_string(algorithm));
    if (jwt.issuer) json["issuer"] = *jwt.issuer;
    if (jwt.audience) json["audience"] = *jwt.audience;
    json["user"] = jwt.user_claim;
    json["roles"] = jwt.roles_claim;
    json["leeway"] = format_duration(jwt.leeway);
    return json;
}

Json json_of(const ApiKeyPolicy& api_keys) {
    std::string all;
    for (const ApiKey& key : api_keys.keys) all += key.sha256_hex + key.user + '\n';
    return {{"header", api_keys.header},
            {"file", api_keys.file},
            {"keys", api_keys.keys.size()},
            {"keys_sha256", fingerprint(all)}};
}

Json json_of(const Route& route) {
    Json json{{"name", route.name}, {"path", route.path}};
    if (!route.class_name.empty()) json["class"] = route.class_name;
    if (!route.provider.empty()) json["provider"] = route.provider;
    if (!route.methods.empty()) json["methods"] = route.methods;
    return json;
}

Json json_of(const RequestLimit& limit) {
    Json json{{"name", limit.name}, {"per", to_string(limit.per)}, {"when", to_string(limit.when)}};
    if (!limit.class_name.empty()) json["class"] = limit.class_name;
    if (limit.rate.at_once())
        json["concurrent"] = limit.rate.count;
    else
        json["rate"] = to_string(limit.rate);
    json["mode"] = to_string(limit.mode);
    if (limit.algorithm != LimitAlgorithm::kTrailing) json["algorithm"] = to_string(limit.algorithm);
    if (limit.on_ledger_loss != LedgerLoss::kShare) json["on_ledger_loss"] = to_string(limit.on_ledger_loss);
    return json;
}

}  // namespace

nlohmann::ordered_json to_json(const Policy& policy) {
    Json json{{"name", policy.name},
              {"trusted_proxies", json_of(policy.trusted_proxies)},
              {"source_prefix", json_of(policy.source_prefix)},
              {"kernel", json_of(policy.kernel)},
              {"identity", Json::object()},
              {"routes", Json::array()},
              {"limits", Json::array()}};
    if (policy.identity.jwt) json["identity"]["jwt"] = json_of(*policy.identity.jwt);
    if (policy.identity.api_keys) json["identity"]["api_keys"] = json_of(*policy.identity.api_keys);
    for (const Route& route : policy.routes) json["routes"].push_back(json_of(route));
    for (const RequestLimit& limit : policy.limits) json["limits"].push_back(json_of(limit));
    if (policy.escalation) json["escalation"] = json_of(*policy.escalation);
    return json;
}

}  // namespace sluice
