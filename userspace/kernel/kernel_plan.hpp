// Policy → what the program reads: pure, no kernel needed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ip_prefix.hpp"
#include "base/result.hpp"
#include "policy/policy.hpp"

namespace sluice {

// Why the kernel can't enforce a policy, in terms of the policy's fields. Empty: it can.
struct KernelPlanProblem {
    std::string path;     // "kernel.limits[2].burst"
    std::string message;  // what is wrong and what is allowed
};
std::vector<KernelPlanProblem> check_kernel_policy(const KernelPolicy& policy,
                                                   const SourcePrefix& source_prefix);

}  // namespace sluice
