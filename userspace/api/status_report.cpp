#include "api/status_report.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "policy/units.hpp"

namespace sluice {
namespace {

using nlohmann::json;

json counts_of(const ReasonCounts& reasons, std::uint64_t ReasonCount::*member) {
    json counts = json::object();
    for (std::size_t i = 0; i < kKernelReasons; ++i)
        if (reasons[i].packets != 0) counts[std::string{kernel_reasons()[i].name}] = reasons[i].*member;
    return counts;
}

json service_json(const ServiceHealth& service) {
    json described{{"status", to_string(service.state)},
                   {"latency_ms", static_cast<double>(service.latency) / kMillisecond},
                   {"since", to_rfc3339(service.since_wall)}};
    if (!service.reason.empty()) described["reason"] = service.reason;
    return described;
}

json not_configured() {
    return {{"status", "not_configured"}};
}

json nodes_json(const SharedLedgerState& shared) {
    json nodes = json::array();
    for (const SharedLedgerNode& node : shared.nodes)
        nodes.push_back(
            {{"node", node.address}, {"up", node.up}, {"slots", node.slots}, {"error", node.error}});
    return nodes;
}

json redis_json(const Ledger& ledger) {
    const auto shared = ledger.shared();
    if (!shared) return not_configured();
    json described{{"status", shared->up ? "up" : "down"}, {"node", shared->node}, {"hosts", shared->hosts}};
    if (shared->alone > 0) described["alone_s"] = shared->alone / kSecond;
    if (!shared->nodes.empty()) described["nodes"] = nodes_json(*shared);
    return described;
}

json ledger_json(const Ledger& ledger) {
    const LedgerHealth health = ledger.health();
    json all{{"kind", ledger.kind()}, {"up", health.up}, {"error", health.error}};
    if (const auto shared = ledger.shared()) {
        all["node"] = shared->node;
        all["hosts"] = shared->hosts;
        if (shared->alone > 0) all["alone_s"] = shared->alone / kSecond;
        all["losses"] = shared->losses;
        all["round_trip_us"] = shared->round_trip / kMicrosecond;
        all["messages"] = shared->messages;
        all["waited"] = shared->waited;
        all["late"] = shared->late;
        all["unleased"] = shared->unleased;
        all["forgotten"] = shared->forgotten;
        if (!shared->nodes.empty()) {
            all["nodes"] = nodes_json(*shared);
            all["redirects"] = shared->redirects;
        }
    }
    return all;
}

double seconds(Nanos duration) {
    return static_cast<double>(duration / kMillisecond) / 1000.0;
}

}  // namespace

json StatusReport::status() const {
    const PolicyVersion& version = sources_.policy.version();
    json interfaces = json::array();
    if (sources_.kernel != nullptr) {
        const auto counters = sources_.kernel->counters();
        for (const InterfaceState& state : sources_.kernel->interfaces()) {
            json interface {
                {"name", state.name}, {"mode", state.mode}, {"via", state.via}, {"attached", state.attached},
                    {"note", state.note}, {"packets", json::object()}, {
                    "bytes", json::object()
                }
            };
            if (counters)
                for (const InterfaceCounters& counter : *counters) {
                    if (counter.name != state.name) continue;
                    interface["packets"] = counts_of(counter.reasons, &ReasonCount::packets);
                    interface["bytes"] = counts_of(counter.reasons, &ReasonCount::bytes);
                    interface["would_drop"] = counts_of(counter.would_drop, &ReasonCount::packets);
                }
            interfaces.push_back(std::move(interface));
        }
    }
    const LimiterStats limiter = sources_.plane.limiter.stats();
    json status{{"version", SLUICE_VERSION},
                {"state", sources_.state()},
                {"uptime_s", (monotonic_now() - sources_.started) / kSecond},
                {"policy",
                 {{"name", version.name},
                  {"hash", version.hash},
                  {"generation", version.n},
                  {"applied_at", to_rfc3339(version.applied_at)},
                  {"origin", version.origin},
                  {"file_problem", sources_.policy.file_problem()}}},
                {"interfaces", std::move(interfaces)},
                {"bans", sources_.bans.active()},
                {"ledger", ledger_json(sources_.ledger)},
                {"limiter",
                 {{"keys", limiter.keys},
                  {"bytes", limiter.bytes},
                  {"overflowed", limiter.overflowed},
                  {"slots", sources_.plane.in_flight.stats().slots}}},
                {"active_users", sources_.plane.active_users.count(ledger_now())},
                {"troubles", troubles()}};
    if (sources_.syn_cookies != nullptr) {
        const SynCookieState& state = sources_.syn_cookies->state();
        status["syn_cookies"] = {{"state", state.state},
                                 {"why", state.why},
                                 {"unfinished_per_s", std::round(state.unfinished_per_second)},
                                 {"options_kept", state.options_kept}};
    }
    if (const auto deadline = sources_.policy.confirm_by_wall())
        status["policy"]["confirm_deadline"] = to_rfc3339(*deadline);
    if (sources_.gateway != nullptr) {
        const http::GatewayStats stats = sources_.gateway->stats();
        status["gateway"] = {{"open", stats.open},
                             {"accepted", stats.accepted},
                             {"requests", stats.requests},
                             {"refused_early", stats.refused_early},
                             {"refused_sources", stats.refused_sources},
                             {"upstream_failures", stats.upstream_failures},
                             {"tunnels", stats.tunnels}};
    }
    if (sources_.kernel != nullptr) {
        const KernelStatistics statistics = sources_.kernel->statistics();
        status["kernel"] = {{"events_lost", statistics.events_lost},
                            {"bans_refused", statistics.bans_refused},
                            {"sources_evicted", statistics.sources_evicted},
                            {"newcomers_skipped", statistics.newcomers_skipped},
                            {"claims_lost", statistics.claims_lost},
                            {"charge_retries", statistics.charge_retries},
                            {"notes", sources_.kernel->adopted().notes}};
    }
    return status;
}

std::vector<std::string> StatusReport::troubles() const {
    std::vector<std::string> found;
    if (const LedgerHealth ledger = sources_.ledger.health(); !ledger.up) {
        const auto shared = sources_.ledger.shared();
        found.push_back("ledger: " + ledger.error +
                        (shared && shared->alone > 0
                             ? "; alone since " + std::to_string(shared->alone / kSecond) + " s"
                             : std::string{}));
    }
    if (const auto shared = sources_.ledger.shared(); shared && !shared->fleet_error.empty())
        found.push_back("fleet: Redis refuses: " + shared->fleet_error);
    const EventLog::Stats log = sources_.log.stats();
    for (std::size_t i = 0; i < kLogCategories; ++i)
        if (!log[i].error.empty())
            found.push_back("log " + std::string{to_string(static_cast<LogCategory>(i))} + ": " +
                            log[i].error);
    if (sources_.kernel != nullptr)
        for (const InterfaceState& state : sources_.kernel->interfaces())
            if (!state.attached)
                found.push_back("interface " + state.name + ": the XDP program is no longer attached");
    for (const ServiceHealth& service : sources_.health.services())
        if (service.state == ServiceState::kDown) found.push_back(service.name + ": " + service.reason);
    if (!sources_.policy.file_problem().empty())
        found.push_back("policy file: " + sources_.policy.file_problem());
    return found;
}

std::string_view StatusReport::health_word() const {
    return troubles().empty() ? "ok" : "degraded";
}

json StatusReport::health() const {
    json providers = json::object();
    json database = not_configured();
    const std::vector<ServiceHealth>& services = sources_.health.services();
    for (std::size_t i = 0; i < services.size(); ++i) {
        if (i == 0 && sources_.has_database)
            database = service_json(services[i]);
        else
            providers[services[i].name] = service_json(services[i]);
    }
    const LedgerHealth ledger = sources_.ledger.health();
    return {{"status", health_word()},
            {"timestamp", to_rfc3339(wall_now())},
            {"version", SLUICE_VERSION},
            {"services",
             {{"database", std::move(database)},
              {"redis", redis_json(sources_.ledger)},
              {"ai_providers", std::move(providers)}}},
            {"ledger", {{"kind", sources_.ledger.kind()}, {"status", ledger.up ? "up" : "down"}}},
            {"troubles", troubles()}};
}

json StatusReport::top(const TopQuery& query) const {
    json rows = json::array();
    if (query.by != TopQuery::By::kRequests && query.by != TopQuery::By::kDenials) {
        if (sources_.kernel == nullptr) return rows;
        const TopBy by = query.by == TopQuery::By::kPackets ? TopBy::kPackets
                         : query.by == TopQuery::By::kBytes ? TopBy::kBytes
                                                            : TopBy::kDrops;
        const TopOf of = query.prefixes ? TopOf::kPrefixes : TopOf::kSources;
        for (const TopTalker& top : sources_.kernel->top(of, by, query.n))
            rows.push_back({{query.prefixes ? "prefix" : "source",
                             query.prefixes ? top.who.to_string() : top.who.address().to_string()},
                            {"packets", top.packets},
                            {"bytes", top.bytes},
                            {"drops", top.drops},
                            {"requests", 0},
                            {"denials", 0},
                            {"error", top.error}});
        return rows;
    }
    std::vector<TopRequests::Count> sources;
    std::vector<TopRequests::Count> users;
    for (const TopRequests* worker : sources_.top) worker->collect(sources, users, ledger_now());
    const RequestTopBy by =
        query.by == TopQuery::By::kRequests ? RequestTopBy::kRequests : RequestTopBy::kDenials;
    const auto append = [&](std::vector<TopRequests::Count> counts, const char* kind) {
        for (const TopRequests::Count& count : merge_top(std::move(counts), by, query.n))
            rows.push_back({{kind, count.name},
                            {"packets", 0},
                            {"drops", 0},
                            {"requests", count.requests},
                            {"denials", count.denials},
                            {"error", count.error}});
    };
    append(std::move(sources), "source");
    append(std::move(users), "user");
    const char* weight = by == RequestTopBy::kRequests ? "requests" : "denials";
    std::stable_sort(rows.begin(), rows.end(),
                     [&](const json& a, const json& b) { return a[weight] > b[weight]; });
    if (rows.size() > query.n) rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(query.n), rows.end());
    return rows;
}

