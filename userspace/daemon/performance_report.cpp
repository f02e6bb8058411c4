#include "daemon/performance_report.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

namespace sluice {
namespace {

constexpr unsigned kTooManyRequests = 429;

Nanos of_timeval(const timeval& time) {
    return time.tv_sec * kSecond + time.tv_usec * kMicrosecond;
}

Nanos process_cpu() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return of_timeval(usage.ru_utime) + of_timeval(usage.ru_stime);
}

std::uint64_t resident_bytes() {
    std::ifstream statm{"/proc/self/statm"};
    std::uint64_t size_pages = 0;
    std::uint64_t resident_pages = 0;
    statm >> size_pages >> resident_pages;
    return resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

template <std::size_t N>
std::array<std::uint64_t, N> minus(const std::array<std::uint64_t, N>& a,
                                   const std::array<std::uint64_t, N>& b) {
    std::array<std::uint64_t, N> difference{};
    for (std::size_t i = 0; i < N; ++i) difference[i] = a[i] - b[i];
    return difference;
}

}  // namespace

PerformanceReport::Totals PerformanceReport::read() const {
    Totals totals;
    for (const WorkerMetrics* worker : workers_) {
        worker->endpoints().each([&](const auto&, const WorkerMetrics::Endpoint& endpoint) {
            for (std::size_t i = 0; i < kDurationBuckets; ++i) {
                totals.durations[i] += endpoint.duration.bucket(i);
                totals.requests += endpoint.duration.bucket(i);
            }
            totals.refused += endpoint.by_status[kTooManyRequests - WorkerMetrics::kFirstStatus].value();
        });
        for (std::size_t i = 0; i < kAddedBuckets; ++i)
            totals.added[i] += worker->added_latencies().bucket(i);
    }
    totals.cpu = process_cpu();
    return totals;
}

PerformanceSummary PerformanceReport::take(const std::vector<ServiceHealth>& services, Nanos now) {
    const Totals totals = read();
    const auto durations = minus(totals.durations, last_.durations);
    const auto added = minus(totals.added, last_.added);
    PerformanceSummary summary;
    summary.interval = now - last_time_;
    summary.requests = totals.requests - last_.requests;
    summary.refused = totals.refused - last_.refused;
    summary.request_p50 = bucket_quantile(durations, kRequestDurationBounds, 0.5);
    summary.request_p99 = bucket_quantile(durations, kRequestDurationBounds, 0.99);
    summary.added_p99 = bucket_quantile(added, kAddedLatencyBounds, 0.99);
    summary.resident_bytes = resident_bytes();
    summary.cpu_share = summary.interval > 0 ? static_cast<double>(totals.cpu - last_.cpu) /
                                                   static_cast<double>(summary.interval)
                                             : 0;
    for (const ServiceHealth& service : services)
        summary.dependencies.push_back({service.name, service.state == ServiceState::kUp, service.latency});
    last_ = totals;
    last_time_ = now;
    return summary;
}

}  // namespace sluice
