#include "api/admin_api.hpp"
#include "api/admin_json.hpp"

namespace sluice {

AdminRoutes fleet_routes(const FleetControl& fleet) {
    return {{"GET", "/v1/hosts", http::Role::kViewer,
             [&fleet](const http::AdminRequest&) { return http::AdminResponse::json(dump(fleet.hosts())); }}};
}

}  // namespace sluice
