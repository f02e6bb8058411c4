// A policy of any bytes: refused with problems, or loaded so that it passes its own checks, shows as JSON and
// differs from itself in nothing.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "policy/policy_check.hpp"
#include "policy/policy_diff.hpp"
#include "policy/policy_json.hpp"
#include "policy/policy_yaml.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    const sluice::PolicyLoad load = sluice::load_policy_text(text, "fuzz.yaml", "/nonexistent");
    if (load.loaded.has_value() == sluice::has_errors(load.problems)) std::abort();
    for (const sluice::Problem& problem : load.problems)
        if (problem.message.empty() || problem.message.find('\n') != std::string::npos) std::abort();
    (void)sluice::to_json(load.problems).dump();  // throws for text that is not UTF-8
    if (!load) return 0;
    const sluice::Policy& policy = *load.loaded->policy;
    if (sluice::has_errors(sluice::check_policy(policy))) std::abort();
    if (!sluice::diff_policies(policy, policy).empty()) std::abort();
    (void)sluice::to_json(policy).dump();
    return 0;
}
