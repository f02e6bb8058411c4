// The registry: sums the workers, asks the collectors, and writes the Prometheus text format.
#pragma once

#include <deque>
#include <functional>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.hpp"
#include "telemetry/metrics_table.hpp"
#include "telemetry/worker_metrics.hpp"

namespace sluice {

// Which models have a series of their own, over all workers: at most 64 a provider, 32 providers.
class ModelNames {
  public:
    // Any thread. False: count it as `other`. Once true for a pair, true for ever.
    bool admit(std::string_view provider, std::string_view model);

  private:
    Guarded<std::map<std::string, std::set<std::string, std::less<>>, std::less<>>> names_;
};

// Where a collector puts the samples of one scrape.
class Samples {
  public:
    using LabelValues = std::vector<std::string>;

    // `labels` in the order of the table, as many as it names. A series given twice is summed.
    void add(Metric metric, std::initializer_list<std::string_view> labels, double value);

  private:
    friend class Metrics;
    std::map<Metric, std::map<LabelValues, double>> values_;
};

class Metrics {
  public:
    static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

    // Any thread, usually before the workers start. The reference is good for as long as this lives; only one
    // thread may write through it.
    WorkerMetrics& add_worker();

    // `collect` is called by scrape(), on its thread: kernel counters are read when they are asked for. Not
    // from within a collector.
    void add_collector(std::function<void(Samples&)> collect);

    // Any thread, not for hot paths: raises a counter of the table (bans, policy applies, …) by n.
    void count(Metric metric, std::initializer_list<std::string_view> labels, double n = 1);

    // The whole exposition, text format 0.0.4. Called by one thread at a time (the control thread). Metrics
    // of the table that have no series yet are left out, except counters without labels, which start at 0.
    std::string scrape() const;

  private:
    ModelNames model_names_;
    Guarded<std::deque<WorkerMetrics>> workers_;
    std::vector<std::function<void(Samples&)>> collectors_;
    Guarded<Samples> counters_;
};

// process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds, process_start_time_seconds of
// this process, from /proc. A collector; what cannot be read is left out.
void collect_process(Samples& samples);

// The content of docs/metrics.md.
std::string metrics_markdown();

}  // namespace sluice
