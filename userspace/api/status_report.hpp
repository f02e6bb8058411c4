// What the daemon says of itself as JSON: status, health, top, explain. Reads only, changes and counts
// nothing.
//
// Control thread only.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string_view>
#include <vector>

#include "api/ban_control.hpp"
#include "api/health_prober.hpp"
#include "api/judge.hpp"
#include "api/policy_control.hpp"
#include "api/top_requests.hpp"
#include "http/gateway_server.hpp"
#include "kernel/kernel_enforcer.hpp"
#include "kernel/syn_cookies.hpp"
#include "ledger/ledger.hpp"
#include "telemetry/event_log.hpp"

namespace sluice {

// What the reports are made from; the daemon wires it and outlives them. Pointers may be null: not
// configured.
struct StatusSources {
    RequestPlane& plane;
    KernelEnforcer* kernel;
    const SynCookieControl* syn_cookies;
    http::GatewayServer* gateway;
    Ledger& ledger;
    EventLog& log;
    PolicyControl& policy;
    BanControl& bans;
    HealthProber& health;
    std::vector<TopRequests*> top;            // one a worker
    bool has_database;                        // the first of the health targets is the database
    Nanos started = 0;                        // CLOCK_MONOTONIC
    std::function<std::string_view()> state;  // "running", "draining"
};

struct TopQuery {
    enum class By { kPackets, kBytes, kDrops, kRequests, kDenials } by = By::kRequests;
    bool prefixes = false;  // in place of sources; of what the kernel counts
    std::size_t n = 20;
};

struct ExplainQuery {
    IpAddress ip;
    std::string_view user;
    std::string_view method;
    std::string_view path;  // canonical
};

class StatusReport {
  public:
    explicit StatusReport(StatusSources sources) : sources_(std::move(sources)), judge_(sources_.plane) {}

    nlohmann::json status() const;
    // "ok", or "degraded" if anything that was configured does not work. Never a reason to restart.
    std::string_view health_word() const;
    nlohmann::json health() const;
    nlohmann::json top(const TopQuery& query) const;
    nlohmann::json explain(const ExplainQuery& query);

  private:
    std::vector<std::string> troubles() const;

    StatusSources sources_;
    RequestJudge judge_;
};

}  // namespace sluice
