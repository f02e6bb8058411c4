// Keys of each algorithm, verifiers that know them, and what a token comes to.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "identity/verifier.hpp"
#include "unit/identity/test_key.hpp"

namespace sluice {

using Json = nlohmann::json;

inline constexpr std::int64_t kNow = 1'800'000'000;

// Made once: an RSA key takes a while.
inline const TestKey& rsa() {
    static const TestKey key{JwtAlgorithm::kRs256, "rsa-1"};
    return key;
}
inline const TestKey& ec() {
    static const TestKey key{JwtAlgorithm::kEs256, "ec-1"};
    return key;
}
inline const TestKey& ed() {
    static const TestKey key{JwtAlgorithm::kEdDsa, "ed-1"};
    return key;
}
inline const TestKey& hmac() {
    static const TestKey key{JwtAlgorithm::kHs256, "hs-1"};
    return key;
}

inline JwtPolicy policy_with(const std::vector<const TestKey*>& keys) {
    Json set{{"keys", Json::array()}};
    JwtPolicy policy;
    for (const TestKey* key : keys) {
        set["keys"].push_back(key->jwk());
        if (std::ranges::find(policy.algorithms, key->algorithm()) == policy.algorithms.end())
            policy.algorithms.push_back(key->algorithm());
    }
    policy.keys_json = set.dump();
    policy.issuer = "https://issuer.example";
    policy.audience = "api";
    return policy;
}

inline std::shared_ptr<const IdentityVerifier> verifier_of(JwtPolicy policy) {
    IdentityPolicy identity;
    identity.jwt = std::move(policy);
    auto verifier = IdentityVerifier::create(identity);
    EXPECT_TRUE(verifier) << verifier.error().message;
    return *verifier;
}

inline const std::shared_ptr<const IdentityVerifier>& all_keys() {
    static const auto verifier = verifier_of(policy_with({&rsa(), &ec(), &ed(), &hmac()}));
    return verifier;
}

inline Json claims() {
    return {{"sub", "alice"},
            {"iss", "https://issuer.example"},
            {"aud", "api"},
            {"exp", kNow + 600},
            {"iat", kNow - 10}};
}
inline Json claims_with(const char* name, Json value) {
    Json result = claims();
    result[name] = std::move(value);
    return result;
}
inline Json claims_without(const char* name) {
    Json result = claims();
    result.erase(name);
    return result;
}

inline Identity verify(const IdentityVerifier& verifier, const std::string& token, std::int64_t now = kNow) {
    const std::string authorization = "Bearer " + token;
    return verifier.verify({authorization, {}}, now);
}

// "alice", or the word of the failure. An identity has a user or a failure, never both.
inline std::string outcome(const Identity& identity) {
    EXPECT_EQ(identity.authenticated(), !identity.user.empty());
    if (!identity.failure) return identity.user;
    EXPECT_FALSE(identity.authenticated());
    EXPECT_TRUE(identity.roles.empty());
    return std::string{to_string(*identity.failure)};
}
inline std::string outcome(const std::string& token, std::int64_t now = kNow) {
    return outcome(verify(*all_keys(), token, now));
}

}  // namespace sluice
