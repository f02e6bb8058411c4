#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/identity/verifier_fixture.hpp"

namespace sluice {
namespace {

using testing::HasSubstr;

std::string refusal(const Json& key, std::vector<JwtAlgorithm> algorithms) {
    IdentityPolicy policy;
    policy.jwt.emplace();
    policy.jwt->algorithms = std::move(algorithms);
    policy.jwt->keys_json = Json{{"keys", key.is_array() ? key : Json::array({key})}}.dump();
    const auto verifier = IdentityVerifier::create(policy);
    return verifier ? "" : verifier.error().message;
}

TEST(Jwks, KeysThatMayNotBeUsedAreNamed) {
    EXPECT_THAT(refusal(TestKey(JwtAlgorithm::kRs256, "old", 1024).jwk(), {JwtAlgorithm::kRs256}),
                HasSubstr("JWKS key 1 (kid \"old\"): 1024 bits; RSA keys need 2048 or more"));
    EXPECT_THAT(refusal(ec().private_jwk(), {JwtAlgorithm::kEs256}), HasSubstr("holds a private key"));
    EXPECT_THAT(refusal({{"kty", "oct"}, {"k", "c2hvcnQ"}}, {JwtAlgorithm::kHs256}),
                HasSubstr("32 bytes or more"));
    EXPECT_THAT(refusal({{"kty", "RSA"}, {"n", "AQAB"}}, {JwtAlgorithm::kRs256}),
                HasSubstr("JWKS key 1: a member is missing"));
    EXPECT_NE(refusal({{"kty", "EC"},
                       {"crv", "P-256"},
                       {"x", encode_base64url(std::string(32, 'x'))},
                       {"y", encode_base64url(std::string(32, 'y'))}},
                      {JwtAlgorithm::kEs256}),
              "")
        << "not a point of the curve";
    EXPECT_THAT(refusal(Json::array({ed().jwk(), ed().jwk()}), {JwtAlgorithm::kEdDsa}),
                HasSubstr("another key has the same kid"));
}

TEST(Jwks, KeysForOtherPurposesAreLeftOut) {
    const auto outcome_with = [](Json key) {
        IdentityPolicy policy;
        policy.jwt.emplace();
        policy.jwt->algorithms = {JwtAlgorithm::kEdDsa};
        policy.jwt->keys_json = Json{{"keys", {std::move(key)}}}.dump();
        const auto verifier = IdentityVerifier::create(policy);
        EXPECT_TRUE(verifier) << verifier.error().message;
        return outcome(verify(**verifier, ed().token(claims())));
    };
    Json key = ed().jwk();
    EXPECT_EQ(outcome_with(key), "alice");
    key["use"] = "enc";
    EXPECT_EQ(outcome_with(key), "unknown_key");
    key["use"] = "sig";
    EXPECT_EQ(outcome_with(key), "alice");
    key["alg"] = "ES256";
    EXPECT_EQ(outcome_with(key), "unknown_key");
    key["alg"] = "EdDSA";
    key["key_ops"] = Json::array({"encrypt"});
    EXPECT_EQ(outcome_with(key), "unknown_key");
    key["key_ops"] = Json::array({"verify"});
    key["x5u"] = "http://127.0.0.1:9/";
    EXPECT_EQ(outcome_with(key), "alice");
    EXPECT_EQ(outcome_with({{"kty", "EC"}, {"crv", "P-521"}}), "unknown_key");
}

}  // namespace
}  // namespace sluice
