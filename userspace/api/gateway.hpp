// The request enforcer behind the gateway: one GatewayApplication a worker. It puts every request before the
// judge, turns the judgement into a forward or a 429, and when the request has ended tells metrics, log, top
// list and escalation — each once, all here.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/judge.hpp"
#include "api/top_requests.hpp"
#include "http/application.hpp"
#include "telemetry/burst_aggregator.hpp"
#include "telemetry/events.hpp"
#include "telemetry/worker_metrics.hpp"

namespace sluice {

class GatewayApplication final : public http::Application {
  public:
    // `metrics` and `top` are this worker's own.
    GatewayApplication(RequestPlane& plane, WorkerMetrics& metrics, TopRequests& top);
    // Writes what the aggregators still hold.
    ~GatewayApplication() override;

    std::unique_ptr<http::ExchangeState> make_state() override;
    const PrefixSet& trusted_proxies() override { return judge_.policy().trusted_proxies; }
    void decide(const http::RequestHead& request, http::ExchangeState& state,
                http::Decision& decision) override;
    void answered(http::ExchangeState& state) override;
    void finished(const http::RequestHead& request, http::ExchangeState& state,
                  const http::Outcome& outcome) override;
    void refused_early(const http::EarlyRefusal& refusal) override;

    // About once a second, on the worker's thread: summaries of refusals that were counted instead of
    // written.
    void tick(Nanos wall);

  private:
    struct Exchange;
    struct Ended;

    void refuse(const Exchange& exchange, http::Decision& decision);
    void admit(const Exchange& exchange, const http::RequestHead& request, http::Decision& decision);

    void count_decisions(const Exchange& exchange);
    void log_identity(const Ended& ended);
    void log_limits(const Ended& ended);
    void log_activity(const Ended& ended);
    void log_failure(const Ended& ended, std::string_view reason);
    void escalate(const Exchange& exchange, const IpAddress& client);
    void write_summaries(LogCategory category, const std::vector<BurstAggregator::Summary>& summaries);

    RequestPlane& plane_;
    RequestJudge judge_;
    WorkerMetrics& metrics_;
    TopRequests& top_;
    // What a flood would repeat in the log, by the category it is written to.
    BurstAggregator limited_;
    BurstAggregator rejected_;
    BurstAggregator failed_;
};

}  // namespace sluice
