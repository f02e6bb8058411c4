// A policy made ready for the request path: everything a worker needs of it, compiled once. Immutable; shared
// by all threads; a request holds the one it began with until it has ended.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "api/route_table.hpp"
#include "base/ip_prefix.hpp"
#include "base/result.hpp"
#include "identity/verifier.hpp"
#include "limiter/charges.hpp"
#include "limiter/escalation.hpp"
#include "policy/policy.hpp"
#include "policy/policy_yaml.hpp"

namespace sluice {

// What only the layers above the policy's own can tell of it: limits the kernel can't hold, keys that can't
// be used, limits that do not hold over all hosts although they share a ledger. For load_policy_*(), which adds file, line and
// column.
PolicyCheck enforceable_with(bool shared_ledger);

struct ActivePolicy {
    std::shared_ptr<const Policy> policy;
    std::string hash;
    std::uint64_t generation = 0;

    RouteTable routes;
    ChargePlan charges;
    EscalationRules escalation;
    std::shared_ptr<const IdentityVerifier> verifier;
    PrefixSet trusted_proxies;
    PrefixSet never_banned;  // trusted proxies and allowed sources

    // Fails, and changes nothing, if the keys of the identity section are unusable or too many limits meet in
    // one request; the error says which.
    static Result<std::shared_ptr<const ActivePolicy>> compile(const LoadedPolicy& loaded,
                                                               std::uint64_t generation,
                                                               const KeyHasher& hasher);
};

}  // namespace sluice
