// Places, lifts and lists bans, wherever they came from, and keeps the three places that enforce or remember
// them in step: the kernel map, the workers' BanSet, the ledger's document.
//
// Control thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "api/actor.hpp"
#include "api/ban_registry.hpp"
#include "api/ban_summaries.hpp"
#include "api/request_plane.hpp"
#include "kernel/kernel_enforcer.hpp"
#include "ledger/fleet.hpp"
#include "ledger/ledger.hpp"
#include "telemetry/metrics.hpp"

namespace sluice {

// A ban as operators see it.
struct BanView {
    IpPrefix source;
    std::string reason;
    std::string origin;  // "kernel", "escalation", "operator", "peer"
    Nanos expires_in = 0;
    std::uint64_t packets = 0;  // dropped by it in the kernel
    std::string host{};         // "peer": which host
};

class BanControl {
  public:
    static constexpr Nanos kLongest = 366 * kDay;
    // Wider prefixes belong into the policy's deny list, where they are reviewed: a slip of the keyboard here
    // would turn a good part of the Internet away.
    static constexpr unsigned kWidestV4 = 16;
    static constexpr unsigned kWidestV6 = 32;

    // `kernel` may be nullptr: bans then hold for requests only.
    BanControl(RequestPlane& plane, KernelEnforcer* kernel, Ledger& ledger, Metrics& metrics);

    // Reads the ledger's document and places what has not expired. Once, after the first policy is active.
    void restore();

    // kInvalid: the prefix is too wide or the duration out of range; kConflict: it overlaps trusted proxies
    // or the allow list; kExhausted: the kernel map is full. Success: the kernel map has been read back.
    Result<BanView> add(const IpPrefix& source, Nanos duration, const std::string& reason,
                        const Actor& actor);
    // kNotFound: nobody banned this source. Success: the kernel map has been read back and the ban is gone
    // from it.
    Result<> lift(const IpPrefix& source, const Actor& actor);
    // All that are in force, the kernel's own included, longest to go first.
    Result<std::vector<BanView>> list() const;
    std::size_t active() const;
    // Whether bans are enforced by a kernel map, too.
    bool in_kernel() const { return kernel_ != nullptr; }

    void escalated(const Escalation& escalation);
    // The kernel banned a source by itself.
    void kernel_banned(const KernelEvent& event);
    // Where what this host decides is told to others; set at most once, before anything is decided. What they decide comes in by
    // peers_said and is not told again.
    void share_with(std::function<void(FleetFact)> say) { say_ = std::move(say); }
    // Enforces what other hosts decided, as far as this host's policy lets it. Facts of another kind are passed over.
    void peers_said(std::span<const FleetNews> news);
    std::uint64_t refused_of_peers() const { return refused_of_peers_; }
    // Lifts bans that the policy now in force forbids.
    void policy_changed();
    // Once a second: expiry, summaries of the bans that stand, the ledger's document.
    void tick(Nanos ledger_time);

    // Samples for the metrics.
    std::size_t active_in_kernel() const;
    std::size_t active_for_requests() const { return registry_.size(); }

  private:
    Result<> enforce(const PlacedBan& ban, BanOrigin origin);
    static Result<> check_form(const IpPrefix& source, Nanos duration, const std::string& reason);
    void tell_peers(const PlacedBan& ban, Nanos lasts, bool lifted, const std::string& by);
    bool peer_banned(const FleetNews& news);
    bool peer_lifted(const FleetNews& news);
    void expire(Nanos ledger_time);
    void summarise();
    void publish();
    void log_change(BanChange::Action action, const PlacedBan& ban, std::string by, Nanos duration,
                    std::uint64_t packets);

    RequestPlane& plane_;
    KernelEnforcer* kernel_;
    Ledger& ledger_;
    Metrics& metrics_;
    BanRegistry registry_;
    BanSummaries summaries_;
    bool document_stale_ = false;
    std::function<void(FleetFact)> say_;  // empty: this host is alone
    std::uint64_t refused_of_peers_ = 0;
};

}  // namespace sluice
