// How the last interval went, from what the workers count anyway: the record of sluice.performance. Control
// thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "api/health_prober.hpp"
#include "base/clock.hpp"
#include "telemetry/events.hpp"
#include "telemetry/worker_metrics.hpp"

namespace sluice {

class PerformanceReport {
  public:
    explicit PerformanceReport(std::vector<const WorkerMetrics*> workers) : workers_(std::move(workers)) {}

    // What happened since the last call. `now`: CLOCK_MONOTONIC.
    PerformanceSummary take(const std::vector<ServiceHealth>& services, Nanos now);

  private:
    static constexpr std::size_t kDurationBuckets = kRequestDurationBounds.size() + 1;
    static constexpr std::size_t kAddedBuckets = kAddedLatencyBounds.size() + 1;

    // Sums over all workers since start.
    struct Totals {
        std::uint64_t requests = 0;
        std::uint64_t refused = 0;
        std::array<std::uint64_t, kDurationBuckets> durations{};
        std::array<std::uint64_t, kAddedBuckets> added{};
        Nanos cpu = 0;
    };
    Totals read() const;

    std::vector<const WorkerMetrics*> workers_;
    Totals last_ = {};
    Nanos last_time_ = 0;
};

// The upper bound of the bucket in which the q-th part of the observations lies (0 < q ≤ 1); beyond the last
// bound, that bound. 0 without observations.
template <std::size_t Buckets, class Bounds>
Nanos bucket_quantile(const std::array<std::uint64_t, Buckets>& counts, const Bounds& bounds, double q) {
    std::uint64_t total = 0;
    for (const std::uint64_t count : counts) total += count;
    if (total == 0) return 0;
    const double wanted = q * static_cast<double>(total);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < bounds.size(); ++i) {
        seen += counts[i];
        if (static_cast<double>(seen) >= wanted) return bounds[i];
    }
    return bounds.back();
}

}  // namespace sluice
