// Who sent a request, as far as it was proved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/text.hpp"  // kMaxUserBytes

namespace sluice {

enum class AuthMethod : std::uint8_t { kNone, kJwt, kApiKey };

// Why a credential that was presented does not count.
enum class AuthFailure : std::uint8_t {
    kMalformedToken,       // not three strict base64url parts of JSON objects, or members of a wrong type
    kTokenTooLarge,        // beyond kMaxTokenBytes
    kAlgorithmNotAllowed,  // not in the policy's list, or not the one the key is for; `none` always
    kUnsupportedHeader,    // `crit`, or an encoded payload (`b64`)
    kUnknownKey,           // no key with this kid, or none that fits the algorithm
    kBadSignature,
    kExpired,
    kNotYetValid,  // nbf or iat lie in the future
    kMissingExpiry,
    kWrongIssuer,
    kWrongAudience,
    kMissingSubject,  // the user claim is absent
    kInvalidSubject,  // not a string, empty, over kMaxUserBytes, control characters or bad UTF-8
    kUnknownApiKey,
};

std::string_view to_string(AuthMethod method);  // "none", "jwt", "api_key"
std::string_view to_string(
    AuthFailure failure);  // "malformed_token", … : the word in events, logs and metrics

inline constexpr std::size_t kMaxTokenBytes = 8192;
inline constexpr std::size_t kMaxApiKeyBytes = 512;
inline constexpr std::size_t kMaxRoles = 16;  // further roles, and those longer than 64 bytes, are left out

struct Identity {
    std::string user;  // empty: anonymous. The verified claim or the API key's owner, one name space
    AuthMethod method = AuthMethod::kNone;
    std::vector<std::string> roles;
    std::optional<AuthFailure>
        failure;  // set only on an anonymous identity: a credential was presented and is void

    bool authenticated() const { return method != AuthMethod::kNone; }
    bool operator==(const Identity&) const = default;
};

}  // namespace sluice
