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
    // Names of the policy's limits by scope and slot; empty: the slot is free.
    std::array<std::array<std::string, SLUICE_LIMITS_MAX>, 2> limit_names;
};

struct KernelPlanContext {
    SourcePrefix source_prefix;
    std::vector<IpPrefix> never_ban;  // sources that overlap these are never banned by the program
    std::uint64_t generation = 0;
    Nanos coarse_tick = 4 * kMillisecond;  // resolution of CLOCK_MONOTONIC_COARSE
    // The generation before, or null: limits that stay the same keep their slots, and with them their arrival
    // times.
    const sluice_policy* previous = nullptr;
};

// Name and mode may change without a limit becoming another one; scope, count, rate, burst and grouping may
// not.
KernelPlan make_kernel_plan(const KernelPolicy& policy, const KernelPlanContext& context);

}  // namespace sluice
