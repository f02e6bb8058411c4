// What the workers and the control thread share: snapshots that control replaces, and counters both may
// touch. Built by the daemon before the workers start, outlives them.
#pragma once

#include <functional>
#include <string_view>

#include "api/active_policy.hpp"
#include "api/ban_set.hpp"
#include "api/role_watch.hpp"
#include "base/snapshot.hpp"
#include "ledger/lease_book.hpp"
#include "limiter/escalation.hpp"
#include "limiter/in_flight.hpp"
#include "limiter/limiter.hpp"
#include "limiter/overrides.hpp"
#include "telemetry/active_users.hpp"
#include "telemetry/event_log.hpp"

namespace sluice {

// Over whom a number of what was used counts.
enum class Counted : std::uint8_t {
    kHost,            // this one, which has the limit to itself
    kFleet,           // all hosts
    kHostLedgerAway,  // this one, since the ledger that all share does not answer
};
std::string_view to_string(Counted counted);  // "host", "fleet", "host_ledger_away"

struct RequestPlane {
    // Written by control alone.
    Snapshot<ActivePolicy> policy;
    Snapshot<BanSet> bans;
    Snapshot<Overrides> overrides;

    // Thread-safe by themselves.
    const KeyHasher& hasher;
    Limiter& limiter;
    EscalationTracker& escalation;
    ActiveUsers& active_users;
    RoleWatch& roles;
    EventLog& log;

    // Hands an escalation to the control thread; any thread, does not wait.
    std::function<void(const Escalation&)> escalate;

    // What is shared with other hosts; nullptr: this host has its limits to itself.
    LeaseBook* leases = nullptr;

    // Of this host alone. Thread-safe by itself.
    InFlight in_flight{};
};

}  // namespace sluice
