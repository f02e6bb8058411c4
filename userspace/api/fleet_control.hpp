// Carries what hosts tell one another between the fleet and this host's bans and quotas, and says who they are.
//
// Control thread only.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "api/ban_control.hpp"
#include "api/policy_control.hpp"
#include "api/quota_control.hpp"
#include "ledger/fleet.hpp"
#include "ledger/ledger.hpp"
#include "telemetry/event_log.hpp"
#include "telemetry/metrics.hpp"

namespace sluice {

// The daemon wires it and outlives it. fleet: nullptr: this host is alone by configuration.
struct FleetParts {
    Fleet* fleet;
    const Ledger& ledger;
    BanControl& bans;
    QuotaControl& quotas;
    const PolicyControl& policy;
    EventLog& log;
};

class FleetControl {
  public:
    explicit FleetControl(FleetParts parts);

    // Takes in what was heard, a bounded part of it. True: there may be more; call again soon.
    bool drain();
    // Once a second: what policy this host says it has; what was lost, into the log.
    void tick();
    // {"shared", "alone_s" if Redis is away, "hosts": […]}
    nlohmann::json hosts() const;
    void collect(Samples& samples) const;

  private:
    FleetParts parts_;
    std::uint64_t lost_told_ = 0;
    std::string error_told_;
};

}  // namespace sluice
