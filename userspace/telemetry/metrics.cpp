#include "telemetry/metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <cassert>
#include <sstream>

namespace sluice {
namespace {

using LabelValues = Samples::LabelValues;

constexpr double to_seconds(double nanoseconds) {
    return nanoseconds / 1e9;
}

// One histogram's sums over the workers, not cumulative.
struct HistogramSum {
    std::vector<std::uint64_t> buckets;
    std::uint64_t sum_ns = 0;

    template <class Histogram>
    void add(const Histogram& histogram) {
        buckets.resize(Histogram::kBuckets);
        for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] += histogram.bucket(i);
        sum_ns += histogram.sum_ns();
    }
};
using Histograms = std::map<Metric, std::map<LabelValues, HistogramSum>>;

std::vector<prometheus::ClientMetric::Label> to_labels(const MetricInfo& info, const LabelValues& values) {
    std::vector<prometheus::ClientMetric::Label> labels;
    for (std::size_t i = 0; i < info.labels.size(); ++i)
        labels.push_back({std::string{info.labels[i]}, values[i]});
    return labels;
}

prometheus::ClientMetric to_histogram(const MetricInfo& info, const LabelValues& values,
                                      const HistogramSum& sum) {
    prometheus::ClientMetric sample;
    sample.label = to_labels(info, values);
    // The count is made from the buckets: read while a worker writes, the two could differ.
    std::uint64_t cumulative = 0;
    for (std::size_t i = 0; i < info.bounds_ns.size(); ++i) {
        cumulative += sum.buckets[i];
        sample.histogram.bucket.push_back({cumulative, to_seconds(static_cast<double>(info.bounds_ns[i]))});
    }
    sample.histogram.sample_count = cumulative + sum.buckets.back();
    sample.histogram.sample_sum = to_seconds(static_cast<double>(sum.sum_ns));
    return sample;
}

void add_worker(const WorkerMetrics& worker, Samples& samples, Histograms& histograms) {
    worker.endpoints().each([&](const auto& labels, const WorkerMetrics::Endpoint& endpoint) {
        histograms[Metric::kApiRequestDuration][{labels[0], labels[1]}].add(endpoint.duration);
        for (unsigned i = 0; i < WorkerMetrics::kStatuses; ++i)
            if (const auto n = endpoint.by_status[i].value())
                samples.add(Metric::kApiRequests,
                            {labels[0], labels[1], std::to_string(WorkerMetrics::kFirstStatus + i)},
                            static_cast<double>(n));
        if (const auto n = endpoint.other_status.value())
            samples.add(Metric::kApiRequests, {labels[0], labels[1], "other"}, static_cast<double>(n));
    });
    worker.limits().each([&](const auto& labels, const WorkerMetrics::Limit& limit) {
        for (std::size_t i = 0; i < kLimitVerdicts; ++i)
            samples.add(Metric::kDecisions, {labels[0], to_string(static_cast<LimitVerdict>(i))},
                        static_cast<double>(limit.by_verdict[i].value()));
    });
    worker.models().each([&](const auto& labels, const OwnedCounter& calls) {
        samples.add(Metric::kAiModelUsage, {labels[0], labels[1]}, static_cast<double>(calls.value()));
    });
    histograms[Metric::kDecisionDuration][{}].add(worker.decision_durations());
    histograms[Metric::kAddedLatency][{}].add(worker.added_latencies());
}

}  // namespace

bool ModelNames::admit(std::string_view provider, std::string_view model) {
    constexpr std::size_t kProviders = 32;
    constexpr std::size_t kModels = 64;
    return names_.with([&](auto& names) {
        auto found = names.find(provider);
        if (found == names.end()) {
            if (names.size() >= kProviders) return false;
            found = names.emplace(provider, typename std::decay_t<decltype(names)>::mapped_type{}).first;
        }
        auto& models = found->second;
        if (models.contains(model)) return true;
        if (models.size() >= kModels) return false;
        models.emplace(model);
        return true;
    });
}

void Samples::add(Metric metric, std::initializer_list<std::string_view> labels, double value) {
    assert(labels.size() == metric_info(metric).labels.size());
    values_[metric][LabelValues(labels.begin(), labels.end())] += value;
}

WorkerMetrics& Metrics::add_worker() {
    return workers_.with([&](auto& workers) -> WorkerMetrics& { return workers.emplace_back(model_names_); });
}

void Metrics::add_collector(std::function<void(Samples&)> collect) {
    collectors_.push_back(std::move(collect));
}

void Metrics::count(Metric metric, std::initializer_list<std::string_view> labels, double n) {
    counters_.with([&](auto& counters) { counters.add(metric, labels, n); });
}

std::string Metrics::scrape() const {
    Samples samples = counters_.with([](const auto& counters) { return counters; });
    Histograms histograms;
    workers_.with([&](const auto& workers) {
        for (const auto& worker : workers) sluice::add_worker(worker, samples, histograms);
    });
    for (const auto& collect : collectors_) collect(samples);

    std::vector<prometheus::MetricFamily> families;
    for (const auto& info : metric_table()) {
        prometheus::MetricFamily family;
        family.name = info.name;
        family.help = info.help;
        if (info.kind == MetricKind::kCounter && info.labels.empty()) samples.add(info.metric, {}, 0);
        if (info.kind == MetricKind::kHistogram) {
            family.type = prometheus::MetricType::Histogram;
            for (const auto& [values, sum] : histograms[info.metric])
                family.metric.push_back(to_histogram(info, values, sum));
        } else {
            family.type = info.kind == MetricKind::kCounter ? prometheus::MetricType::Counter
                                                            : prometheus::MetricType::Gauge;
            for (const auto& [values, value] : samples.values_[info.metric]) {
                auto& sample = family.metric.emplace_back();
                sample.label = to_labels(info, values);
                sample.counter.value = value;
                sample.gauge.value = value;
            }
        }
        if (!family.metric.empty()) families.push_back(std::move(family));
    }
    std::ostringstream out;
    prometheus::TextSerializer{}.Serialize(out, families);
    return std::move(out).str();
}

}  // namespace sluice
