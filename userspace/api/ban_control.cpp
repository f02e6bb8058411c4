#include "api/ban_control.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace sluice {
namespace {

constexpr std::string_view kDocument = "bans";
constexpr std::string_view kOperator = "operator";
constexpr std::string_view kEscalation = "escalation";
constexpr std::string_view kKernel = "kernel";
constexpr std::string_view kAllowedDurations = "a ban lasts from 1s to 366d";

BanOrigin origin_of(const std::string& word) {
    return word == kEscalation ? BanOrigin::kEscalation : BanOrigin::kOperator;
}

Error invalid(std::string message) {
    return Error{ErrorCode::kInvalid, std::move(message)};
}

// One that the kernel knows and userspace did not place.
PlacedBan as_placed(const Ban& ban) {
    return {ban.source, std::string{to_string(ban.origin)}, ban.reason, 0};
}

}  // namespace

BanControl::BanControl(RequestPlane& plane, KernelEnforcer* kernel, Ledger& ledger, Metrics& metrics)
    : plane_(plane), kernel_(kernel), ledger_(ledger), metrics_(metrics) {}

void BanControl::restore() {
    const auto document = ledger_.get_document(kDocument);
    if (!document || !*document) return;
    const Nanos now = ledger_now();
    registry_.from_document(**document, now);
    for (const PlacedBan& ban : registry_.all()) {
        if (plane_.policy.load()->never_banned.overlaps(ban.source)) {
            registry_.lift(ban.source);
            continue;
        }
        if (const auto enforced = enforce(ban, origin_of(ban.origin)); !enforced)
            plane_.log.write(SystemError{"kernel", "ban_not_restored", enforced.error().message});
    }
    publish();
}

Result<> BanControl::enforce(const PlacedBan& ban, BanOrigin origin) {
    if (kernel_ == nullptr) return {};
    return kernel_->ban({ban.source, ban.expires - ledger_now(), ban.reason, origin});
}

Result<> BanControl::check_form(const IpPrefix& source, Nanos duration, const std::string& reason) {
    if (duration <= 0 || duration > kLongest) return invalid(std::string{kAllowedDurations});
    if (reason.size() > kBanReasonBytes)
        return invalid("the reason is longer than " + std::to_string(kBanReasonBytes) + " bytes");
    if (source.length() < (source.is_v4() ? kWidestV4 : kWidestV6))
        return invalid(source.to_string() + " is too wide for a ban; allowed: /" + std::to_string(kWidestV4) +
                       " and longer (IPv4), /" + std::to_string(kWidestV6) +
                       " and longer (IPv6); the policy's deny list takes any");
    return {};
}

Result<BanView> BanControl::add(const IpPrefix& source, Nanos duration, const std::string& reason,
                                const Actor& actor) {
    const auto check = [&]() -> Result<> {
        if (duration < kSecond) return invalid(std::string{kAllowedDurations});
        if (auto formed = check_form(source, duration, reason); !formed) return formed;
        if (plane_.policy.load()->never_banned.overlaps(source))
            return Error{ErrorCode::kConflict,
                         source.to_string() + " overlaps the trusted proxies or the allow list"};
        return {};
    };
    const PlacedBan ban{source, std::string{kOperator}, reason, ledger_now() + duration};
    auto done = check();
    if (done) done = enforce(ban, BanOrigin::kOperator);
    plane_.log.write(audit_of(actor, Audit::Action::kBanAdded, done.has_value(), source.to_string(),
                              done ? reason : done.error().message));
    if (!done) return done.error();

    registry_.place(ban);
    publish();
    metrics_.count(Metric::kBans, {kOperator});
    log_change(BanChange::Action::kBegan, ban, actor.name, duration, 0);
    tell_peers(ban, duration, false, actor.name);
    return BanView{source, reason, std::string{kOperator}, duration, 0};
}

Result<> BanControl::lift(const IpPrefix& source, const Actor& actor) {
    const auto bans = list();
    if (!bans) return bans.error();
    const auto view = std::ranges::find(*bans, source, &BanView::source);
    if (view == bans->end()) {
        std::string near;
        for (const BanView& other : *bans)
            if (other.source.contains(source.address()))
                near = "; it is covered by the ban of " + other.source.to_string();
        return Error{ErrorCode::kNotFound, "no ban of " + source.to_string() + near};
    }

    if (kernel_ != nullptr) {
        const auto lifted = kernel_->lift(source);
        // Not in the kernel is what was wanted: it expired there, or never fitted.
        if (!lifted && lifted.error().code != ErrorCode::kNotFound) {
            plane_.log.write(audit_of(actor, Audit::Action::kBanLifted, false, source.to_string(),
                                      lifted.error().message));
            return lifted.error();
        }
    }
    registry_.lift(source);
    publish();
    plane_.escalation.forget(source);
    plane_.log.write(audit_of(actor, Audit::Action::kBanLifted, true, source.to_string(), {}));
    const PlacedBan lifted{source, view->origin, view->reason, 0, view->host};
    log_change(BanChange::Action::kLifted, lifted, actor.name, 0, view->packets);
    tell_peers(lifted, view->expires_in, true, actor.name);
    return {};
}

