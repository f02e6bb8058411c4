// The endpoints of the admin API (contract: "Admin API and sluicectl"): HTTP and JSON on the outside, the
// controls of this layer on the inside. One file a noun; each gives its rows of the table.
//
// Handlers run on the control thread.
#pragma once

#include <functional>
#include <vector>

#include "api/ban_control.hpp"
#include "api/capture_control.hpp"
#include "api/fleet_control.hpp"
#include "api/policy_control.hpp"
#include "api/quota_control.hpp"
#include "api/status_report.hpp"
#include "http/router.hpp"
#include "telemetry/event_stream.hpp"
#include "telemetry/metrics.hpp"

namespace sluice {

// A policy is at most 1 MiB; as a JSON string every byte may take two, and a few for the rest.
inline constexpr std::size_t kMaxAdminBodyBytes = (2U << 20) + 65'536;

using AdminRoutes = std::vector<http::AdminRoute>;

AdminRoutes ban_routes(BanControl& bans);
AdminRoutes capture_routes(CaptureControl& captures);
AdminRoutes fleet_routes(const FleetControl& fleet);
AdminRoutes quota_routes(QuotaControl& quotas);
AdminRoutes policy_routes(PolicyControl& policy);
AdminRoutes status_routes(StatusReport& report, const Metrics& metrics, EventStream& events);

http::Router make_admin_router(std::vector<AdminRoutes> parts);

}  // namespace sluice
