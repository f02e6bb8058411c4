// The compact form of a JSON Web Token (RFC 7515 section 3.1, RFC 7519), taken apart strictly. Pure; proves
// nothing.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "identity/identity.hpp"
#include "policy/policy.hpp"

namespace sluice {

struct JwtParts {
    std::string algorithm;  // as written
    std::optional<std::string> kid;
    std::string_view signing_input;  // of the token
    std::string signature;           // decoded
    std::string_view payload;        // of the token, still encoded
};

// Three base64url parts, the first of which is an acceptable header. `crit` and `b64` are refused; jku, jwk,
// x5u, x5c are never looked at: keys come from the policy alone. Views into token.
std::variant<JwtParts, AuthFailure> split_jwt(std::string_view token);

// The payload as a JSON object, or nullopt: bad encoding, no object, or a member that appears twice (parsers
// differ on which one counts, so that one reader could see another user than the next).
std::optional<nlohmann::json> decode_json_object(std::string_view part);

// Who the claims say it is, if they hold now: exp is required, nbf and iat are kept if present, iss and aud
// if the policy states them. from, until: the seconds between which this answer stands.
struct ClaimsVerdict {
    Identity identity;
    std::int64_t from = 0;
    std::int64_t until = 0;
};
std::variant<ClaimsVerdict, AuthFailure> judge_claims(const nlohmann::json& claims, const JwtPolicy& policy,
                                                      std::int64_t now);

}  // namespace sluice
