#include "policy/policy_check.hpp"

#include <algorithm>
#include <array>

#include "policy/check_rules.hpp"
#include "policy/text.hpp"

namespace sluice {
namespace {

// What metrics and logs write where there is no route, limit or class.
constexpr std::array<std::string_view, 4> kReservedNames{"unmatched", "other", "none", "all"};

constexpr std::string_view kNameForm = "1 to 32 of a-z, 0-9 and _; not unmatched, other, none or all";

bool is_policy_name(std::string_view name) {
    return !name.empty() && name.size() <= kMaxPolicyNameLength && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
               c == '-' || c == '.';
    });
}

}  // namespace

bool is_valid_name(std::string_view name) {
    const bool in_form =
        !name.empty() && name.size() <= kMaxNameLength && std::ranges::all_of(name, [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        });
    return in_form && std::ranges::find(kReservedNames, name) == kReservedNames.end();
}

void RuleChecker::check_name(std::string_view name, const std::string& path) {
    if (!is_valid_name(name)) error(path, in_quotes(name) + " can't be a name", std::string{kNameForm});
}

void RuleChecker::check_sources(const Policy& policy) {
    for (const IpPrefix& proxy : policy.trusted_proxies)
        if (proxy.length() == 0)
            error("$.trusted_proxies",
                  proxy.to_string() + " trusts everyone: any client could choose its own address",
                  "the addresses of the proxies in front");
    if (policy.escalation && policy.limits.empty())
        warning("$.escalation", "never happens: the policy has no request limits");
}

Problems check_policy(const Policy& policy) {
    Problems problems;
    RuleChecker checker{problems};
    if (!is_policy_name(policy.name))
        checker.error("$.name", in_quotes(policy.name) + " can't be a policy's name",
                      "1 to 64 of A-Z, a-z, 0-9, _, - and .");
    checker.check_sources(policy);
    checker.check_kernel(policy);
    checker.check_identity(policy.identity);
    checker.check_routes(policy);
    checker.check_limits(policy);
    return problems;
}

}  // namespace sluice
