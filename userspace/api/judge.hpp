// The judgement of one request: who asks, for which route, against which limits, with what result. The
// gateway and every other door that answers "may this request pass?" ask here, so that all give the same
// answer.
//
// One RequestJudge belongs to one thread; what it shares with others is in RequestPlane.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "api/request_plane.hpp"
#include "base/ip_prefix.hpp"
#include "identity/identity.hpp"
#include "limiter/charges.hpp"
#include "limiter/in_flight.hpp"
#include "limiter/limiter.hpp"

namespace sluice {

// What a request shows of itself.
struct Question {
    std::string_view method;
    std::string_view path;  // canonical
    IpAddress client;
    Credentials credentials;
};

enum class Verdict : std::uint8_t { kAdmitted, kLimited, kBanned };
std::string_view to_string(Verdict verdict);  // "admitted", "limited", "banned"

// Reusable: judging overwrites it and keeps what memory it has.
struct Judgement {
    std::shared_ptr<const ActivePolicy> policy;  // the one it was judged by
    Verdict verdict = Verdict::kAdmitted;
    const Route* route = nullptr;  // of `policy`; nullptr: none matched
    Identity identity;
    ChargeList charges;
    std::array<ChargeResult, kMaxCharges> results;
    std::vector<InFlight::Slot> slots;  // admitted: what it holds; to be cleared when the request has ended
    Nanos retry_after = 0;              // not admitted: how long until the same request is
    Nanos deciding = 0;                 // what the limiter took
    bool waiting = false;               // nothing is decided yet: to be judged again when it is woken

    std::span<const ChargeResult> charge_results() const { return {results.data(), charges.size()}; }
    const RequestLimit& limit(std::size_t charge) const {
        return policy->policy->limits[charges.limits()[charge]];
    }
    std::string_view class_name() const {
        return route ? std::string_view{route->class_name} : std::string_view{};
    }
    std::string_view route_name() const { return route ? std::string_view{route->name} : std::string_view{}; }
};

// How long a request may wait for what other hosts must be asked for, and how it is woken.
struct Patience {
    Nanos asked = 0;           // when it was judged first, monotonic; 0: now
    LeaseBook::Waker waker{};  // empty: it can't wait
};

class RequestJudge {
  public:
    explicit RequestJudge(RequestPlane& plane)
        : plane_(plane), policy_(plane.policy), bans_(plane.bans), overrides_(plane.overrides) {}

    // The live policy; valid until the next call of a function of this judge.
    const ActivePolicy& policy() { return *policy_.get(); }

    // Judges and counts: all charges or none. `monotonic` is monotonic_now(), read just before; `wall` to the second.
    void judge(const Question& question, Nanos monotonic, Nanos wall, Judgement& out,
               const Patience& patience = {});
    // The same without counting anything. A known `user` may be given instead of credentials (explain). Returns over
    // whom each charge's numbers count. With a Redis ledger it waits for Redis: not on its thread.
    std::array<Counted, kMaxCharges> explain(const Question& question, std::string_view user, Nanos monotonic,
                                             Judgement& out);

  private:
    void use_live_policy(Judgement& out);
    bool banned(const IpAddress& client, Nanos ledger_time, Judgement& out);
    void charge(const Question& question, Nanos ledger_time, Judgement& out);
    LeaseBook::Peeked peek_rates(Nanos monotonic, Judgement& out);
    std::optional<Admission> admit_by_rate(Nanos monotonic, Judgement& out, const Patience& patience);
    std::optional<Admission> admit(Nanos monotonic, Judgement& out, const Patience& patience);

    RequestPlane& plane_;
    SnapshotReader<ActivePolicy> policy_;
    SnapshotReader<BanSet> bans_;
    SnapshotReader<Overrides> overrides_;
};

}  // namespace sluice
