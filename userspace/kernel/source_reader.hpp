// What the source tables say of an address, read with the program's own arithmetic.
#pragma once

#include <span>
#include <vector>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"
#include "base/result.hpp"
#include "kernel/bpf_maps.hpp"
#include "kernel/kernel_enforcer.hpp"
#include "kernel/kernel_plan.hpp"

namespace sluice {

// Every limit that an address is counted for, group by group, source limits first, each in the order the program asks
// them.
// now: CLOCK_MONOTONIC.
Result<std::vector<LimitState>> read_limits(const SharedMaps& maps, const sluice_control& control,
                                            const KernelPlan& plan, const IpAddress& address, Nanos now);

// How many entries of these sets hold a source that is not back at its full allowance, estimated from one set in
// `every`.
std::uint64_t count_entries(std::span<sluice_set> sets, const sluice_limit_list& limits, Nanos now,
                            std::size_t every);

// The busiest sources or prefixes of the talker table; the policy tells how long they are.
std::vector<TopTalker> read_top(const MappedMemory& talkers, const sluice_policy& policy, TopOf of, TopBy by,
                                std::size_t count);
// Halves every count, so that the list speaks of the recent past.
void decay_top(const MappedMemory& talkers);

}  // namespace sluice
