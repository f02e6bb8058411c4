#include "api/admin_api.hpp"
#include "api/admin_json.hpp"
#include "policy/units.hpp"

namespace sluice {
namespace {

using http::AdminRequest;
using http::AdminResponse;
using nlohmann::json;

std::int64_t whole_seconds_up(Nanos duration) {
    return (duration + kSecond - 1) / kSecond;
}

json to_json(const Quota& quota) {
    json override_json = nullptr;
    if (quota.policy_rate)
        override_json = {
            {"rate", to_string(quota.rate)},
            {"policy_rate", to_string(*quota.policy_rate)},
            {"expires_in_s",
             quota.override_expires_in ? json(whole_seconds_up(*quota.override_expires_in)) : json(nullptr)}};
    return {{"name", quota.limit},
            {"rate", to_string(quota.rate)},
            {"used", quota.used},
            {"remaining", quota.remaining},
            {"counted", to_string(quota.counted)},
            {"leased", quota.leased},
            {"reset_s", whole_seconds_up(quota.reset_in)},
            {"override", std::move(override_json)}};
}

AdminResponse show(const QuotaControl& quotas, std::string_view user) {
    const auto all = quotas.show(user);
    if (!all) return AdminResponse::problem(all.error());
    json limits = json::array();
    for (const Quota& quota : *all) limits.push_back(to_json(quota));
    return AdminResponse::json(dump({{"user", user}, {"limits", std::move(limits)}}));
}

// A change answers with the quotas as they are now.
AdminResponse answer(const QuotaControl& quotas, std::string_view user, const Result<>& done) {
    return done ? show(quotas, user) : AdminResponse::problem(done.error());
}

AdminResponse set(QuotaControl& quotas, const AdminRequest& request) {
    JsonBody body{request.body, {"rate", "for_s"}};
    const std::string text = body.text("rate", true);
    const auto for_s = body.whole("for_s", false);
    if (body.error()) return AdminResponse::problem(*body.error());
    auto rate = parse_rate(text);
    if (const auto count = parse_number(text)) rate = Rate{*count, 0};
    if (!rate)
        return AdminResponse::problem(
            Error{ErrorCode::kInvalid, "'" + text + "' is not a rate; allowed: " + std::string{kRateForm} +
                                           "; of a limit with `concurrent`: N"});
    const auto duration = for_s ? std::optional{*for_s * kSecond} : std::nullopt;
    return answer(quotas, request.param("user"),
                  quotas.set(request.param("user"), request.param("limit"), *rate, duration,
                             Actor::of(request.caller)));
}

}  // namespace

AdminRoutes quota_routes(QuotaControl& quotas) {
    using http::Role;
    return {
        {"GET", "/v1/quotas/{user}", Role::kViewer,
         [&quotas](const AdminRequest& request) { return show(quotas, request.param("user")); }},
        {"PUT", "/v1/quotas/{user}/{limit}", Role::kOperator,
         [&quotas](const AdminRequest& request) { return set(quotas, request); }},
        {"DELETE", "/v1/quotas/{user}/{limit}", Role::kOperator,
         [&quotas](const AdminRequest& request) {
             const std::string_view user = request.param("user");
             return answer(quotas, user,
                           quotas.unset(user, request.param("limit"), Actor::of(request.caller)));
         }},
        {"POST", "/v1/quotas/{user}/reset", Role::kOperator,
         [&quotas](const AdminRequest& request) {
             const std::string_view user = request.param("user");
             return answer(quotas, user, quotas.reset(user, Actor::of(request.caller)));
         }},
    };
}

}  // namespace sluice
