#include "api/admin_api.hpp"
#include "api/admin_json.hpp"

namespace sluice {
namespace {

using http::AdminRequest;
using http::AdminResponse;
using nlohmann::json;

json to_json(const BanView& ban) {
    json row{{"source", ban.source.to_string()},
             {"reason", ban.reason},
             {"origin", ban.origin},
             {"expires_in_s", (ban.expires_in + kSecond - 1) / kSecond},
             {"packets", ban.packets}};
    if (!ban.host.empty()) row["host"] = ban.host;
    return row;
}

AdminResponse list(const BanControl& bans) {
    const auto all = bans.list();
    if (!all) return AdminResponse::problem(all.error());
    json rows = json::array();
    for (const BanView& ban : *all) rows.push_back(to_json(ban));
    return AdminResponse::json(dump({{"bans", std::move(rows)}}));
}

AdminResponse add(BanControl& bans, const AdminRequest& request) {
    JsonBody body{request.body, {"source", "for_s", "reason"}};
    const std::string text = body.text("source", true);
    const auto for_s = body.whole("for_s", true);
    const std::string reason = body.text("reason", false);
    if (body.error()) return AdminResponse::problem(*body.error());
    const auto source = IpPrefix::parse(text);
    if (!source) return AdminResponse::problem(source.error());
    const auto ban = bans.add(*source, *for_s * kSecond, reason, Actor::of(request.caller));
    if (!ban) return AdminResponse::problem(ban.error());
    return AdminResponse::json(dump(to_json(*ban)), 201);
}

AdminResponse lift(BanControl& bans, const AdminRequest& request) {
    const auto source = IpPrefix::parse(request.param("source"));
    if (!source) return AdminResponse::problem(source.error());
    const Nanos begun = monotonic_now();
    if (const auto lifted = bans.lift(*source, Actor::of(request.caller)); !lifted)
        return AdminResponse::problem(lifted.error());
    return AdminResponse::json(dump(
        {{"source", source->to_string()},
         {"lifted", true},
         {"verified", bans.in_kernel()},  // lift() fails unless the kernel map, read back, no longer has it
         {"took_ms", static_cast<double>(monotonic_now() - begun) / kMillisecond}}));
}

}  // namespace

AdminRoutes ban_routes(BanControl& bans) {
    using http::Role;
    return {
        {"GET", "/v1/bans", Role::kViewer, [&bans](const AdminRequest&) { return list(bans); }},
        {"POST", "/v1/bans", Role::kOperator,
         [&bans](const AdminRequest& request) { return add(bans, request); }},
        {"DELETE", "/v1/bans/{source}", Role::kOperator,
         [&bans](const AdminRequest& request) { return lift(bans, request); }},
    };
}

}  // namespace sluice
