#include "api/active_policy.hpp"

#include <utility>

namespace sluice {

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
