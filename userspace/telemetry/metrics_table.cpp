#include "telemetry/metrics_table.hpp"

#include <array>

#include "telemetry/metric_buckets.hpp"

namespace sluice {
namespace {

using Labels = std::span<const std::string_view>;

constexpr std::array<std::string_view, 3> kMethodEndpointStatus{"method", "endpoint", "status"};
constexpr std::array<std::string_view, 2> kProviderModel{"provider", "model"};
constexpr std::array<std::string_view, 3> kInterfaceVerdictReason{"interface", "verdict", "reason"};
constexpr std::array<std::string_view, 2> kLimitVerdict{"limit", "verdict"};
constexpr std::array<std::string_view, 2> kNameHash{"name", "hash"};
constexpr std::array<std::string_view, 1> kLayer{"layer"};
constexpr std::array<std::string_view, 1> kReason{"reason"};
constexpr std::array<std::string_view, 1> kMap{"map"};
constexpr std::array<std::string_view, 1> kOutcome{"outcome"};
constexpr std::array<std::string_view, 1> kCategory{"category"};
constexpr std::array<std::string_view, 1> kVersion{"version"};

constexpr auto kCounter = MetricKind::kCounter;
constexpr auto kGauge = MetricKind::kGauge;
constexpr auto kHistogram = MetricKind::kHistogram;

constexpr std::string_view kEndpointValues =
    "method: the nine of HTTP or `OTHER`; endpoint: a route's name in the policy, or `other`";
constexpr std::string_view kXdpValues =
    "interface: those attached to; verdict: `pass`, `drop` or `tx`; reason: the kernel's reasons";

constexpr std::array kTable{
    MetricInfo{Metric::kApiRequests,
               "api_requests_total",
               kCounter,
               "requests",
               kMethodEndpointStatus,
               "Requests answered, whether by the application or by Sluice in its place.",
               "method: the nine of HTTP or `OTHER`; endpoint: a route's name in the policy, or `other`; "
               "status: 100 to "
               "599, or `other`",
               {}},
    MetricInfo{Metric::kApiRequestDuration, "api_request_duration_seconds", kHistogram, "seconds",
               Labels{kMethodEndpointStatus}.first(2),
               "Time from the first byte of a request to the last byte of its answer.", kEndpointValues,
               kRequestDurationBounds},
    MetricInfo{Metric::kActiveUsers,
               "active_users_total",
               kGauge,
               "users",
               {},
               "Distinct authenticated users seen in the last five minutes. A gauge, despite its name.",
               "",
               {}},
    MetricInfo{Metric::kAiModelUsage,
               "ai_model_usage_total",
               kCounter,
               "requests",
               kProviderModel,
               "Answered calls of AI models.",
               "provider: as the policy's route says; model: as the answer says, at most 64 a provider, then "
               "`other`; "
               "`unknown` if it does not say",
               {}},
    MetricInfo{Metric::kXdpPackets,
               "sluice_xdp_packets_total",
               kCounter,
               "packets",
               kInterfaceVerdictReason,
               "Packets judged in XDP. The sum over verdict and reason is what the interface received.",
               kXdpValues,
               {}},
    MetricInfo{Metric::kXdpBytes,
               "sluice_xdp_bytes_total",
               kCounter,
               "bytes",
               kInterfaceVerdictReason,
               "Bytes of the packets judged in XDP, link header included.",
               kXdpValues,
               {}},
    MetricInfo{Metric::kDecisions,
               "sluice_decisions_total",
               kCounter,
               "decisions",
               kLimitVerdict,
               "Verdicts of each limit on each request that it was asked about.",
               "limit: its name in the policy; verdict: `admitted`, `refused`, or `shadow` (in shadow mode: "
               "it would have "
               "refused)",
               {}},
    MetricInfo{Metric::kDecisionDuration,
               "sluice_decision_duration_seconds",
               kHistogram,
               "seconds",
               {},
               "Time to decide on one request: all of its limits together.",
               "",
               kDecisionBounds},
    MetricInfo{Metric::kAddedLatency,
               "sluice_added_latency_seconds",
               kHistogram,
               "seconds",
               {},
               "Time that Sluice added to a request: all but the wait for the application.",
               "",
               kAddedLatencyBounds},
    MetricInfo{Metric::kBansActive,
               "sluice_bans_active",
               kGauge,
               "bans",
               kLayer,
               "Bans in force.",
               "layer: `kernel` or `request`",
               {}},
    MetricInfo{Metric::kBans,
               "sluice_bans_total",
               kCounter,
               "bans",
               kReason,
               "Bans placed.",
               "reason: the kernel's limit, `escalation`, `operator` or `peer`",
               {}},
    MetricInfo{Metric::kBpfMapEntries,
               "sluice_bpf_map_entries",
               kGauge,
               "entries",
               kMap,
               "Entries in use of a BPF map.",
               "map: its name",
               {}},
    MetricInfo{Metric::kBpfMapCapacity,
               "sluice_bpf_map_capacity",
               kGauge,
               "entries",
               kMap,
               "Entries that a BPF map can hold.",
               "map: its name",
               {}},
    MetricInfo{Metric::kEventsLost,
               "sluice_events_lost_total",
               kCounter,
               "events",
               {},
               "Kernel events that found the ring buffer full. What they tell of is counted all the same.",
               "",
               {}},
    MetricInfo{Metric::kPolicyInfo,
               "sluice_policy_info",
               kGauge,
               "",
               kNameHash,
               "The policy in force; always 1.",
               "name: the policy's; hash: of its content",
               {}},
    MetricInfo{Metric::kPolicyApplies,
               "sluice_policy_applies_total",
               kCounter,
               "policies",
               kOutcome,
               "Policies offered.",
               "outcome: `applied`, `refused`, `failed`, `confirmed` or `rolled_back`",
               {}},
    MetricInfo{Metric::kLedgerUp,
               "sluice_ledger_up",
               kGauge,
               "",
               {},
               "Whether what is spent can be written down: 1 or 0.",
               "",
               {}},
    MetricInfo{Metric::kLedgerHosts,
               "sluice_ledger_hosts",
               kGauge,
               "hosts",
               {},
               "Hosts that share the ledger, seen within ten seconds. Only with `ledger: redis`, as the rest "
               "of `sluice_ledger_…`.",
               "",
               {}},
    MetricInfo{Metric::kLedgerMessages,
               "sluice_ledger_messages_total",
               kCounter,
               "messages",
               {},
               "Messages sent to Redis for leases.",
               "",
               {}},
    MetricInfo{Metric::kLedgerWaits,
               "sluice_ledger_waits_total",
               kCounter,
               "requests",
               {},
               "Requests that waited for an answer of Redis.",
               "",
               {}},
    MetricInfo{Metric::kLedgerLate,
               "sluice_ledger_late_total",
               kCounter,
               "requests",
               {},
               "Of them, those refused because it did not come within the deadline.",
               "",
               {}},
    MetricInfo{Metric::kLedgerUnleased,
               "sluice_ledger_unleased_total",
               kCounter,
               "requests",
               {},
               "Requests admitted by `on_ledger_loss` while Redis was away.",
               "",
               {}},
    MetricInfo{Metric::kLedgerForgotten,
               "sluice_ledger_forgotten_total",
               kCounter,
               "keys",
               {},
               "Keys of which Redis knew less than it had acknowledged: it was emptied, or a replica took "
               "over that had missed writes.",
               "",
               {}},
    MetricInfo{Metric::kLedgerLosses,
               "sluice_ledger_losses_total",
               kCounter,
               "times",
               {},
               "Times Redis went away.",
               "",
               {}},
    MetricInfo{Metric::kLedgerRoundTrip,
               "sluice_ledger_round_trip_seconds",
               kGauge,
               "seconds",
               {},
               "Smoothed time from a message to its answer.",
               "",
               {}},
    MetricInfo{Metric::kFleetFacts,
               "sluice_fleet_facts_total",
               kCounter,
               "facts",
               kOutcome,
               "Bans, lifts, overrides and resets that went between this host and the others.",
               "outcome: `sent`, `superseded` (something else held), `full` (no room in Redis), `lost` (no "
               "room here), "
               "`received`, `invalid` (not understood) or `refused` (this host's policy allows the source)",
               {}},
    MetricInfo{Metric::kLimiterKeys,
               "sluice_limiter_keys",
               kGauge,
               "keys",
               {},
               "Counters of users and addresses, one for each limit that they are under.",
               "",
               {}},
    MetricInfo{Metric::kLimiterBytes,
               "sluice_limiter_bytes",
               kGauge,
               "bytes",
               {},
               "Memory of these counters.",
               "",
               {}},
    MetricInfo{
        Metric::kLimiterOverflowed,
        "sluice_limiter_overflowed_total",
        kCounter,
        "charges",
        {},
        "Charges judged by the counter that newcomers to a limit share while there is no room for their own.",
        "",
        {}},
    MetricInfo{Metric::kLimiterMerged,
               "sluice_limiter_merged_total",
               kCounter,
               "times",
               {},
               "Times that a busy counter became coarser, and stricter, for lack of memory.",
               "",
               {}},
    MetricInfo{Metric::kLogDropped,
               "sluice_log_dropped_total",
               kCounter,
               "records",
               kCategory,
               "Log records that could not be written.",
               "category: a log's",
               {}},
    MetricInfo{Metric::kBuildInfo,
               "sluice_build_info",
               kGauge,
               "",
               kVersion,
               "The version that runs; always 1.",
               "version: of Sluice",
               {}},
    MetricInfo{Metric::kProcessCpuSeconds,
               "process_cpu_seconds_total",
               kCounter,
               "seconds",
               {},
               "CPU time of the daemon, user and system.",
               "",
               {}},
    MetricInfo{Metric::kProcessResidentBytes,
               "process_resident_memory_bytes",
               kGauge,
               "bytes",
               {},
               "Resident memory of the daemon.",
               "",
               {}},
    MetricInfo{Metric::kProcessOpenFds,
               "process_open_fds",
               kGauge,
               "descriptors",
               {},
               "File descriptors that the daemon has open.",
               "",
               {}},
    MetricInfo{Metric::kProcessStartTime,
               "process_start_time_seconds",
               kGauge,
               "seconds",
               {},
               "When the daemon started, in seconds since the Unix epoch.",
               "",
               {}},
};

constexpr bool in_order() {
    for (std::size_t i = 0; i < kTable.size(); ++i)
        if (static_cast<std::size_t>(kTable[i].metric) != i) return false;
    return true;
}
static_assert(in_order(), "metric_info() uses Metric as the index");
static_assert(kTable.size() == static_cast<std::size_t>(Metric::kProcessStartTime) + 1);

}  // namespace

std::string_view to_string(MetricKind kind) {
    switch (kind) {
        case MetricKind::kCounter:
            return "counter";
        case MetricKind::kGauge:
            return "gauge";
        case MetricKind::kHistogram:
            return "histogram";
    }
    return "untyped";
}

std::span<const MetricInfo> metric_table() {
    return kTable;
}

}  // namespace sluice
