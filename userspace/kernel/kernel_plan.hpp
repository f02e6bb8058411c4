// Policy → what the XDP program reads: pure, no kernel needed.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"
#include "bpf/sluice_abi.h"
#include "policy/policy.hpp"

namespace sluice {

// Why the kernel can't enforce a policy, in terms of the policy's fields.
struct KernelPlanProblem {
    std::string path;     // "kernel.limits[2].burst"
    std::string message;  // what is wrong and what is allowed
};

// Empty: it can. A plan is only made of a policy without problems.
std::vector<KernelPlanProblem> check_kernel_policy(const KernelPolicy& policy,
                                                   const SourcePrefix& source_prefix);

// One generation, ready to be put in force.
struct KernelPlan {
    sluice_policy policy{};
    std::vector<sluice_fences> blocks;  // of the policy's prefix sets
    std::vector<IpPrefix> never_ban;    // what policy.never_ban was made of: whole sources
    // Names of the policy's limits by group, scope and slot, those of a group as "group/limit"; empty: the slot is free.
    std::array<std::array<std::array<std::string, SLUICE_LIMITS_MAX>, 2>, SLUICE_GROUPS> limit_names;
    // Names of the groups of ports; empty: not in use, or the first, of all ports without a group.
    std::array<std::string, SLUICE_GROUPS> group_names;
};

struct KernelPlanContext {
    SourcePrefix source_prefix;
    std::vector<IpPrefix> never_ban;  // sources that overlap these are never banned by the program
    std::uint64_t generation = 0;
    Nanos coarse_tick = 4 * kMillisecond;  // resolution of CLOCK_MONOTONIC_COARSE
    // The generation before, or null: limits and groups that stay the same keep their slots, and with them their arrival
    // times.
    const sluice_policy* previous = nullptr;
};

// Where the sets of a group stand in a table of so many entries: the first group has 16 parts of 23, the others one each.
// A table made for 2^n sets of the first group has table_entries(2^n).
sluice_region region_of(std::uint32_t entries, std::size_t group);
std::uint32_t table_entries(std::uint32_t sets);

// Name and mode may change without a limit becoming another one; scope, count, rate, burst and grouping may
// not.
KernelPlan make_kernel_plan(const KernelPolicy& policy, const KernelPlanContext& context);

}  // namespace sluice
