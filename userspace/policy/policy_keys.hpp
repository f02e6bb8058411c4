// Every key a policy file and an API key file may hold. The reader refuses what is not here, and a test holds
// the JSON Schema against it.
#pragma once

#include <array>
#include <string_view>

namespace sluice {

struct PolicyKey {
    std::string_view section;  // "$", or the path of the mapping with [] for any item of a list
    std::string_view name;
    bool required = false;
};

inline constexpr std::array kPolicyKeys = std::to_array<PolicyKey>({
    {"$", "name", true},
    {"$", "trusted_proxies"},
    {"$", "source_prefix"},
    {"$", "kernel"},
    {"$", "identity"},
    {"$", "routes"},
    {"$", "limits"},
    {"$", "escalation"},
    {"$.source_prefix", "ipv4"},
    {"$.source_prefix", "ipv6"},
    {"$.kernel", "mode"},
    {"$.kernel", "ports"},
    {"$.kernel", "allow"},
    {"$.kernel", "deny"},
    {"$.kernel", "prefix"},
    {"$.kernel", "limits"},
    {"$.kernel", "newcomers"},
    {"$.kernel", "syn_cookies"},
    {"$.kernel", "ban"},
    {"$.kernel.ports[]", "name"},
    {"$.kernel.ports[]", "ports", true},
    {"$.kernel.ports[]", "limits"},
    {"$.kernel.ports[].limits[]", "name", true},
    {"$.kernel.ports[].limits[]", "count", true},
    {"$.kernel.ports[].limits[]", "per"},
    {"$.kernel.ports[].limits[]", "rate", true},
    {"$.kernel.ports[].limits[]", "burst"},
    {"$.kernel.ports[].limits[]", "mode"},
    {"$.kernel.allow[]", "file", true},
    {"$.kernel.deny[]", "file", true},
    {"$.kernel.prefix", "ipv4"},
    {"$.kernel.prefix", "ipv6"},
    {"$.kernel.limits[]", "name", true},
    {"$.kernel.limits[]", "count", true},
    {"$.kernel.limits[]", "per"},
    {"$.kernel.limits[]", "rate", true},
    {"$.kernel.limits[]", "burst"},
    {"$.kernel.limits[]", "mode"},
    {"$.kernel.ban", "after", true},
    {"$.kernel.ban", "within", true},
    {"$.kernel.ban", "for", true},
    {"$.identity", "jwt"},
    {"$.identity", "api_keys"},
    {"$.identity.jwt", "keys", true},
    {"$.identity.jwt", "algorithms", true},
    {"$.identity.jwt", "issuer"},
    {"$.identity.jwt", "audience"},
    {"$.identity.jwt", "user"},
    {"$.identity.jwt", "roles"},
    {"$.identity.jwt", "leeway"},
    {"$.identity.api_keys", "header"},
    {"$.identity.api_keys", "file", true},
    {"$.routes[]", "name", true},
    {"$.routes[]", "path", true},
    {"$.routes[]", "class"},
    {"$.routes[]", "provider"},
    {"$.routes[]", "methods"},
    {"$.limits[]", "name", true},
    {"$.limits[]", "per", true},
    {"$.limits[]", "when"},
    {"$.limits[]", "class"},
    {"$.limits[]", "rate"},  // this or the next
    {"$.limits[]", "concurrent"},
    {"$.limits[]", "mode"},
    {"$.limits[]", "algorithm"},
    {"$.limits[]", "on_ledger_loss"},
    {"$.escalation", "after", true},
    {"$.escalation", "within", true},
    {"$.escalation", "for", true},
});

inline constexpr std::array kApiKeyFileKeys = std::to_array<PolicyKey>({
    {"$", "keys", true},
    {"$.keys[]", "sha256", true},
    {"$.keys[]", "user", true},
});

}  // namespace sluice
