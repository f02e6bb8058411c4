#include <algorithm>

#include "api/admin_api.hpp"
#include "api/admin_json.hpp"
#include "policy/policy_diff.hpp"

namespace sluice {
namespace {

using http::AdminRequest;
using http::AdminResponse;
using nlohmann::json;

constexpr int kUnprocessable = 422;

AdminResponse refused(const PolicyRefusal& refusal) {
    if (refusal.error && refusal.error->code != ErrorCode::kInvalid)
        return AdminResponse::problem(*refusal.error);
    const auto errors = std::ranges::count(refusal.problems, Severity::kError, &Problem::severity);
    const std::string detail = errors == 0   ? refusal.message()
                               : errors == 1 ? "1 error"
                                             : std::to_string(errors) + " errors";
    return AdminResponse::text(dump({{"type", "about:blank"},
                                     {"title", "The policy is invalid"},
                                     {"status", kUnprocessable},
                                     {"detail", detail},
                                     {"problems", to_json(refusal.problems)}}),
                               "application/problem+json", kUnprocessable);
}

json deadline_json(const std::optional<Nanos>& wall) {
    return wall ? json(to_rfc3339(*wall)) : json(nullptr);
}

AdminResponse applied(const PolicyResult<AppliedPolicy>& result) {
    if (!result) return refused(result.error());
    return AdminResponse::json(dump({{"name", result->name},
                                     {"hash", result->hash},
                                     {"generation", result->generation},
                                     {"confirm_deadline", deadline_json(result->confirm_by_wall)},
                                     {"warnings", to_json(result->warnings)}}));
}

// {"text", "name"}: a policy as the operator's file has it.
struct PolicyText {
    std::string text;
    std::string name;
};

PolicyText read_text(JsonBody& body) {
    PolicyText read{body.text("text", true), body.text("name", false)};
    if (read.name.empty()) read.name = "policy";
    return read;
}

AdminResponse show(const PolicyControl& policy) {
    const PolicyVersion& version = policy.version();
    return AdminResponse::json(dump({{"name", version.name},
                                     {"hash", version.hash},
                                     {"generation", version.n},
                                     {"applied_at", to_rfc3339(version.applied_at)},
                                     {"origin", version.origin},
                                     {"by", version.by},
                                     {"reason", version.reason},
                                     {"file", policy.file()},
                                     {"file_problem", policy.file_problem()},
                                     {"fleet_problem", policy.fleet_problem()},
                                     {"confirm_deadline", deadline_json(policy.confirm_by_wall())},
                                     {"warnings", to_json(policy.loaded().warnings)},
                                     {"text", version.text}}));
}

AdminResponse check(const PolicyControl& policy, const AdminRequest& request) {
    JsonBody body{request.body, {"text", "name"}};
    const PolicyText wanted = read_text(body);
    if (body.error()) return AdminResponse::problem(*body.error());
    const auto loaded = policy.check(wanted.text, wanted.name);
    if (!loaded) return refused(loaded.error());
    return AdminResponse::json(dump({{"valid", true},
                                     {"name", loaded->policy->name},
                                     {"hash", loaded->hash},
                                     {"warnings", to_json(loaded->warnings)}}));
}

AdminResponse diff(const PolicyControl& policy, const AdminRequest& request) {
    JsonBody body{request.body, {"text", "name"}};
    const PolicyText wanted = read_text(body);
    if (body.error()) return AdminResponse::problem(*body.error());
    const auto loaded = policy.check(wanted.text, wanted.name);
    if (!loaded) return refused(loaded.error());
    return AdminResponse::json(
        dump({{"changes", to_json(diff_policies(*policy.loaded().policy, *loaded->policy))},
              {"warnings", to_json(loaded->warnings)}}));
}

AdminResponse apply(PolicyControl& policy, const AdminRequest& request) {
    JsonBody body{request.body, {"text", "name", "reason", "confirm_within_s"}};
    const PolicyText wanted = read_text(body);
    const std::string reason = body.text("reason", false);
    const auto confirm_s = body.whole("confirm_within_s", false);
    if (body.error()) return AdminResponse::problem(*body.error());
    const auto within = confirm_s ? std::optional{*confirm_s * kSecond} : std::nullopt;
    return applied(policy.apply(wanted.text, wanted.name, reason, within, Actor::of(request.caller)));
}

AdminResponse confirm(PolicyControl& policy, const AdminRequest& request) {
    if (const auto confirmed = policy.confirm(Actor::of(request.caller)); !confirmed)
        return AdminResponse::problem(confirmed.error());
    return AdminResponse::json(dump({{"name", policy.version().name}, {"hash", policy.version().hash}}));
}

AdminResponse rollback(PolicyControl& policy, const AdminRequest& request) {
    JsonBody body{request.body.empty() ? "{}" : request.body, {"to"}};
    const auto to = body.whole("to", false);
    if (body.error()) return AdminResponse::problem(*body.error());
    return applied(policy.rollback(to ? std::optional{static_cast<std::uint64_t>(*to)} : std::nullopt,
                                   Actor::of(request.caller)));
}

AdminResponse history(const PolicyControl& policy) {
    json entries = json::array();
    for (const PolicyVersion& version : policy.history().versions())
        entries.push_back({{"n", version.n},
                           {"name", version.name},
                           {"hash", version.hash},
                           {"applied_at", to_rfc3339(version.applied_at)},
                           {"by", version.by},
                           {"reason", version.reason},
                           {"origin", version.origin},
                           {"outcome", version.outcome}});
    return AdminResponse::json(dump({{"entries", std::move(entries)}}));
}

}  // namespace

AdminRoutes policy_routes(PolicyControl& policy) {
    using http::Role;
    return {
        {"GET", "/v1/policy", Role::kViewer, [&policy](const AdminRequest&) { return show(policy); }},
        {"GET", "/v1/policy/history", Role::kViewer,
         [&policy](const AdminRequest&) { return history(policy); }},
        {"POST", "/v1/policy/check", Role::kViewer,
         [&policy](const AdminRequest& request) { return check(policy, request); }},
        {"POST", "/v1/policy/diff", Role::kViewer,
         [&policy](const AdminRequest& request) { return diff(policy, request); }},
        {"POST", "/v1/policy/apply", Role::kAdmin,
         [&policy](const AdminRequest& request) { return apply(policy, request); }},
        {"POST", "/v1/policy/confirm", Role::kAdmin,
         [&policy](const AdminRequest& request) { return confirm(policy, request); }},
        {"POST", "/v1/policy/rollback", Role::kAdmin,
         [&policy](const AdminRequest& request) { return rollback(policy, request); }},
    };
}

}  // namespace sluice