Result<std::vector<BanView>> BanControl::list() const {
    std::vector<BanView> views;
    const Nanos now = ledger_now();
    for (const PlacedBan& ban : registry_.all())
        if (ban.expires > now)
            views.push_back({ban.source, ban.reason, ban.origin, ban.expires - now, 0, ban.host});
    if (kernel_ != nullptr) {
        auto kernel_bans = kernel_->bans();
        if (!kernel_bans) return kernel_bans.error();
        for (Ban& ban : *kernel_bans) {
            const auto placed = std::ranges::find(views, ban.source, &BanView::source);
            if (placed == views.end())
                views.push_back({ban.source, std::move(ban.reason), std::string{to_string(ban.origin)},
                                 ban.expires_in, ban.packets});
            else
                placed->packets = ban.packets;
        }
    }
    std::ranges::sort(views, std::greater{}, &BanView::expires_in);
    return views;
}

std::size_t BanControl::active() const {
    const auto bans = list();
    return bans ? bans->size() : registry_.size();
}

std::size_t BanControl::active_in_kernel() const {
    if (kernel_ == nullptr) return 0;
    const auto bans = kernel_->bans();
    return bans ? bans->size() : 0;
}

void BanControl::escalated(const Escalation& escalation) {
    const PlacedBan ban{escalation.source, std::string{kEscalation}, "refused_requests",
                        ledger_now() + escalation.duration};
    // The policy may have changed since the worker decided.
    const bool exempt = plane_.policy.load()->never_banned.overlaps(escalation.source);
    if (escalation.kind == Escalation::Kind::kShared || exempt) {
        log_change(BanChange::Action::kSuppressed,
                   {ban.source, ban.origin, exempt ? "exempt" : "shared_address", 0}, {}, 0, 0);
        return;
    }
    if (const auto enforced = enforce(ban, BanOrigin::kEscalation); !enforced)
        plane_.log.write(SystemError{"kernel", "ban_failed", enforced.error().message});
    registry_.place(ban);
    publish();
    metrics_.count(Metric::kBans, {kEscalation});
    log_change(BanChange::Action::kBegan, ban, {}, escalation.duration, 0);
    tell_peers(ban, escalation.duration, false, {});
}

void BanControl::kernel_banned(const KernelEvent& event) {
    metrics_.count(Metric::kBans, {event.reason});
    const PlacedBan ban{event.source, std::string{kKernel}, std::string{event.reason}, 0};
    log_change(BanChange::Action::kBegan, ban, {}, event.ban_duration, 0);
    tell_peers(ban, event.ban_duration, false, {});
}

void BanControl::tell_peers(const PlacedBan& ban, Nanos lasts, bool lifted, const std::string& by) {
    if (!say_ || lasts <= 0) return;
    FleetFact fact;
    fact.withdrawn = lifted;
    fact.source = ban.source;
    fact.reason = ban.reason;
    // A lift is an operator's, whoever placed the ban.
    fact.origin = lifted ? kOperator : ban.origin;
    fact.by = by;
    fact.lasts = lasts;
    say_(std::move(fact));
}

void BanControl::peers_said(std::span<const FleetNews> news) {
    bool changed = false;
    for (const FleetNews& one : news) {
        if (one.fact.kind != FleetFact::Kind::kBan) continue;
        const bool done = one.fact.withdrawn ? peer_lifted(one) : peer_banned(one);
        changed = changed || done;
    }
    if (changed) publish();
}

