// Refused requests that keep coming: when a source is to be banned in the kernel, where dropping it costs
// next to nothing. Decides only; the control loop bans.
//
// What is implemented. A source (the address masked to the policy's prefix) is banned for rule.duration once
// rule.after of its requests were refused within rule.within. The span begins with the first refusal and
// starts anew with the first one after it has passed: never a ban for fewer than `after`, and whoever keeps
// refusals coming faster than after/within is caught within two spans. One decision for each ban; while it
// lasts nothing is reported.
//
// Never an exempt source (trusted proxies, allowed sources). Never a shared address for one user's sins: if,
// within the last rule.within, several users were seen from the source (admitted or refused), or a user
// beside anonymous requests that were admitted, then refusals of users do not count towards a ban; anonymous
// refusals, which are the address's own, still do. When only that saved the source, kShared is reported once
// a span.
//
// Memory is fixed: sets of four sources; a newcomer takes the place of the one silent for longest in its set,
// and a source so forgotten starts over. Thread-safe: one short lock for each set's stripe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/ip_prefix.hpp"
#include "limiter/key.hpp"
#include "policy/policy.hpp"

namespace sluice {

struct Escalation {
    enum class Kind : std::uint8_t {
        kBan,     // ban the source for `duration`
        kShared,  // would be, but the address is shared: log it
    };
    Kind kind = Kind::kBan;
    IpPrefix source;
    Nanos duration = 0;
    std::uint64_t refused = 0;  // within the span
};

// What escalation goes by; replaced with the policy. Immutable.
struct EscalationRules {
    std::optional<BanRule> rule;  // none: nothing is ever escalated
    SourcePrefix source_prefix;
    PrefixSet exempt;  // trusted proxies and allowed sources

    // Trusted proxies and the kernel's allow list of the policy are exempt.
    static EscalationRules of(const Policy& policy);
};

class EscalationTracker {
  public:
    // max_sources is rounded to a power of two; 128 bytes each. The hasher's secret keeps anyone from aiming
    // at a set.
    explicit EscalationTracker(const KeyHasher& hasher, std::size_t max_sources = 65'536);
    ~EscalationTracker();
    EscalationTracker(const EscalationTracker&) = delete;
    EscalationTracker& operator=(const EscalationTracker&) = delete;

    // identity: KeyHasher::identity of the verified user; 0: anonymous. Any clock that does not go back.
    void on_admitted(const EscalationRules& rules, const IpAddress& client, std::uint64_t identity,
                     Nanos now);
    std::optional<Escalation> on_refused(const EscalationRules& rules, const IpAddress& client,
                                         std::uint64_t identity, Nanos now);
    // The ban was lifted or could not be placed: the source starts over.
    void forget(const IpPrefix& source);

  private:
    struct Source;
    struct Stripe;

    std::size_t set_of(const IpPrefix& source) const;
    Stripe& stripe_of(std::size_t set);
    Source& find(const IpPrefix& source, std::size_t set);

    KeyHasher hasher_;
    std::size_t sets_;
    std::unique_ptr<Source[]> sources_;
    std::unique_ptr<Stripe[]> stripes_;
};

}  // namespace sluice
