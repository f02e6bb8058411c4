#include <charconv>

#include "api/admin_api.hpp"
#include "api/admin_json.hpp"
#include "http/path.hpp"

namespace sluice {
namespace {

using http::AdminRequest;
using http::AdminResponse;

constexpr std::size_t kMostTopRows = 1000;

AdminResponse invalid(std::string message) {
    return AdminResponse::problem(Error{ErrorCode::kInvalid, std::move(message)});
}

AdminResponse top(const StatusReport& report, const AdminRequest& request) {
    TopQuery query;
    const std::string_view by = request.query_value("by");
    if (by == "packets")
        query.by = TopQuery::By::kPackets;
    else if (by == "bytes")
        query.by = TopQuery::By::kBytes;
    else if (by == "drops")
        query.by = TopQuery::By::kDrops;
    else if (by == "denials")
        query.by = TopQuery::By::kDenials;
    else if (!by.empty() && by != "requests")
        return invalid("by=" + std::string{by} + "; allowed: packets, bytes, drops, requests, denials");
    if (const std::string_view of = request.query_value("of"); of == "prefixes")
        query.prefixes = true;
    else if (!of.empty() && of != "sources")
        return invalid("of=" + std::string{of} + "; allowed: sources, prefixes");
    if (query.prefixes && (query.by == TopQuery::By::kRequests || query.by == TopQuery::By::kDenials))
        return invalid(
            "of=prefixes goes with by=packets, bytes or drops: requests are counted by source and user");
    if (const std::string_view n = request.query_value("n"); !n.empty()) {
        const auto [end, error] = std::from_chars(n.data(), n.data() + n.size(), query.n);
        if (error != std::errc{} || end != n.data() + n.size() || query.n == 0 || query.n > kMostTopRows)
            return invalid("n=" + std::string{n} + "; allowed: 1 to " + std::to_string(kMostTopRows));
    }
    return AdminResponse::json(dump(report.top(query)));
}

AdminResponse explain(StatusReport& report, const AdminRequest& request) {
    const std::string_view ip = request.query_value("ip");
    const auto address = ip.empty() ? std::optional{IpAddress{}} : IpAddress::parse(ip);
    if (!address) return invalid("ip=" + std::string{ip} + " is not an IPv4 or IPv6 address");
    if (ip.empty() && request.query_value("user").empty()) return invalid("ip or user is needed");
    const std::string_view method =
        request.query_value("method").empty() ? "GET" : request.query_value("method");
    const std::string_view path = request.query_value("path").empty() ? "/" : request.query_value("path");
    http::Target target;
    if (const auto parsed = http::parse_target(method, path, target); !parsed)
        return AdminResponse::problem(parsed.error());
    return AdminResponse::json(
        dump(report.explain({*address, request.query_value("user"), method, target.path})));
}

AdminResponse events(EventStream& stream, const AdminRequest& request) {
    const auto subscription = stream.subscribe(request.last_event_id);
    if (!subscription) return AdminResponse::problem(subscription.error());
    return AdminResponse::events(
        {[own = *subscription](std::string& out) { own->take(out); },
         [own = *subscription](std::function<void()> wake) { own->on_ready(std::move(wake)); }});
}

}  // namespace

AdminRoutes status_routes(StatusReport& report, const Metrics& metrics, EventStream& stream) {
    using http::Role;
    return {
        {"GET", "/livez", Role::kNone,
         [](const AdminRequest&) { return AdminResponse::text("ok\n", "text/plain"); }},
        {"GET", "/api/health", Role::kNone,
         [&report](const AdminRequest& request) {
             // Without a role, one word: which services there are is nobody's business.
             return request.caller.role == Role::kNone
                        ? AdminResponse::text(std::string{report.health_word()} + "\n", "text/plain")
                        : AdminResponse::json(dump(report.health()));
         }},
        {"GET", "/metrics", Role::kViewer,
         [&metrics](const AdminRequest&) {
             return AdminResponse::text(metrics.scrape(), Metrics::kContentType);
         }},
        {"GET", "/v1/status", Role::kViewer,
         [&report](const AdminRequest&) { return AdminResponse::json(dump(report.status())); }},
        {"GET", "/v1/top", Role::kViewer,
         [&report](const AdminRequest& request) { return top(report, request); }},
        {"GET", "/v1/explain", Role::kViewer,
         [&report](const AdminRequest& request) { return explain(report, request); }},
        {"GET", "/v1/events", Role::kViewer,
         [&stream](const AdminRequest& request) { return events(stream, request); }},
    };
}

http::Router make_admin_router(std::vector<AdminRoutes> parts) {
    AdminRoutes all;
    for (AdminRoutes& part : parts) std::move(part.begin(), part.end(), std::back_inserter(all));
    return http::Router{std::move(all)};
}

}  // namespace sluice
