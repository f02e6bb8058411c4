#include "api/active_policy.hpp"

#include <utility>

#include "kernel/kernel_plan.hpp"

namespace sluice {

namespace {

Problems check_enforceable(const Policy& policy, bool shared_ledger) {
    Problems problems;
    const auto add = [&](std::string path, std::string message) {
        problems.push_back({Severity::kError, {}, 0, 0, std::move(path), std::move(message), {}});
    };
    for (const KernelPlanProblem& problem : check_kernel_policy(policy.kernel, policy.source_prefix))
        add("$." + problem.path, problem.message);
    if (const auto verifier = IdentityVerifier::create(policy.identity); !verifier)
        add(policy.identity.jwt ? "$.identity.jwt.keys" : "$.identity", verifier.error().message);
    if (!shared_ledger) return problems;
    for (std::size_t i = 0; i < policy.limits.size(); ++i)
        if (policy.limits[i].rate.at_once())
            problems.push_back({Severity::kWarning,
                                {},
                                0,
                                0,
                                "$.limits[" + std::to_string(i) + "].concurrent",
                                "counts on each host by itself, unlike the rates, which count over all hosts",
                                {}});
    return problems;
}

}  // namespace

PolicyCheck enforceable_with(bool shared_ledger) {
    return [shared_ledger](const Policy& policy) { return check_enforceable(policy, shared_ledger); };
}

Result<std::shared_ptr<const ActivePolicy>> ActivePolicy::compile(const LoadedPolicy& loaded,
                                                                  std::uint64_t generation,
                                                                  const KeyHasher& hasher) {
    const Policy& policy = *loaded.policy;
    auto verifier = IdentityVerifier::create(policy.identity);
    if (!verifier) return verifier.error();
    auto charges = ChargePlan::make(policy, hasher);
    if (!charges) return charges.error();

    std::vector<IpPrefix> never_banned = policy.trusted_proxies;
    never_banned.insert(never_banned.end(), policy.kernel.allow.prefixes.begin(),
                        policy.kernel.allow.prefixes.end());
    return std::make_shared<const ActivePolicy>(
        ActivePolicy{loaded.policy, loaded.hash, generation, RouteTable{policy.routes}, *std::move(charges),
                     EscalationRules::of(policy), *std::move(verifier), PrefixSet{policy.trusted_proxies},
                     PrefixSet{never_banned}});
}

}  // namespace sluice
