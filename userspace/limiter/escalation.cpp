#include "limiter/escalation.hpp"

#include <algorithm>
#include <bit>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "limiter/spin_lock.hpp"

namespace sluice {
namespace {

constexpr std::size_t kWays = 4;
constexpr std::size_t kStripes = 1024;

constexpr Nanos kNotSeen = INT64_MIN / 2;  // further back than any span, and safe to subtract from

// A source that lies within an exempt prefix, or contains one: a ban of it would hit the exempt.
bool exempt(const EscalationRules& rules, const IpPrefix& source) {
    return rules.exempt.overlaps(source);
}

}  // namespace

// 128 bytes. Users are the last two different ones seen: enough to know that there is more than one.
struct EscalationTracker::Source {
    IpPrefix source;
    std::uint32_t refused = 0;            // within the span
    std::uint32_t refused_anonymous = 0;  // of these
    Nanos span_start = kNotSeen;
    Nanos banned_until = kNotSeen;
    Nanos seen = kNotSeen;  // last request of any kind
    std::uint64_t user = 0;
    std::uint64_t other_user = 0;
    Nanos user_seen = kNotSeen;
    Nanos other_user_seen = kNotSeen;
    Nanos anonymous_admitted = kNotSeen;
    bool reported_shared = false;  // in this span

    void begin_span(Nanos now) {
        span_start = now;
        refused = 0;
        refused_anonymous = 0;
        reported_shared = false;
    }
    void saw_user(std::uint64_t identity, Nanos now) {
        if (identity != user) {
            other_user = std::exchange(user, identity);
            other_user_seen = user_seen;
        }
        user_seen = now;
    }
    bool shared(Nanos within, Nanos now) const {
        const Nanos since = now - within;
        return user_seen > since && (other_user_seen > since || anonymous_admitted > since);
    }
};

struct alignas(64) EscalationTracker::Stripe {
    SpinLock lock;
};

EscalationRules EscalationRules::of(const Policy& policy) {
    std::vector<IpPrefix> exempt = policy.trusted_proxies;
    exempt.insert(exempt.end(), policy.kernel.allow.prefixes.begin(), policy.kernel.allow.prefixes.end());
    return {.rule = policy.escalation, .source_prefix = policy.source_prefix, .exempt = PrefixSet{exempt}};
}

EscalationTracker::EscalationTracker(const KeyHasher& hasher, std::size_t max_sources)
    : hasher_(hasher),
      sets_(std::bit_ceil(std::max<std::size_t>(max_sources / kWays, 1))),
      sources_(std::make_unique<Source[]>(sets_ * kWays)),
      stripes_(std::make_unique<Stripe[]>(kStripes)) {}

EscalationTracker::~EscalationTracker() = default;

// The source's place in its set, or that of the one silent for longest, made its own.
EscalationTracker::Source& EscalationTracker::find(const IpPrefix& source, std::size_t set) {
    const std::span ways{&sources_[set * kWays], kWays};
    for (Source& way : ways) {
        if (way.source == source && way.seen != kNotSeen) return way;
    }
    Source& oldest = *std::ranges::min_element(ways, {}, &Source::seen);
    oldest = {};
    oldest.source = source;
    return oldest;
}

std::size_t EscalationTracker::set_of(const IpPrefix& source) const {
    return hasher_.subject(source).low & (sets_ - 1);
}

EscalationTracker::Stripe& EscalationTracker::stripe_of(std::size_t set) {
    return stripes_[set & (kStripes - 1)];
}

void EscalationTracker::on_admitted(const EscalationRules& rules, const IpAddress& client,
                                    std::uint64_t identity, Nanos now) {
    if (!rules.rule) return;
    const IpPrefix source = rules.source_prefix.of(client);
    if (exempt(rules, source)) return;
    const std::size_t set = set_of(source);
    const std::lock_guard lock{stripe_of(set).lock};
    Source& state = find(source, set);
    state.seen = now;
    if (identity == 0) {
        state.anonymous_admitted = now;
    } else {
        state.saw_user(identity, now);
    }
}

std::optional<Escalation> EscalationTracker::on_refused(const EscalationRules& rules, const IpAddress& client,
                                                        std::uint64_t identity, Nanos now) {
    if (!rules.rule) return std::nullopt;
    const BanRule& rule = *rules.rule;
    const IpPrefix source = rules.source_prefix.of(client);
    if (exempt(rules, source)) return std::nullopt;
    const std::size_t set = set_of(source);
    const std::lock_guard lock{stripe_of(set).lock};
    Source& state = find(source, set);
    state.seen = now;
    if (identity != 0) state.saw_user(identity, now);
    if (now < state.banned_until) return std::nullopt;
    if (now - state.span_start >= rule.within) state.begin_span(now);
    ++state.refused;
    if (identity == 0) ++state.refused_anonymous;

    const bool shared = state.shared(rule.within, now);
    const std::uint32_t counted = shared ? state.refused_anonymous : state.refused;
    if (counted >= rule.after) {
        state.banned_until = now + rule.duration;
        state.begin_span(kNotSeen);
        return Escalation{Escalation::Kind::kBan, source, rule.duration, counted};
    }
    if (state.refused >= rule.after && !state.reported_shared) {
        state.reported_shared = true;
        return Escalation{Escalation::Kind::kShared, source, rule.duration, state.refused};
    }
    return std::nullopt;
}

void EscalationTracker::forget(const IpPrefix& source) {
    const std::size_t set = set_of(source);
    const std::lock_guard lock{stripe_of(set).lock};
    find(source, set) = {};
}

}  // namespace sluice
