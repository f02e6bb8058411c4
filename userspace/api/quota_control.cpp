#include "api/quota_control.hpp"

#include <algorithm>
#include <cstdlib>

#include "policy/policy_check.hpp"
#include "policy/units.hpp"

namespace sluice {
namespace {

constexpr std::string_view kDocument = "overrides";
// Of an override without an end: a host that was away longer and still has it keeps it.
constexpr Nanos kUnsetRemembered = 30 * kDay;
constexpr Nanos kResetRemembered = kMinute;

bool is_user_limit(const RequestLimit& limit) {
    return limit.per == LimitScope::kUser && limit.when != LimitWhen::kAnonymous;
}

Result<> check_user(std::string_view user) {
    if (user.empty() || user.size() > kMaxUserBytes)
        return Error{ErrorCode::kInvalid, "a user is 1 to " + std::to_string(kMaxUserBytes) + " bytes"};
    return {};
}

bool same(const Override* held, const Override& change) {
    if (held == nullptr || held->rate != change.rate ||
        held->expires_at.has_value() != change.expires_at.has_value())
        return false;
    return !change.expires_at || std::abs(*held->expires_at - *change.expires_at) <= kSecond;
}

FleetFact fact_of(FleetFact::Kind kind, std::string_view user, std::optional<Nanos> lasts,
                  const Actor& actor) {
    FleetFact fact;
    fact.kind = kind;
    fact.user = user;
    fact.by = actor.name;
    fact.lasts = lasts;
    return fact;
}

}  // namespace

Result<> QuotaControl::restore() {
    const auto document = ledger_.get_document(kDocument);
    if (!document) return document.error();
    if (!*document) return {};
    auto overrides = Overrides::parse(**document);
    if (!overrides) return overrides.error();
    plane_.overrides.publish(std::make_shared<const Overrides>(overrides->current(ledger_now())));
    return {};
}

Result<std::vector<Quota>> QuotaControl::show(std::string_view user) const {
    if (auto valid = check_user(user); !valid) return valid.error();
    const auto active = plane_.policy.load();
    const auto overrides = plane_.overrides.load();
    const Nanos now = ledger_now();
    std::vector<Quota> quotas;
    std::vector<KeyHash> keys;
    for (std::size_t i = 0; i < active->policy->limits.size(); ++i) {
        const RequestLimit& limit = active->policy->limits[i];
        if (!is_user_limit(limit)) continue;
        Quota quota{.limit = limit.name, .rate = limit.rate};
        const Override* const change = overrides->find(user, limit.name, now);
        if (change != nullptr && change->rate.at_once() == limit.rate.at_once()) {
            quota.rate = change->rate;
            quota.policy_rate = limit.rate;
            if (change->expires_at) quota.override_expires_in = *change->expires_at - now;
        }
        const RequestSubject subject{limit.class_name, user, IpAddress{}};
        const KeyHash key = active->charges.key(static_cast<std::uint16_t>(i), subject);
        if (quota.rate.at_once()) {
            quota.used = plane_.in_flight.used(key);
            quota.remaining = quota.rate.count - std::min(quota.rate.count, quota.used);
        } else {
            const ChargeResult usage = plane_.limiter.usage(key, quota.rate, now);
            quota.used = usage.used;
            quota.remaining = usage.remaining;
            quota.reset_in = usage.reset_at - now;
        }
        quotas.push_back(std::move(quota));
        keys.push_back(key);
    }
    if (plane_.leases != nullptr) ask_all_hosts(keys, quotas);
    return quotas;
}

void QuotaControl::ask_all_hosts(std::span<const KeyHash> keys, std::span<Quota> quotas) const {
    std::vector<LeaseBook::Counter> counters;
    for (std::size_t i = 0; i < quotas.size(); ++i)
        if (!quotas[i].rate.at_once()) counters.push_back({keys[i], quotas[i].rate});
    const auto answers = plane_.leases->usage(counters);
    auto answer = answers.begin();
    for (Quota& quota : quotas) {
        if (quota.rate.at_once()) continue;
        if (const auto& all = *answer++) {
            quota.used = all->used;
            quota.counted = Counted::kFleet;
            quota.leased = all->leased;
            quota.remaining = quota.rate.count - std::min(quota.rate.count, all->used);
            quota.reset_in = all->reset_in;
        } else {
            quota.counted = Counted::kHostLedgerAway;
        }
    }
}

Result<> QuotaControl::set(std::string_view user, std::string_view limit, const Rate& rate,
                           std::optional<Nanos> duration, const Actor& actor) {
    const Nanos now = ledger_now();
    const auto change = [&]() -> Result<> {
        if (auto valid = check_user(user); !valid) return valid;
        const auto active = plane_.policy.load();
        const auto& limits = active->policy->limits;
        const auto found = std::ranges::find(limits, limit, &RequestLimit::name);
        if (found == limits.end() || !is_user_limit(*found))
            return Error{ErrorCode::kNotFound,
                         "the policy has no limit '" + std::string{limit} + "' per user"};
        if (rate.at_once() != found->rate.at_once())
            return Error{ErrorCode::kInvalid, "limit '" + found->name + "' is " + to_string(found->rate) +
                                                  ": an override of it is " +
                                                  (rate.at_once() ? "a rate such as 200/h" : "a number, N")};
        if (rate.at_once() && rate.count > kMaxConcurrent)
            return Error{ErrorCode::kInvalid, "at most " + std::to_string(kMaxConcurrent) + " at once"};
        if (duration && *duration < kSecond)
            return Error{ErrorCode::kInvalid, "an override lasts at least 1s"};
        Override wanted{std::string{limit}, rate, std::nullopt};
        if (duration) wanted.expires_at = now + *duration;
        FleetFact fact = fact_of(FleetFact::Kind::kOverride, user, duration, actor);
        fact.limit = limit;
        fact.rate = rate;
        return replace(plane_.overrides.load()->with(user, wanted, now), std::move(fact));
    };
    const Result<> done = change();
    plane_.log.write(audit_of(
        actor, Audit::Action::kQuotaSet, done.has_value(), std::string{user} + " " + std::string{limit},
        done ? to_string(rate) + (duration ? " for " + format_duration(*duration) : std::string{})
             : done.error().message));
    return done;
}

Result<> QuotaControl::unset(std::string_view user, std::string_view limit, const Actor& actor) {
    const auto overrides = plane_.overrides.load();
    const Nanos now = ledger_now();
    const Override* former = overrides->find(user, limit, now);
    const Nanos lasts =
        former != nullptr && former->expires_at ? *former->expires_at - now : kUnsetRemembered;
    FleetFact fact = fact_of(FleetFact::Kind::kOverride, user, lasts, actor);
    fact.limit = limit;
    fact.withdrawn = true;
    const Result<> done = replace(overrides->without(user, limit), std::move(fact));
    plane_.log.write(audit_of(actor, Audit::Action::kQuotaUnset, done.has_value(),
                              std::string{user} + " " + std::string{limit},
                              done ? "" : done.error().message));
    return done;
}

Result<> QuotaControl::reset(std::string_view user, const Actor& actor) {
    if (auto valid = check_user(user); !valid) return valid;
    const auto active = plane_.policy.load();
    const Nanos now = ledger_now();
    Result<> failed;
    for (std::size_t i = 0; i < active->policy->limits.size() && failed; ++i) {
        const RequestLimit& limit = active->policy->limits[i];
        if (!is_user_limit(limit)) continue;
        const RequestSubject subject{limit.class_name, user, IpAddress{}};
        const KeyHash key = active->charges.key(static_cast<std::uint16_t>(i), subject);
        plane_.limiter.reset(key, now);
        if (plane_.leases != nullptr)
            if (auto done = plane_.leases->reset(key); !done) failed = done;
    }
    if (failed && say_) say_(fact_of(FleetFact::Kind::kReset, user, kResetRemembered, actor));
    plane_.log.write(audit_of(actor, Audit::Action::kQuotaReset, failed.has_value(), std::string{user},
                              failed ? "" : failed.error().message));
    return failed;
}

Result<> QuotaControl::replace(Result<Overrides> next, FleetFact fact) {
    if (!next) return next.error();
    if (say_) say_(std::move(fact));
    return publish(*next);
}

Result<> QuotaControl::publish(const Overrides& next) {
    const auto published = std::make_shared<const Overrides>(next.current(ledger_now()));
    plane_.overrides.publish(published);
    if (auto stored = ledger_.put_document(kDocument, published->serialise()); !stored)
        return Error{stored.error().code,
                     "the change is in force, but could not be stored and will not survive a restart: " +
                         stored.error().message};
    return {};
}

void QuotaControl::peers_said(std::span<const FleetNews> news) {
    const Nanos now = ledger_now();
    const auto before = plane_.overrides.load();
    std::optional<Overrides> after;
    for (const auto& [fact, heard] : news) {
        if (fact.kind == FleetFact::Kind::kReset) forget_here(fact.user);
        if (fact.kind != FleetFact::Kind::kOverride) continue;
        Override change{fact.limit, fact.rate, std::nullopt};
        if (fact.lasts) change.expires_at = now + *fact.lasts - (monotonic_now() - heard);
        const Overrides& held = after ? *after : *before;
        if (!fact.withdrawn && same(held.find(fact.user, fact.limit, now), change))
            continue;  // heard before a restart
        auto next = fact.withdrawn ? held.without(fact.user, fact.limit)
                                   : held.with(fact.user, std::move(change), now);
        // An unset of what this host has not: nothing to do.
        const bool known = next || !fact.withdrawn;
        if (known)
            plane_.log.write(audit_of({fact.by, "host " + fact.host, "", ""},
                                      fact.withdrawn ? Audit::Action::kQuotaUnset : Audit::Action::kQuotaSet,
                                      next.has_value(), fact.user + " " + fact.limit,
                                      !next            ? next.error().message
                                      : fact.withdrawn ? ""
                                                       : to_string(fact.rate)));
        if (next) after = *std::move(next);
    }
    if (!after) return;
    if (const auto stored = publish(*after); !stored)
        plane_.log.write(SystemError{"ledger", "overrides_not_stored", stored.error().message});
}

// What this host has counted. What all together spent is in Redis, and was reset there.
void QuotaControl::forget_here(std::string_view user) {
    const auto active = plane_.policy.load();
    for (std::size_t i = 0; i < active->policy->limits.size(); ++i) {
        const RequestLimit& limit = active->policy->limits[i];
        if (!is_user_limit(limit)) continue;
        const RequestSubject subject{limit.class_name, user, IpAddress{}};
        plane_.limiter.reset(active->charges.key(static_cast<std::uint16_t>(i), subject), ledger_now());
    }
}

}  // namespace sluice
