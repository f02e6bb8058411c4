// Who and when a token says, and whether that holds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/identity/verifier_fixture.hpp"

namespace sluice {
namespace {

TEST(Claims, TimesToTheSecond) {
    JwtPolicy policy = policy_with({&ed()});
    policy.leeway = 30 * kSecond;
    const auto verifier = verifier_of(policy);
    const auto at = [&](const Json& token_claims, std::int64_t now) {
        return outcome(verify(*verifier, ed().token(token_claims), now));
    };
    EXPECT_EQ(at(claims_with("exp", kNow), kNow + 29), "alice");
    EXPECT_EQ(at(claims_with("exp", kNow), kNow + 30), "expired");
    EXPECT_EQ(at(claims_with("exp", kNow + 0.9), kNow + 30), "expired");
    EXPECT_EQ(at(claims_with("nbf", kNow), kNow - 31), "not_yet_valid");
    EXPECT_EQ(at(claims_with("nbf", kNow), kNow - 30), "alice");
    EXPECT_EQ(at(claims_with("nbf", kNow + 100), kNow + 69), "not_yet_valid");
    EXPECT_EQ(at(claims_with("nbf", kNow + 100), kNow + 70), "alice");
    EXPECT_EQ(at(claims_with("iat", kNow + 31), kNow), "not_yet_valid");
    EXPECT_EQ(at(claims_with("iat", kNow + 30), kNow), "alice");
    EXPECT_EQ(at(claims_without("exp"), kNow), "missing_expiry");
    EXPECT_EQ(at(claims_without("iat"), kNow), "alice");

    policy.leeway = 0;
    const auto strict = verifier_of(policy);
    EXPECT_EQ(outcome(verify(*strict, ed().token(claims_with("exp", kNow)), kNow - 1)), "alice");
    EXPECT_EQ(outcome(verify(*strict, ed().token(claims_with("exp", kNow)), kNow)), "expired");
}

TEST(Claims, DatesMustBeSensibleNumbers) {
    for (const Json& value : {Json("1800000600"), Json(true), Json(nullptr), Json(-1), Json(1e300),
                              Json(1ULL << 63), Json::array({1})}) {
        EXPECT_EQ(outcome(ed().token(claims_with("exp", value))), "malformed_token") << value;
        EXPECT_EQ(outcome(ed().token(claims_with("nbf", value))), "malformed_token") << value;
    }
    EXPECT_EQ(outcome(ed().token(R"({"alg":"EdDSA","kid":"ed-1"})", R"({"sub":"alice","exp":1e999})")),
              "malformed_token");
}

TEST(Claims, IssuerAndAudience) {
    EXPECT_EQ(outcome(ed().token(claims_with("iss", "https://issuer.example/"))), "wrong_issuer");
    EXPECT_EQ(outcome(ed().token(claims_with("iss", Json::array({"https://issuer.example"})))),
              "wrong_issuer");
    EXPECT_EQ(outcome(ed().token(claims_without("iss"))), "wrong_issuer");
    EXPECT_EQ(outcome(ed().token(claims_with("aud", "API"))), "wrong_audience");
    EXPECT_EQ(outcome(ed().token(claims_without("aud"))), "wrong_audience");
    EXPECT_EQ(outcome(ed().token(claims_with("aud", Json::array()))), "wrong_audience");
    EXPECT_EQ(outcome(ed().token(claims_with("aud", Json{{"api", true}}))), "wrong_audience");
    EXPECT_EQ(outcome(ed().token(claims_with("aud", Json::array({"other", 7, "api"})))), "alice");

    JwtPolicy any = policy_with({&ed()});
    any.issuer.reset();
    any.audience.reset();
    EXPECT_EQ(outcome(verify(*verifier_of(any), ed().token(Json{{"sub", "alice"}, {"exp", kNow + 1}}))),
              "alice");
}

TEST(Claims, TheUserIsOneCleanString) {
    EXPECT_EQ(outcome(ed().token(claims_without("sub"))), "missing_subject");
    for (const Json& value : {Json(""), Json(7), Json(nullptr), Json::array({"alice"}), Json("a\nb"),
                              Json(std::string(1, '\0')), Json("\x7f"), Json(std::string(257, 'a'))})
        EXPECT_EQ(outcome(ed().token(claims_with("sub", value))), "invalid_subject") << value;
    EXPECT_EQ(outcome(ed().token(claims_with("sub", std::string(256, 'a')))), std::string(256, 'a'));
    EXPECT_EQ(outcome(ed().token(claims_with("sub", "auth0|zoë"))), "auth0|zoë");
    JwtPolicy policy = policy_with({&ed()});
    policy.user_claim = "email";
    EXPECT_EQ(outcome(verify(*verifier_of(policy), ed().token(claims_with("email", "a@example.com")))),
              "a@example.com");
}

TEST(Claims, RolesAreAListOrWords) {
    const auto roles = [](Json value) {
        return verify(*all_keys(), ed().token(claims_with("roles", std::move(value)))).roles;
    };
    EXPECT_THAT(roles(Json::array({"admin", 7, "", "user", "a\nb", std::string(65, 'x')})),
                testing::ElementsAre("admin", "user"));
    EXPECT_THAT(roles("read  write"), testing::ElementsAre("read", "write"));
    EXPECT_THAT(roles(7), testing::IsEmpty());
    EXPECT_EQ(roles(Json(std::vector<std::string>(50, "r"))).size(), kMaxRoles);
}

TEST(Claims, WhatWasProvenExpiresAllTheSame) {
    const std::string token = ed().token(claims_with("exp", kNow + 100));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(outcome(token, kNow), "alice");
    EXPECT_EQ(outcome(token, kNow + 129), "alice");
    EXPECT_EQ(outcome(token, kNow + 130), "expired");
    EXPECT_EQ(outcome(token, kNow - 3600), "not_yet_valid");
    const std::string later = ed().token(claims_with("nbf", kNow + 100));
    EXPECT_EQ(outcome(later, kNow), "not_yet_valid");
    EXPECT_EQ(outcome(later, kNow + 100), "alice");
}

}  // namespace
}  // namespace sluice
