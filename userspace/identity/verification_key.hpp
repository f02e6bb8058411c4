// The keys of a JWKS, each bound to the one algorithm it may verify, and the check of a signature with one.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "policy/policy.hpp"

namespace sluice {

struct EvpKeyDeleter {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

struct VerificationKey {
    std::string kid;  // empty: the key has none
    JwtAlgorithm algorithm = JwtAlgorithm::kRs256;
    std::unique_ptr<EVP_PKEY, EvpKeyDeleter> public_key;  // of the asymmetric ones
    std::string secret;                                   // of HS256
};

// The keys of a JWKS (RFC 7517) that verify one of `algorithms`: RSA from 2048 bits for RS256, P-256 for
// ES256, Ed25519 for EdDSA, secrets from 256 bits for HS256. Keys of another kind, algorithm or use are left
// out. An error names the key: one that is malformed, too weak, holds a private half, or shares its kid and
// algorithm with another. Nothing is ever fetched: x5u and the like are not followed.
Result<std::vector<VerificationKey>> read_jwks(std::string_view json,
                                               const std::vector<JwtAlgorithm>& algorithms);

// Whether `signature` is the key's over `input`. Any thread; the key is not changed.
bool is_signature(const VerificationKey& key, std::string_view input, std::string_view signature);

}  // namespace sluice
