#include "api/fleet_control.hpp"

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using nlohmann::json;

// Each takes a handful of system calls: a few milliseconds in all.
constexpr std::size_t kTakenAtOnce = 256;
constexpr Nanos kTriedAgainAfter = 30 * kSecond;
constexpr std::string_view kPolicyDocument = "fleet_policy";

json host_json(const FleetHost& host) {
    return {
        {"host", host.name},
        {"id", host.id},
        {"version", host.version},
        {"policy", {{"name", host.policy_name}, {"hash", host.policy_hash}, {"fleet", host.policy_of_fleet}}},
        {"started_at", to_rfc3339(host.started_wall)},
        {"last_seen_s", static_cast<double>(host.ago / kMillisecond) / 1000.0},
        {"state", to_string(host.state)},
        {"self", host.self}};
}

}  // namespace

FleetControl::FleetControl(FleetParts parts) : parts_(parts) {
    if (parts_.fleet == nullptr) return;
    const auto say = [fleet = parts_.fleet](FleetFact fact) { fleet->say(std::move(fact)); };
    parts_.bans.share_with(say);
    parts_.quotas.share_with(say);
    if (FleetPolicies* const policies = parts_.fleet->policies()) share_policies(*policies);
    tick();
}

void FleetControl::share_policies(FleetPolicies& policies) {
    const auto document = parts_.ledger.get_document(kPolicyDocument);
    policies.know(document && *document ? parse_policy(**document) : std::nullopt);
    parts_.policy.share_with([this, &policies](const PolicyVersion& version) {
        FleetPolicy policy;
        policy.text = version.text;
        policy.name = version.name;
        policy.by = version.by;
        policy.reason = version.reason;
        policies.say(std::move(policy));
        waiting_.reset();
    });
}

// At most one waits: the latest.
void FleetControl::take_policy() {
    FleetPolicies* const policies = parts_.fleet->policies();
    if (policies == nullptr) return;
    auto news = policies->take();
    if (!news) return;
    if (news->own) return remember(news->policy);
    waiting_ = Waiting{std::move(news->policy)};
    try_policy();
}

void FleetControl::try_policy() {
    const FleetPolicy& policy = waiting_->policy;
    if (parts_.policy.confirm_by_wall()) return;
    if (!parts_.policy.take(policy.text, policy.by, policy.host, policy.reason)) {
        refused_ += !std::exchange(waiting_->refused, true);
        waiting_->again_at = monotonic_now() + kTriedAgainAfter;
        return;
    }
    ++taken_;
    remember(policy);
    waiting_.reset();
}

// So that a start takes it neither again nor for new.
void FleetControl::remember(const FleetPolicy& policy) {
    unstored_ = to_bytes(policy);
    if (parts_.ledger.put_document(kPolicyDocument, unstored_)) unstored_.clear();
}

std::string FleetControl::policy_of_fleet() const {
    if (parts_.fleet->policies() == nullptr) return {};
    if (!waiting_) return "follows";
    return waiting_->refused ? "refuses" : "waits";
}

bool FleetControl::drain() {
    if (parts_.fleet == nullptr) return false;
    take_policy();
    const std::vector<FleetNews> news = parts_.fleet->take(kTakenAtOnce);
    if (news.empty()) return false;
    parts_.bans.peers_said(news);
    parts_.quotas.peers_said(news);
    return news.size() == kTakenAtOnce;
}

void FleetControl::tick() {
    if (parts_.fleet == nullptr) return;
    const PolicyVersion& version = parts_.policy.version();
    if (waiting_ && monotonic_now() >= waiting_->again_at) try_policy();
    if (!unstored_.empty() && parts_.ledger.put_document(kPolicyDocument, unstored_)) unstored_.clear();
    parts_.fleet->describe(version.name, version.hash, policy_of_fleet());
    const FleetStats stats = parts_.fleet->stats();
    const std::uint64_t lost = stats.lost + stats.full;
    if (lost > lost_told_)
        parts_.log.write(
            SystemError{"fleet", "facts_lost",
                        std::to_string(lost - lost_told_) +
                            " decisions of this host will not reach the others: there are more than " +
                            std::to_string(FleetBook::kMostFacts)});
    lost_told_ = lost;
    if (!stats.error.empty() && stats.error != error_told_)
        parts_.log.write(SystemError{"fleet", "redis_refuses", stats.error});
    error_told_ = stats.error;
}

json FleetControl::hosts() const {
    json rows = json::array();
    if (parts_.fleet == nullptr) return {{"shared", false}, {"hosts", std::move(rows)}};
    for (const FleetHost& host : parts_.fleet->hosts(monotonic_now())) rows.push_back(host_json(host));
    json all{{"shared", true}, {"hosts", std::move(rows)}};
    if (const auto shared = parts_.ledger.shared(); shared && shared->alone > 0)
        all["alone_s"] = static_cast<double>(shared->alone / kMillisecond) / 1000.0;
    return all;
}

void FleetControl::collect(Samples& samples) const {
    if (parts_.fleet == nullptr) return;
    const FleetStats stats = parts_.fleet->stats();
    for (const auto& [outcome, value] : {std::pair{"sent", stats.sent},
                                         {"superseded", stats.superseded},
                                         {"full", stats.full},
                                         {"received", stats.received},
                                         {"invalid", stats.invalid},
                                         {"lost", stats.lost},
                                         {"refused", parts_.bans.refused_of_peers()}})
        samples.add(Metric::kFleetFacts, {outcome}, static_cast<double>(value));
    const FleetPolicies* const policies = parts_.fleet->policies();
    if (policies == nullptr) return;
    const FleetPolicies::Stats shared = policies->stats();
    for (const auto& [result, value] : {std::pair{"told", shared.told},
                                        {"superseded", shared.superseded},
                                        {"taken", taken_},
                                        {"refused", refused_},
                                        {"invalid", shared.invalid}})
        samples.add(Metric::kFleetPolicies, {result}, static_cast<double>(value));
}

}  // namespace sluice
