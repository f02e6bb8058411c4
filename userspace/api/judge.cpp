#include "api/judge.hpp"

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

void RequestJudge::judge(const Question& question, Nanos monotonic, Nanos wall, Judgement& out,
                         const Patience& patience) {
    const Nanos ledger_time = ledger_time_at(monotonic);
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

std::optional<Admission> RequestJudge::admit(Nanos monotonic, Judgement& out, const Patience& patience) {
    const Nanos ledger_time = ledger_time_at(monotonic);
    if (plane_.leases == nullptr)
        return plane_.limiter.admit(out.charges.charges(), ledger_time, out.results);
    std::array<LedgerLoss, kMaxCharges> losses;
    for (std::size_t i = 0; i < out.charges.size(); ++i) losses[i] = out.limit(i).on_ledger_loss;
    return plane_.leases->admit({out.charges.charges(), std::span{losses}.first(out.charges.size()),
                                 monotonic, ledger_time, patience.asked},
                                out.results, patience.waker);
}

void RequestJudge::explain(const Question& question, std::string_view user, Nanos ledger_time,
                           Judgement& out) {
    use_live_policy(out);
    const auto route = out.policy->routes.match(question.method, question.path);
    out.route = route ? &out.policy->policy->routes[*route] : nullptr;
    out.identity = Identity{};
    out.identity.user = user;
    charge(question, ledger_time, out);
    const Admission admission = plane_.limiter.peek(out.charges.charges(), ledger_time, out.results);
    out.verdict = admission.admitted ? Verdict::kAdmitted : Verdict::kLimited;
    out.retry_after = admission.retry_at - ledger_time;
    banned(question.client, ledger_time, out);
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
