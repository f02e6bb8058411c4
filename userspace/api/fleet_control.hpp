// Carries what hosts tell one another between the fleet and this host's bans, quotas and policy, and says who they are.
//
// Control thread only.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

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
    Ledger& ledger;
    BanControl& bans;
    QuotaControl& quotas;
    PolicyControl& policy;
    EventLog& log;
};

class FleetControl {
  public:
    explicit FleetControl(FleetParts parts);

    // Takes in what was heard, a bounded part of it. True: there may be more; call again soon.
    bool drain();
    // Once a second: what policy this host says it has; what was lost, into the log. Tries again to take a policy that could not be.
    void tick();
    // {"shared", "alone_s" if Redis is away, "hosts": […]}
    nlohmann::json hosts() const;
    void collect(Samples& samples) const;

  private:
    // A policy of the fleet that is not in force here: refused, or another waits to be confirmed.
    struct Waiting {
        FleetPolicy policy;
        Nanos again_at = 0;  // monotonic
        bool refused = false;
    };

    void share_policies(FleetPolicies& policies);
    void take_policy();
    void try_policy();
    void remember(const FleetPolicy& policy);
    std::string policy_of_fleet() const;

    FleetParts parts_;
    std::optional<Waiting> waiting_;
    std::string unstored_;  // what could not be stored yet, to be tried again; empty: nothing
    std::uint64_t taken_ = 0;
    std::uint64_t refused_ = 0;
    std::uint64_t lost_told_ = 0;
    std::string error_told_;
};

}  // namespace sluice
