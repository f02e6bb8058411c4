#include "identity/verifier.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <variant>
#include <vector>

#include "identity/jwt.hpp"
#include "identity/token_cache.hpp"
#include "identity/verification_key.hpp"
#include "policy/sha256.hpp"
#include "policy/words.hpp"

namespace sluice {
namespace {

Identity refused(AuthFailure failure) {
    Identity identity;
    identity.failure = failure;
    return identity;
}

// The credentials of scheme Bearer (RFC 6750 section 2.1); nullopt: another scheme.
std::optional<std::string_view> bearer_token(std::string_view authorization) {
    static constexpr std::string_view kScheme = "bearer";
    const auto is_same = [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? static_cast<char>(a + 32) : a) == b;
    };
    const auto scheme = authorization.substr(0, authorization.find(' '));
    if (!std::ranges::equal(scheme, kScheme, is_same)) return std::nullopt;
    authorization.remove_prefix(scheme.size());
    authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
    return authorization;
}

}  // namespace

struct IdentityVerifier::Parts {
    std::optional<JwtPolicy> jwt;
    std::vector<VerificationKey> keys;
    bool takes_api_keys = false;
    std::string api_key_header;
    std::unordered_map<std::string, std::string> user_of;  // by the key's SHA-256, hexadecimal
    TokenCache cache;

    // The key the header asks for: by kid, which must exist; without one, only if a single key fits the
    // algorithm, so that a token costs one signature check however many keys there are.
    std::variant<const VerificationKey*, AuthFailure> find_key(const JwtParts& parts) const {
        const auto algorithm = value_of(kJwtAlgorithms, parts.algorithm);
        if (!algorithm || std::ranges::find(jwt->algorithms, *algorithm) == jwt->algorithms.end())
            return AuthFailure::kAlgorithmNotAllowed;
        const VerificationKey* found = nullptr;
        bool kid_of_another_algorithm = false;
        for (const VerificationKey& key : keys) {
            if (parts.kid && (key.kid.empty() || key.kid != *parts.kid)) continue;
            if (key.algorithm != *algorithm) {
                kid_of_another_algorithm |= parts.kid.has_value();
                continue;
            }
            if (found != nullptr) return AuthFailure::kUnknownKey;
            found = &key;
        }
        if (found != nullptr) return found;
        return kid_of_another_algorithm ? AuthFailure::kAlgorithmNotAllowed : AuthFailure::kUnknownKey;
    }

    Identity verify_token(std::string_view token, std::int64_t now) {
        if (token.size() > kMaxTokenBytes) return refused(AuthFailure::kTokenTooLarge);
        const Sha256 digest = sha256(token);
        if (const auto known = cache.find(digest, now)) return *known;

        const auto split = split_jwt(token);
        if (const auto* failure = std::get_if<AuthFailure>(&split)) return refused(*failure);
        const auto& parts = std::get<JwtParts>(split);
        const auto key = find_key(parts);
        if (const auto* failure = std::get_if<AuthFailure>(&key)) return refused(*failure);
        if (!is_signature(*std::get<const VerificationKey*>(key), parts.signing_input, parts.signature))
            return refused(AuthFailure::kBadSignature);
        const auto claims = decode_json_object(parts.payload);
        if (!claims) return refused(AuthFailure::kMalformedToken);
        auto verdict = judge_claims(*claims, *jwt, now);
        if (const auto* failure = std::get_if<AuthFailure>(&verdict)) return refused(*failure);
        auto& [identity, from, until] = std::get<ClaimsVerdict>(verdict);
        cache.insert(digest, std::make_shared<const Identity>(identity), from, until);
        return std::move(identity);
    }

    // By digest: what the look-up's time could tell is a digest, from which no key follows.
    Identity verify_api_key(std::string_view key) const {
        const auto found = key.size() <= kMaxApiKeyBytes ? user_of.find(sha256_hex(key)) : user_of.end();
        if (found == user_of.end()) return refused(AuthFailure::kUnknownApiKey);
        Identity identity;
        identity.user = found->second;
        identity.method = AuthMethod::kApiKey;
        return identity;
    }
};

Result<std::shared_ptr<const IdentityVerifier>> IdentityVerifier::create(const IdentityPolicy& policy) {
    auto parts = std::make_unique<Parts>();
    if (policy.jwt) {
        auto keys = read_jwks(policy.jwt->keys_json, policy.jwt->algorithms);
        if (!keys) return keys.error();
        parts->keys = std::move(*keys);
        parts->jwt = policy.jwt;
        parts->jwt->keys_json.clear();  // secrets are in keys, once
    }
    if (policy.api_keys) {
        parts->takes_api_keys = true;
        parts->api_key_header = policy.api_keys->header;
        for (const ApiKey& key : policy.api_keys->keys) parts->user_of.emplace(key.sha256_hex, key.user);
    }
    return std::shared_ptr<const IdentityVerifier>{new IdentityVerifier{std::move(parts)}};
}

IdentityVerifier::IdentityVerifier(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
IdentityVerifier::~IdentityVerifier() = default;

Identity IdentityVerifier::verify(const Credentials& credentials, std::int64_t now) const {
    if (parts_->jwt)
        if (const auto token = bearer_token(credentials.authorization))
            return parts_->verify_token(*token, now);
    if (parts_->takes_api_keys && !credentials.api_key.empty())
        return parts_->verify_api_key(credentials.api_key);
    return {};
}

std::string_view IdentityVerifier::api_key_header() const {
    return parts_->api_key_header;
}

}  // namespace sluice
