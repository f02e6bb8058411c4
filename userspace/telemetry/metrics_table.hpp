// The one table of metrics: the registry, docs/metrics.md and their tests are made from it. A metric that is
// not here cannot be exported; a name is written nowhere else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace sluice {

enum class Metric : std::uint8_t {
    kApiRequests,
    kApiRequestDuration,
    kActiveUsers,
    kAiModelUsage,
    kXdpPackets,
    kXdpBytes,
    kXdpWouldDrop,
    kDecisions,
    kDecisionDuration,
    kAddedLatency,
    kBansActive,
    kBans,
    kBpfMapEntries,
    kBpfMapCapacity,
    kEventsLost,
    kEvictions,
    kNewcomersSkipped,
    kClaimsLost,
    kChargeRetries,
    kBansRefused,
    kSyns,
    kSynCookies,
    kPolicyInfo,
    kPolicyApplies,
    kLedgerUp,
    kLedgerHosts,
    kLedgerMessages,
    kLedgerWaits,
    kLedgerLate,
    kLedgerUnleased,
    kLedgerForgotten,
    kLedgerLosses,
    kLedgerRoundTrip,
    kLedgerNodes,
    kLedgerRedirects,
    kFleetFacts,
    kFleetPolicies,
    kLimiterKeys,
    kLimiterBytes,
    kLimiterOverflowed,
    kLimiterMerged,
    kLimiterSlots,
    kLogDropped,
    kBuildInfo,
    kProcessCpuSeconds,
    kProcessResidentBytes,
    kProcessOpenFds,
    kProcessStartTime,
};

enum class MetricKind : std::uint8_t { kCounter, kGauge, kHistogram };

std::string_view to_string(MetricKind kind);

struct MetricInfo {
    Metric metric;
    std::string_view name;
    MetricKind kind;
    std::string_view unit;  // "", "seconds", "bytes", "packets": what a sample counts
    std::span<const std::string_view> labels;
    std::string_view
        help;  // one line: the exposition format allows no other, and the serialiser does not escape it
    std::string_view values;                  // for the documentation: what the labels may hold
    std::span<const std::int64_t> bounds_ns;  // histograms only: upper bounds, ascending, nanoseconds
};

// In the order of Metric.
std::span<const MetricInfo> metric_table();

inline const MetricInfo& metric_info(Metric metric) {
    return metric_table()[static_cast<std::size_t>(metric)];
}

}  // namespace sluice
