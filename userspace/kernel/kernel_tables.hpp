// Everything the enforcer does through the maps, whether or not a program is attached anywhere: policy, bans,
// events, questions. BpfEnforcer adds interfaces and pins; the packet tests run a program that is attached to
// nothing.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "kernel/ban_table.hpp"
#include "kernel/bpf_maps.hpp"
#include "kernel/kernel_enforcer.hpp"
#include "kernel/kernel_plan.hpp"
#include "kernel/packet_capture.hpp"

struct ring_buffer;

namespace sluice {

// Control thread only. Functions mean what those of the same name in KernelEnforcer do.
class KernelTables {
  public:
    // Takes the descriptors. If a policy stands in the maps (an adopted one), it is what generation() tells.
    static Result<std::unique_ptr<KernelTables>> open(SharedMaps maps);
    ~KernelTables();

    Result<> apply(const KernelPolicy& policy, const SourcePrefix& source_prefix,
                   const std::vector<IpPrefix>& never_ban, std::uint64_t generation);
    std::uint64_t generation() const { return generation_; }

    Result<> ban(const BanRequest& request);
    Result<> lift(const IpPrefix& source) { return bans_.lift(source); }
    std::vector<Ban> take_lifted() { return std::exchange(lifted_, {}); }
    Result<std::vector<Ban>> bans() const { return bans_.list(monotonic_now()); }
    std::vector<Ban> tick();

    int event_fd() const;
    std::size_t drain(const std::function<void(const KernelEvent&)>& on_event);

    CookieAnswers cookie_answers() const;
    void set_cookie_answers(const CookieAnswers& answers);

    PacketCapture& capture() { return *capture_; }

    std::vector<MapUsage> maps() const;
    std::vector<TopTalker> top(TopOf of, TopBy by, std::size_t count) const;
    Result<SourceVerdict> explain(const IpAddress& address) const;

    const SharedMaps& descriptors() const { return maps_; }

  private:
    explicit KernelTables(SharedMaps maps, BanTable bans) : maps_(std::move(maps)), bans_(std::move(bans)) {}
    Result<> read_standing_policy();
    Result<> put_in_force(const KernelPlan& plan, const KernelPolicy& policy);
    Result<> lift_protected();
    std::string limit_name(const sluice_event& event) const;
    KernelEvent to_event(const sluice_event& event) const;

    SharedMaps maps_;
    BanTable bans_;
    MappedMemory control_, policies_, sources_, prefixes_, talkers_;
    std::unique_ptr<PacketCapture> capture_;
    ring_buffer* ring_ = nullptr;
    std::function<void(const KernelEvent&)> on_event_;  // during drain()
    std::size_t drained_ = 0;

    std::uint64_t generation_ = 0;
    std::optional<sluice_policy> standing_;  // image in force, ours or adopted
    std::optional<KernelPlan> plan_;         // of the generation in force, if this process applied it
    std::optional<KernelPlan> previous_;     // events of the generation before may still be in the ring
    PrefixSet allow_, deny_, never_ban_;
    std::vector<Ban> lifted_;  // by apply(), not yet taken
    Nanos next_decay_ = 0;
};

}  // namespace sluice
