#include "daemon/collectors.hpp"

#include <algorithm>

namespace sluice {

void collect_kernel(const KernelEnforcer& kernel, const SynCookieState& syn_cookies, Samples& samples) {
    if (const auto counters = kernel.counters())
        for (const InterfaceCounters& interface : *counters)
            for (std::size_t i = 0; i < kKernelReasons; ++i) {
                const KernelReason& reason = kernel_reasons()[i];
                samples.add(Metric::kXdpPackets, {interface.name, reason.verdict, reason.name},
                            static_cast<double>(interface.reasons[i].packets));
                samples.add(Metric::kXdpBytes, {interface.name, reason.verdict, reason.name},
                            static_cast<double>(interface.reasons[i].bytes));
                if (reason.verdict == "drop")
                    samples.add(Metric::kXdpWouldDrop, {interface.name, reason.name},
                                static_cast<double>(interface.would_drop[i].packets));
            }
    for (const MapUsage& map : kernel.maps()) {
        samples.add(Metric::kBpfMapEntries, {map.map}, static_cast<double>(map.entries));
        samples.add(Metric::kBpfMapCapacity, {map.map}, static_cast<double>(map.capacity));
    }
    const KernelStatistics statistics = kernel.statistics();
    samples.add(Metric::kEventsLost, {}, static_cast<double>(statistics.events_lost));
    samples.add(Metric::kEvictions, {}, static_cast<double>(statistics.sources_evicted));
    samples.add(Metric::kNewcomersSkipped, {}, static_cast<double>(statistics.newcomers_skipped));
    samples.add(Metric::kClaimsLost, {}, static_cast<double>(statistics.claims_lost));
    samples.add(Metric::kChargeRetries, {}, static_cast<double>(statistics.charge_retries));
    samples.add(Metric::kBansRefused, {}, static_cast<double>(statistics.bans_refused));
    samples.add(Metric::kSyns, {}, static_cast<double>(statistics.syns));
    samples.add(Metric::kSynCookies, {}, syn_cookies.state == "answering" ? 1 : 0);
}

namespace {

void collect_shared(const SharedLedgerState& shared, Samples& samples) {
    const auto add = [&](Metric metric, std::uint64_t value) {
        samples.add(metric, {}, static_cast<double>(value));
    };
    add(Metric::kLedgerHosts, shared.hosts);
    add(Metric::kLedgerMessages, shared.messages);
    add(Metric::kLedgerWaits, shared.waited);
    add(Metric::kLedgerLate, shared.late);
    add(Metric::kLedgerUnleased, shared.unleased);
    add(Metric::kLedgerForgotten, shared.forgotten);
    add(Metric::kLedgerLosses, shared.losses);
    samples.add(Metric::kLedgerRoundTrip, {},
                static_cast<double>(shared.round_trip) / static_cast<double>(kSecond));
    if (shared.nodes.empty()) return;
    const auto up = std::ranges::count(shared.nodes, true, &SharedLedgerNode::up);
    samples.add(Metric::kLedgerNodes, {"up"}, static_cast<double>(up));
    samples.add(Metric::kLedgerNodes, {"down"}, static_cast<double>(std::ssize(shared.nodes) - up));
    add(Metric::kLedgerRedirects, shared.redirects);
}

}  // namespace

void collect_control(const BanControl& bans, const PolicyControl& policy, const Ledger& ledger,
                     const EventLog& log, ActiveUsers& users, Samples& samples) {
    samples.add(Metric::kBansActive, {"kernel"}, static_cast<double>(bans.active_in_kernel()));
    samples.add(Metric::kBansActive, {"request"}, static_cast<double>(bans.active_for_requests()));
    samples.add(Metric::kPolicyInfo, {policy.version().name, policy.version().hash}, 1);
    samples.add(Metric::kLedgerUp, {}, ledger.health().up ? 1 : 0);
    if (const auto shared = ledger.shared()) collect_shared(*shared, samples);
    const EventLog::Stats stats = log.stats();
    for (std::size_t i = 0; i < kLogCategories; ++i)
        samples.add(Metric::kLogDropped, {to_string(static_cast<LogCategory>(i))},
                    static_cast<double>(stats[i].dropped));
    samples.add(Metric::kActiveUsers, {}, static_cast<double>(users.count(ledger_now())));
    samples.add(Metric::kBuildInfo, {SLUICE_VERSION}, 1);
}

void collect_limiter(const Limiter& limiter, const InFlight& in_flight, Samples& samples) {
    const LimiterStats stats = limiter.stats();
    samples.add(Metric::kLimiterKeys, {}, static_cast<double>(stats.keys));
    samples.add(Metric::kLimiterBytes, {}, static_cast<double>(stats.bytes));
    samples.add(Metric::kLimiterOverflowed, {}, static_cast<double>(stats.overflowed));
    samples.add(Metric::kLimiterMerged, {}, static_cast<double>(stats.merged));
    samples.add(Metric::kLimiterSlots, {}, static_cast<double>(in_flight.stats().slots));
}

}  // namespace sluice
