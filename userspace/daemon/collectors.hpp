// The samples of one scrape that come from the control thread's parts.
#pragma once

#include "api/ban_control.hpp"
#include "api/policy_control.hpp"
#include "kernel/kernel_enforcer.hpp"
#include "kernel/syn_cookies.hpp"
#include "ledger/ledger.hpp"
#include "limiter/in_flight.hpp"
#include "limiter/limiter.hpp"
#include "telemetry/active_users.hpp"
#include "telemetry/event_log.hpp"
#include "telemetry/metrics.hpp"

namespace sluice {

void collect_kernel(const KernelEnforcer& kernel, const SynCookieState& syn_cookies, Samples& samples);
void collect_control(const BanControl& bans, const PolicyControl& policy, const Ledger& ledger,
                     const EventLog& log, ActiveUsers& users, Samples& samples);

void collect_limiter(const Limiter& limiter, const InFlight& in_flight, Samples& samples);

}  // namespace sluice