json StatusReport::explain(const ExplainQuery& query) {
    const auto judgement = std::make_unique<Judgement>();
    const auto counted =
        judge_.explain({query.method, query.path, query.ip, {}}, query.user, monotonic_now(), *judgement);

    json charges = json::array();
    std::string reason{to_string(judgement->verdict)};
    for (std::size_t i = 0; i < judgement->charges.size(); ++i) {
        const RequestLimit& limit = judgement->limit(i);
        const ChargeResult& result = judgement->results[i];
        const bool by_user = limit.per == LimitScope::kUser && !query.user.empty();
        charges.push_back(
            {{"limit", limit.name},
             {"key", by_user ? std::string{query.user}
                             : judgement->policy->policy->source_prefix.of(query.ip).to_string()},
             {"rate", to_string(judgement->charges.charges()[i].rate)},
             {"used", result.used},
             {"remaining", result.remaining},
             {"counted", to_string(counted[i])},
             {"refuses", result.refused},
             {"mode", limit.mode == LimitMode::kShadow ? "shadow" : "enforce"}});
        if (judgement->verdict == Verdict::kLimited && result.refused && limit.mode == LimitMode::kEnforce &&
            reason == "limited")
            reason = limit.name;
    }
    json explained{{"verdict", to_string(judgement->verdict)},
                   {"reason", reason},
                   {"route", judgement->route_name()},
                   {"class", judgement->class_name()},
                   {"charges", std::move(charges)}};
    if (judgement->verdict != Verdict::kAdmitted)
        explained["retry_after_s"] = (judgement->retry_after + kSecond - 1) / kSecond;

    if (sources_.kernel == nullptr) return explained;
    const auto packet = sources_.kernel->explain(query.ip);
    if (!packet) {
        explained["kernel"] = {{"error", packet.error().message}};
        return explained;
    }
    json limits = json::array();
    for (const LimitState& limit : packet->limits)
        limits.push_back({{"limit", limit.name},
                          {"key", limit.key},
                          {"burst", limit.burst},
                          {"available", limit.available},
                          {"mode", limit.shadow ? "shadow" : "enforce"}});
    explained["kernel"] = {
        {"verdict", packet->verdict}, {"reason", packet->reason}, {"limits", std::move(limits)}};
    if (packet->ban)
        explained["kernel"]["ban"] = {{"reason", packet->ban->reason},
                                      {"origin", to_string(packet->ban->origin)},
                                      {"expires_in_s", seconds(packet->ban->expires_in)}};
    // The packets come first: what the kernel drops is never judged as a request.
    if (packet->verdict == "drop") {
        explained["verdict"] = "dropped";
        explained["reason"] = packet->reason;
    }
    return explained;
}

}  // namespace sluice
