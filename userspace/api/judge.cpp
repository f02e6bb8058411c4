#include "api/judge.hpp"

#include <algorithm>

namespace sluice {

std::string_view to_string(Verdict verdict) {
    switch (verdict) {
        case Verdict::kAdmitted:
            return "admitted";
        case Verdict::kLimited:
            return "limited";
        case Verdict::kBanned:
            return "banned";
    }
    return "admitted";
}

namespace {

// Of the charges by rate.
std::array<LedgerLoss, kMaxCharges> losses_of(const Judgement& judgement) {
    std::array<LedgerLoss, kMaxCharges> losses;
    for (std::size_t i = 0; i < judgement.charges.by_rate().size(); ++i)
        losses[i] = judgement.limit(i).on_ledger_loss;
    return losses;
}

}  // namespace

void RequestJudge::judge(const Question& question, Nanos monotonic, Nanos wall, Judgement& out,
                         const Patience& patience) {
    const Nanos ledger_time = ledger_time_at(monotonic);
    out.slots.clear();
    use_live_policy(out);
    const ActivePolicy& policy = *out.policy;
    const auto route = policy.routes.match(question.method, question.path);
    out.route = route ? &policy.policy->routes[*route] : nullptr;
    if (banned(question.client, ledger_time, out)) {  // first: a banned source costs us no signature check
        out.identity = Identity{};
        out.charges = ChargeList{};
        out.deciding = 0;
        out.waiting = false;
        return;
    }
    out.identity = policy.verifier->verify(question.credentials, wall / kSecond);
    charge(question, ledger_time, out);
    const std::optional<Admission> admission = admit(monotonic, out, patience);
    out.waiting = !admission;
    if (out.waiting) return;
    out.deciding = monotonic_now() - monotonic;
    out.verdict = admission->admitted ? Verdict::kAdmitted : Verdict::kLimited;
    out.retry_after = admission->retry_at - ledger_time;
}

// Slots and rates in one decision: no request is charged that finds no slot, and none that a rate refuses holds a slot,
// were it for a moment.
std::optional<Admission> RequestJudge::admit(Nanos monotonic, Judgement& out, const Patience& patience) {
    if (out.charges.in_flight().empty()) return admit_by_rate(monotonic, out, patience);
    const Nanos ledger_time = ledger_time_at(monotonic);
    const auto by_rate = out.charges.by_rate();
    const auto results = std::span{out.results}.first(out.charges.size());
    InFlight::Attempt attempt{plane_.in_flight, out.charges.in_flight(), ledger_time,
                              results.subspan(by_rate.size())};
    if (!attempt.admission().admitted) {
        Admission refused = plane_.limiter.peek(by_rate, ledger_time, results);
        refused.admitted = false;
        refused.retry_at = std::max(refused.retry_at, attempt.admission().retry_at);
        return refused;
    }
    const auto admission = admit_by_rate(monotonic, out, patience);
    if (admission && admission->admitted) attempt.take(out.slots);
    return admission;
}

std::optional<Admission> RequestJudge::admit_by_rate(Nanos monotonic, Judgement& out,
                                                     const Patience& patience) {
    const Nanos ledger_time = ledger_time_at(monotonic);
    const auto charges = out.charges.by_rate();
    if (plane_.leases == nullptr) return plane_.limiter.admit(charges, ledger_time, out.results);
    const auto losses = losses_of(out);
    return plane_.leases->admit(
        {charges, std::span{losses}.first(charges.size()), monotonic, ledger_time, patience.asked},
        out.results, patience.waker);
}

std::array<Counted, kMaxCharges> RequestJudge::explain(const Question& question, std::string_view user,
                                                       Nanos monotonic, Judgement& out) {
    const Nanos ledger_time = ledger_time_at(monotonic);
    use_live_policy(out);
    const auto route = out.policy->routes.match(question.method, question.path);
    out.route = route ? &out.policy->policy->routes[*route] : nullptr;
    out.identity = Identity{};
    out.identity.user = user;
    charge(question, ledger_time, out);
    const auto results = std::span{out.results}.first(out.charges.size());
    const auto by_rate = out.charges.by_rate();
    const auto [rates, of_all_hosts] = peek_rates(monotonic, out);
    std::array<Counted, kMaxCharges> counted{};
    if (plane_.leases != nullptr)
        for (std::size_t i = 0; i < by_rate.size(); ++i)
            counted[i] = of_all_hosts[i] ? Counted::kFleet : Counted::kHostLedgerAway;
    const Admission slots =
        plane_.in_flight.peek(out.charges.in_flight(), ledger_time, results.subspan(by_rate.size()));
    out.verdict = rates.admitted && slots.admitted ? Verdict::kAdmitted : Verdict::kLimited;
    out.retry_after = std::max(rates.retry_at, slots.retry_at) - ledger_time;
    banned(question.client, ledger_time, out);
    return counted;
}

LeaseBook::Peeked RequestJudge::peek_rates(Nanos monotonic, Judgement& out) {
    const Nanos ledger_time = ledger_time_at(monotonic);
    const auto charges = out.charges.by_rate();
    if (plane_.leases == nullptr) return {plane_.limiter.peek(charges, ledger_time, out.results), {}};
    const auto losses = losses_of(out);
    return plane_.leases->peek({charges, std::span{losses}.first(charges.size()), monotonic, ledger_time},
                               out.results);
}

// Only a change is copied: all workers would write to the pointer's one counter with every request.
void RequestJudge::use_live_policy(Judgement& out) {
    const auto& live = policy_.get();
    if (out.policy != live) out.policy = live;
}

bool RequestJudge::banned(const IpAddress& client, Nanos ledger_time, Judgement& out) {
    const PlacedBan* ban = bans_.get()->find(client, ledger_time);
    // A policy may have allowed a source after it was banned; the allow list always wins.
    if (ban == nullptr || out.policy->never_banned.contains(client)) return false;
    out.verdict = Verdict::kBanned;
    out.retry_after = ban->expires - ledger_time;
    return true;
}

void RequestJudge::charge(const Question& question, Nanos ledger_time, Judgement& out) {
    const RequestSubject subject{out.class_name(), out.identity.user, question.client};
    out.policy->charges.charges(subject, *overrides_.get(), ledger_time, out.charges);
}

}  // namespace sluice
