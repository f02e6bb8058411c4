// What one worker counts. Only its worker writes; the scrape reads at any time and sums the workers.
//
// In the steady state nothing here locks, allocates or writes an atomic read-modify-write: a series is found
// in a table of the worker's own. The first sight of a series allocates it (and of a model takes a lock
// once).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "telemetry/histogram.hpp"
#include "telemetry/metric_buckets.hpp"
#include "telemetry/series_table.hpp"

namespace sluice {

class ModelNames;

// What became of a request at one limit. Words in metrics and logs: admitted, refused, shadow.
enum class LimitVerdict : std::uint8_t {
    kAdmitted,
    kRefused,
    kShadow,  // a limit in shadow mode would have refused
};
inline constexpr std::size_t kLimitVerdicts = 3;
std::string_view to_string(LimitVerdict verdict);

// GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE and PATCH as they are, case-sensitive as HTTP's are;
// anything else is OTHER: a client must not be able to make series.
std::string_view method_label(std::string_view method);

class WorkerMetrics {
  public:
    // `models` bounds the models of all workers together and outlives this.
    explicit WorkerMetrics(ModelNames& models);

    // One answered request: api_requests_total and api_request_duration_seconds. `endpoint` is the name of
    // the policy's route ("" is written as "other"), never a path. A status outside 100…599 is counted as
    // "other".
    void request_finished(std::string_view method, std::string_view endpoint, unsigned status,
                          Nanos duration);
    // One limit's verdict on one request. `limit` is its name in the policy.
    void decision(std::string_view limit, LimitVerdict verdict);
    // The time one admission took, from charges to verdict.
    void decision_duration(Nanos duration) { decision_duration_.observe(duration); }
    // What Sluice added to one request: everything but the wait for the upstream.
    void added_latency(Nanos duration) { added_latency_.observe(duration); }
    // One call of a model. Characters other than letters, digits and ._:/- become _; from the 65th model of a
    // provider on, `other`.
    void ai_usage(std::string_view provider, std::string_view model);

    static constexpr unsigned kFirstStatus = 100;
    static constexpr unsigned kStatuses = 500;
    struct Endpoint {
        OwnedHistogram<kRequestDurationBounds> duration;
        std::array<OwnedCounter, kStatuses> by_status;
        OwnedCounter other_status;
    };
    struct Limit {
        std::array<OwnedCounter, kLimitVerdicts> by_verdict;
    };
    using EndpointTable = SeriesTable<2, Endpoint>;   // method, endpoint
    using LimitTable = SeriesTable<1, Limit>;         // limit
    using ModelTable = SeriesTable<2, OwnedCounter>;  // provider, model

    // For the scrape; any thread.
    const EndpointTable& endpoints() const { return endpoints_; }
    const LimitTable& limits() const { return limits_; }
    const ModelTable& models() const { return models_; }
    const OwnedHistogram<kDecisionBounds>& decision_durations() const { return decision_duration_; }
    const OwnedHistogram<kAddedLatencyBounds>& added_latencies() const { return added_latency_; }

  private:
    OwnedCounter& new_model(std::string_view provider, std::string_view clean);

    ModelNames& model_names_;
    // 1,000 method-endpoint pairs are 100 routes with every method; 4 KiB each, made when first seen.
    EndpointTable endpoints_{1000};
    LimitTable limits_{500};
    ModelTable models_{2000};
    OwnedHistogram<kDecisionBounds> decision_duration_;
    OwnedHistogram<kAddedLatencyBounds> added_latency_;
};

}  // namespace sluice
