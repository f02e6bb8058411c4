#include "limiter/charges.hpp"

#include <algorithm>
#include <optional>

namespace sluice {
namespace {

__extension__ using Wide = unsigned __int128;

// Whether a is the stricter: fewer in the long run, then fewer at once. Without a window any number may come in the long
// run: looser than every rate.
bool stricter(const Rate& a, const Rate& b) {
    const Wide left = Wide{a.count} * static_cast<std::uint64_t>(b.window);
    const Wide right = Wide{b.count} * static_cast<std::uint64_t>(a.window);
    return left != right ? left < right : a.count < b.count;
}

bool applies(const RequestLimit& limit, std::string_view class_name, bool authenticated) {
    if (!limit.class_name.empty() && limit.class_name != class_name) return false;
    switch (limit.when) {
        case LimitWhen::kAlways:
            return true;
        case LimitWhen::kAnonymous:
            return !authenticated;
        case LimitWhen::kAuthenticated:
            return authenticated;
    }
    return true;
}

std::uint16_t strictest(const std::vector<RequestLimit>& limits) {
    const bool any_enforced =
        std::ranges::any_of(limits, [](const auto& limit) { return limit.mode == LimitMode::kEnforce; });
    std::optional<std::uint16_t> best;
    for (std::uint16_t i = 0; i < limits.size(); ++i) {
        if (any_enforced && limits[i].mode != LimitMode::kEnforce) continue;
        if (!best || stricter(limits[i].rate, limits[*best].rate)) best = i;
    }
    return *best;
}

std::vector<std::uint16_t> applicable(const std::vector<RequestLimit>& limits, std::string_view class_name,
                                      bool authenticated) {
    std::vector<std::uint16_t> result;
    for (std::uint16_t i = 0; i < limits.size(); ++i) {
        if (applies(limits[i], class_name, authenticated)) result.push_back(i);
    }
    const auto has_rate = [&](std::uint16_t i) { return !limits[i].rate.at_once(); };
    if (!limits.empty() && std::ranges::none_of(result, has_rate)) {
        const std::uint16_t last_resort = strictest(limits);
        if (result.empty() || has_rate(last_resort)) result.push_back(last_resort);
    }
    std::ranges::stable_partition(result, has_rate);
    return result;
}

}  // namespace

Result<ChargePlan> ChargePlan::make(const Policy& policy, const KeyHasher& hasher) {
    if (policy.limits.size() > UINT16_MAX) {
        return Error{ErrorCode::kInvalid, "policy limits: more than 65535"};
    }
    ChargePlan plan{hasher};
    plan.source_prefix_ = policy.source_prefix;
    for (const RequestLimit& limit : policy.limits) {
        plan.limits_.push_back({.name = limit.name,
                                .id = hasher.limit_id(limit.name),
                                .per = limit.per,
                                .rate = limit.rate,
                                .mode = limit.mode,
                                .algorithm = limit.algorithm});
    }
    plan.classes_.push_back({});
    for (const RequestLimit& limit : policy.limits) {
        const auto known = [&](const Class& c) { return c.name == limit.class_name; };
        if (std::ranges::none_of(plan.classes_, known))
            plan.classes_.push_back({.name = limit.class_name, .limits = {}});
    }
    for (Class& c : plan.classes_) {
        for (const bool authenticated : {false, true}) {
            c.limits[authenticated] = applicable(policy.limits, c.name, authenticated);
            if (c.limits[authenticated].size() > kMaxCharges) {
                return Error{ErrorCode::kInvalid,
                             "policy limits: " + std::to_string(c.limits[authenticated].size()) +
                                 " apply to one request of " +
                                 (c.name.empty() ? std::string{"no class"} : "class " + c.name) +
                                 ", at most " + std::to_string(kMaxCharges) + " may"};
            }
        }
    }
    return plan;
}

std::span<const std::uint16_t> ChargePlan::limits(std::string_view class_name, bool authenticated) const {
    for (const Class& c : classes_) {
        if (c.name == class_name) return c.limits[authenticated];
    }
    return classes_.front().limits[authenticated];
}

KeyHash ChargePlan::subject(LimitScope per, const RequestSubject& request) const {
    if (per == LimitScope::kUser && !request.user.empty()) {
        return hasher_.subject(SubjectKind::kUser, request.user);
    }
    return hasher_.subject(source_prefix_.of(request.client));
}

KeyHash ChargePlan::key(std::uint16_t index, const RequestSubject& request) const {
    const Limit& limit = limits_[index];
    return hasher_.key(limit.id, subject(limit.per, request));
}

void ChargePlan::charges(const RequestSubject& request, const Overrides& overrides, Nanos now,
                         ChargeList& out) const {
    const bool authenticated = !request.user.empty();
    std::array<std::optional<KeyHash>, 2> subjects;  // by what a limit is per
    out.size_ = out.rates_ = 0;
    for (const std::uint16_t index : limits(request.class_name, authenticated)) {
        const Limit& limit = limits_[index];
        Charge& charge = out.charges_[out.size_];
        std::optional<KeyHash>& of = subjects[limit.per == LimitScope::kUser];
        if (!of) of = subject(limit.per, request);
        charge = {.key = hasher_.key(limit.id, *of),
                  .limit = limit.id,
                  .rate = limit.rate,
                  .cost = request.cost,
                  .mode = limit.mode,
                  .algorithm = limit.algorithm};
        if (authenticated && limit.per == LimitScope::kUser && !overrides.empty()) {
            const Override* const special = overrides.find(request.user, limit.name, now);
            if (special != nullptr && special->rate.at_once() == limit.rate.at_once())
                charge.rate = special->rate;
        }
        out.rates_ += limit.rate.at_once() ? 0 : 1;
        out.limits_[out.size_++] = index;
    }
}

}  // namespace sluice