// This host's policy decides for this host: what it allows is not banned, whoever says so.
bool BanControl::peer_banned(const FleetNews& news) {
    const FleetFact& fact = news.fact;
    const Nanos lasts = fact.lasts.value_or(0) - (monotonic_now() - news.heard);
    const PlacedBan ban{fact.source, std::string{kPeerOrigin}, fact.reason, ledger_now() + lasts, fact.host};
    if (lasts <= 0) return false;
    // What this host had told before it was started again comes back.
    if (const auto held = registry_.find(fact.source);
        held && held->reason == ban.reason && std::abs(held->expires - ban.expires) <= kSecond)
        return false;
    const bool formed = check_form(fact.source, lasts, fact.reason).has_value();
    if (!formed || plane_.policy.load()->never_banned.overlaps(fact.source)) {
        ++refused_of_peers_;
        PlacedBan refused = ban;
        refused.reason = formed ? "exempt" : "not_allowed";
        log_change(BanChange::Action::kSuppressed, refused, fact.by, 0, 0);
        return false;
    }
    if (const auto enforced = enforce(ban, BanOrigin::kPeer); !enforced) {
        ++refused_of_peers_;
        plane_.log.write(SystemError{"kernel", "ban_failed", enforced.error().message});
    }
    registry_.place(ban);
    metrics_.count(Metric::kBans, {kPeerOrigin});
    log_change(BanChange::Action::kBegan, ban, fact.by, lasts, 0);
    return true;
}

bool BanControl::peer_lifted(const FleetNews& news) {
    const IpPrefix& source = news.fact.source;
    const bool in_kernel = kernel_ != nullptr && kernel_->lift(source).has_value();
    const auto placed = registry_.lift(source);
    plane_.escalation.forget(source);
    if (!placed && !in_kernel) return false;
    PlacedBan ban = placed.value_or(PlacedBan{source, std::string{kKernel}, news.fact.reason, 0});
    ban.host = news.fact.host;
    log_change(BanChange::Action::kLifted, ban, news.fact.by, 0, 0);
    return placed.has_value();
}

void BanControl::policy_changed() {
    constexpr const char* kPolicy = "policy";
    const auto policy = plane_.policy.load();
    // The kernel did it already, when the policy was applied, and knows what they dropped.
    std::vector<Ban> lifted_in_kernel;
    if (kernel_ != nullptr) lifted_in_kernel = kernel_->take_lifted();
    bool changed = false;
    for (const Ban& ban : lifted_in_kernel) {
        const auto placed = registry_.lift(ban.source);
        log_change(BanChange::Action::kLifted, placed.value_or(as_placed(ban)), kPolicy, 0, ban.packets);
        changed = changed || placed;
    }
    for (const PlacedBan& ban : registry_.all()) {
        if (!policy->never_banned.overlaps(ban.source)) continue;
        registry_.lift(ban.source);
        log_change(BanChange::Action::kLifted, ban, kPolicy, 0, 0);
        changed = true;
    }
    if (changed) publish();
}

void BanControl::tick(Nanos ledger_time) {
    expire(ledger_time);
    if (kernel_ != nullptr && summaries_.due(ledger_time)) summarise();
    if (document_stale_ && ledger_.put_document(kDocument, registry_.to_document())) document_stale_ = false;
}

void BanControl::expire(Nanos ledger_time) {
    // A ban ends in both places at the same time, but not to the nanosecond: the kernel, which knows what it
    // dropped, is to be the first.
    constexpr Nanos kApart = kSecond;
    bool changed = false;
    const auto ended = [&](const PlacedBan& ban, std::uint64_t packets) {
        log_change(BanChange::Action::kEnded, ban, {}, 0, packets);
        plane_.escalation.forget(ban.source);
    };
    if (kernel_ != nullptr)
        for (const Ban& ban : kernel_->tick()) {
            const auto placed = registry_.find(ban.source);
            if (placed && placed->expires > ledger_time + kApart) continue;  // it was placed anew meanwhile
            if (placed) registry_.lift(ban.source);
            changed = changed || placed;
            ended(placed.value_or(as_placed(ban)), ban.packets);
        }
    for (const PlacedBan& ban : registry_.expire(kernel_ == nullptr ? ledger_time : ledger_time - kApart)) {
        changed = true;
        ended(ban, 0);
    }
    if (changed) publish();
}

void BanControl::summarise() {
    const auto standing = kernel_->bans();
    if (!standing) return;  // the next round says it all
    for (const BanSummary& one : summaries_.take(*standing)) {
        const PlacedBan ban = registry_.find(one.ban.source).value_or(as_placed(one.ban));
        BanChange change{BanChange::Action::kSummary,
                         ban.source,
                         ban.reason,
                         ban.origin,
                         {},
                         0,
                         one.ban.packets,
                         ban.host};
        change.since = one.since;
        change.untold = one.untold;
        plane_.log.write(std::move(change));
    }
}

void BanControl::publish() {
    plane_.bans.publish(std::make_shared<const BanSet>(registry_.all()));
    document_stale_ = true;
}

void BanControl::log_change(BanChange::Action action, const PlacedBan& ban, std::string by, Nanos duration,
                            std::uint64_t packets) {
    plane_.log.write(
        BanChange{action, ban.source, ban.reason, ban.origin, std::move(by), duration, packets, ban.host});
}

}  // namespace sluice
