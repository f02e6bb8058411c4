#include "identity/verifier.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rhonabwy.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "policy/sha256.hpp"
#include "unit/identity/test_key.hpp"

namespace sluice {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

constexpr std::int64_t kNow = 1'800'000'000;

// Made once: an RSA key takes a while.
const TestKey& rsa() {
    static const TestKey key{JwtAlgorithm::kRs256, "rsa-1"};
    return key;
}
const TestKey& ec() {
    static const TestKey key{JwtAlgorithm::kEs256, "ec-1"};
    return key;
}
const TestKey& ed() {
    static const TestKey key{JwtAlgorithm::kEdDsa, "ed-1"};
    return key;
}
const TestKey& hmac() {
    static const TestKey key{JwtAlgorithm::kHs256, "hs-1"};
    return key;
}

JwtPolicy policy_with(const std::vector<const TestKey*>& keys) {
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

std::shared_ptr<const IdentityVerifier> verifier_of(JwtPolicy policy) {
    IdentityPolicy identity;
    identity.jwt = std::move(policy);
    auto verifier = IdentityVerifier::create(identity);
    EXPECT_TRUE(verifier) << verifier.error().message;
    return *verifier;
}

const std::shared_ptr<const IdentityVerifier>& all_keys() {
    static const auto verifier = verifier_of(policy_with({&rsa(), &ec(), &ed(), &hmac()}));
    return verifier;
}

Json claims() {
    return {{"sub", "alice"},
            {"iss", "https://issuer.example"},
            {"aud", "api"},
            {"exp", kNow + 600},
            {"iat", kNow - 10}};
}
Json claims_with(const char* name, Json value) {
    Json result = claims();
    result[name] = std::move(value);
    return result;
}
Json claims_without(const char* name) {
    Json result = claims();
    result.erase(name);
    return result;
}

Identity verify(const IdentityVerifier& verifier, const std::string& token, std::int64_t now = kNow) {
    const std::string authorization = "Bearer " + token;
    return verifier.verify({authorization, {}}, now);
}

// "alice", or the word of the failure. An identity has a user or a failure, never both.
std::string outcome(const Identity& identity) {
    EXPECT_EQ(identity.authenticated(), !identity.user.empty());
    if (!identity.failure) return identity.user;
    EXPECT_FALSE(identity.authenticated());
    EXPECT_TRUE(identity.roles.empty());
    return std::string{to_string(*identity.failure)};
}
std::string outcome(const std::string& token, std::int64_t now = kNow) {
    return outcome(verify(*all_keys(), token, now));
}

TEST(Verifier, EveryAlgorithm) {
    for (const TestKey* key : {&rsa(), &ec(), &ed(), &hmac()}) {
        const Identity identity = verify(*all_keys(), key->token(claims()));
        EXPECT_EQ(outcome(identity), "alice") << to_string(key->algorithm());
        EXPECT_EQ(identity.method, AuthMethod::kJwt);
    }
}

TEST(Verifier, TokensOfRhonabwyItselfAreTaken) {
    jwk_t* key = nullptr;
    r_jwk_init(&key);
    ASSERT_EQ(r_jwk_import_from_json_str(key, ec().private_jwk().dump().c_str()), RHN_OK);
    jwt_t* jwt = nullptr;
    r_jwt_init(&jwt);
    r_jwt_set_sign_alg(jwt, R_JWA_ALG_ES256);
    r_jwt_set_header_str_value(jwt, "kid", "ec-1");
    r_jwt_set_full_claims_json_str(jwt, claims().dump().c_str());
    char* token = r_jwt_serialize_signed(jwt, key, 0);
    EXPECT_EQ(outcome(token), "alice");
    r_free(token);
    r_jwt_free(jwt);
    r_jwk_free(key);
}

TEST(Verifier, ABitChangedAnywhereIsRefused) {
    for (const TestKey* key : {&rsa(), &ec(), &ed(), &hmac()}) {
        const std::string token = key->token(claims());
        for (std::size_t i = 0; i < token.size(); i += 7) {
            std::string forged = token;
            forged[i] = forged[i] == 'A' ? 'B' : 'A';
            if (forged != token) {
                EXPECT_NE(outcome(forged), "alice") << i;
            }
        }
    }
}

TEST(Verifier, PartsOfTwoTokensDoNotMix) {
    const std::string alice = rsa().token(claims());
    const std::string bob = rsa().token(claims_with("sub", "bob"));
    const auto signature = [](const std::string& token) { return token.substr(token.rfind('.')); };
    EXPECT_EQ(outcome(alice.substr(0, alice.rfind('.')) + signature(bob)), "bad_signature");
    EXPECT_EQ(outcome(rsa().token(R"({"alg":"ES256","kid":"ec-1"})", claims().dump())), "bad_signature");
}

TEST(Verifier, AlgNoneInEverySpelling) {
    for (const auto* alg :
         {"none", "None", "NONE", "nOnE", "", "HS512", "RS512", "PS256", "hs256", "RS256 ", "ES256K"}) {
        const std::string header = Json{{"alg", alg}, {"kid", "rsa-1"}}.dump();
        const std::string input = encode_base64url(header) + "." + encode_base64url(claims().dump());
        EXPECT_EQ(outcome(input + "."), "algorithm_not_allowed") << alg;
        EXPECT_EQ(outcome(rsa().token(header, claims().dump())), "algorithm_not_allowed") << alg;
    }
    EXPECT_EQ(outcome(rsa().token(R"({"kid":"rsa-1"})", claims().dump())), "malformed_token");
    EXPECT_EQ(outcome(rsa().token(R"({"alg":["RS256"],"kid":"rsa-1"})", claims().dump())), "malformed_token");
}

TEST(Verifier, APublicKeyIsNoSecret) {
    const auto rsa_only = verifier_of(policy_with({&rsa()}));
    JwtPolicy both = policy_with({&rsa()});
    both.algorithms.push_back(JwtAlgorithm::kHs256);
    const auto rsa_key_both_algorithms = verifier_of(both);
    for (const std::string& secret :
         {rsa().public_pem(), rsa().public_der(), rsa().jwk()["n"].get<std::string>(), rsa().jwk().dump()})
        for (const auto* header : {R"({"alg":"HS256","kid":"rsa-1"})", R"({"alg":"HS256"})"}) {
            const std::string input = encode_base64url(header) + "." + encode_base64url(claims().dump());
            const std::string token = input + "." + encode_base64url(TestKey::hmac(secret, input));
            for (const auto& verifier : {rsa_only, rsa_key_both_algorithms, all_keys()})
                EXPECT_NE(outcome(verify(*verifier, token)), "alice");
            EXPECT_EQ(outcome(verify(*rsa_only, token)), "algorithm_not_allowed");
        }
    EXPECT_EQ(outcome(TestKey{JwtAlgorithm::kHs256, "rsa-1"}.token(claims())), "algorithm_not_allowed")
        << "the kid's key is RSA";
}

TEST(Verifier, TheKeyIsTheOneThatIsNamed) {
    EXPECT_EQ(outcome(rsa().token(R"({"alg":"RS256","kid":"other"})", claims().dump())), "unknown_key");
    EXPECT_EQ(outcome(rsa().token(R"({"alg":"RS256","kid":""})", claims().dump())), "unknown_key");
    EXPECT_EQ(outcome(rsa().token(R"({"alg":"RS256","kid":"../../dev/null"})", claims().dump())),
              "unknown_key");
    EXPECT_EQ(outcome(rsa().token(R"({"alg":"RS256","kid":7})", claims().dump())), "malformed_token");
    EXPECT_EQ(outcome(rsa().token(R"({"alg":"RS256"})", claims().dump())), "alice") << "only one key fits";

    const TestKey first{JwtAlgorithm::kEdDsa, "a"};
    const TestKey second{JwtAlgorithm::kEdDsa, "b"};
    const auto two = verifier_of(policy_with({&first, &second}));
    EXPECT_EQ(outcome(verify(*two, first.token(claims()))), "alice");
    EXPECT_EQ(outcome(verify(*two, second.token(claims()))), "alice");
    EXPECT_EQ(outcome(verify(*two, first.token(R"({"alg":"EdDSA"})", claims().dump()))), "unknown_key")
        << "which of the two?";
    EXPECT_EQ(outcome(verify(*two, first.token(R"({"alg":"EdDSA","kid":"b"})", claims().dump()))),
              "bad_signature");

    const TestKey nameless{JwtAlgorithm::kEdDsa};
    EXPECT_EQ(outcome(verify(*verifier_of(policy_with({&nameless})),
                             nameless.token(R"({"alg":"EdDSA","kid":"x"})", claims().dump()))),
              "unknown_key");
}

TEST(Verifier, KeysInTheTokenAreNotLookedAt) {
    const TestKey attacker{JwtAlgorithm::kRs256};
    const Json header{{"alg", "RS256"},
                      {"kid", "rsa-1"},
                      {"jwk", attacker.jwk()},
                      {"jku", "http://127.0.0.1:9/"},
                      {"x5u", "http://127.0.0.1:9/"}};
    EXPECT_EQ(outcome(attacker.token(header.dump(), claims().dump())), "bad_signature");
    EXPECT_EQ(outcome(rsa().token(header.dump(), claims().dump())), "alice");
}

TEST(Verifier, ExtensionsThatMustBeUnderstoodAreRefused) {
    EXPECT_EQ(outcome(rsa().token(R"({"alg":"RS256","kid":"rsa-1","crit":["exp"]})", claims().dump())),
              "unsupported_header");
    EXPECT_EQ(outcome(rsa().token(R"({"alg":"RS256","kid":"rsa-1","b64":false})", claims().dump())),
              "unsupported_header");
}

TEST(Verifier, TimesToTheSecond) {
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

TEST(Verifier, DatesMustBeSensibleNumbers) {
    for (const Json& value : {Json("1800000600"), Json(true), Json(nullptr), Json(-1), Json(1e300),
                              Json(1ULL << 63), Json::array({1})}) {
        EXPECT_EQ(outcome(ed().token(claims_with("exp", value))), "malformed_token") << value;
        EXPECT_EQ(outcome(ed().token(claims_with("nbf", value))), "malformed_token") << value;
    }
    EXPECT_EQ(outcome(ed().token(R"({"alg":"EdDSA","kid":"ed-1"})", R"({"sub":"alice","exp":1e999})")),
              "malformed_token");
}

TEST(Verifier, IssuerAndAudience) {
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

TEST(Verifier, TheUserIsOneCleanString) {
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

TEST(Verifier, RolesAreAListOrWords) {
    const auto roles = [](Json value) {
        return verify(*all_keys(), ed().token(claims_with("roles", std::move(value)))).roles;
    };
    EXPECT_THAT(roles(Json::array({"admin", 7, "", "user", "a\nb", std::string(65, 'x')})),
                testing::ElementsAre("admin", "user"));
    EXPECT_THAT(roles("read  write"), testing::ElementsAre("read", "write"));
    EXPECT_THAT(roles(7), testing::IsEmpty());
    EXPECT_EQ(roles(Json(std::vector<std::string>(50, "r"))).size(), kMaxRoles);
}

TEST(Verifier, MembersThatAppearTwiceAreRefused) {
    const std::string header = R"({"alg":"EdDSA","kid":"ed-1"})";
    EXPECT_EQ(
        outcome(ed().token(
            header,
            R"({"sub":"alice","sub":"bob","exp":1800000600,"iss":"https://issuer.example","aud":"api"})")),
        "malformed_token");
    EXPECT_EQ(outcome(ed().token(header, R"({"sub":"alice","x":[{"a":1,"a":2}],"exp":1800000600})")),
              "malformed_token");
    EXPECT_EQ(outcome(ed().token(R"({"alg":"none","alg":"EdDSA","kid":"ed-1"})", claims().dump())),
              "malformed_token");
    EXPECT_EQ(outcome(ed().token(R"({"alg":"EdDSA","kid":"ed-1","kid":"x"})", claims().dump())),
              "malformed_token");
}

TEST(Verifier, FormsThatAreNotACompactToken) {
    const std::string token = ed().token(claims());
    const std::string part = encode_base64url("{}");
    for (const std::string& bad :
         {std::string{}, std::string{"a"}, std::string{".."}, std::string{"..."}, part + "." + part,
          token + ".", token + ".a", "." + token, token + "=", token + " ", " x" + token,
          token.substr(0, token.size() - 1) + "+", std::string{"{}.{}.{}"}, std::string(2, '\0'),
          token + "," + token, ed().token("[]", claims().dump()), ed().token("", claims().dump()),
          ed().token("{", claims().dump()), ed().token("\xff{}", claims().dump())})
        EXPECT_EQ(outcome(bad), "malformed_token") << bad;
    const std::string header = R"({"alg":"EdDSA","kid":"ed-1"})";
    for (const char* payload : {"", "[]", "7", "{", "{} {}", "{\"sub\":\"\xff\"}"})
        EXPECT_EQ(outcome(ed().token(header, payload)), "malformed_token");
    // Unused bits of the last character: another text for the same signature.
    std::string twin = token;
    const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    twin.back() = digits[digits.find(twin.back()) + 1];
    EXPECT_EQ(outcome(twin), "malformed_token");
}

TEST(Verifier, HugeAndDeepTokens) {
    EXPECT_EQ(outcome(std::string(kMaxTokenBytes + 1, 'a')), "token_too_large");
    EXPECT_EQ(outcome(ed().token(claims_with("x", std::string(kMaxTokenBytes, 'x')))), "token_too_large");
    const std::string deep = std::string(2500, '[') + std::string(2500, ']');
    EXPECT_EQ(outcome(ed().token(R"({"alg":"EdDSA","kid":"ed-1"})", "{\"x\":" + deep + "}")),
              "missing_expiry");
}

TEST(Verifier, WrongSizesOfSignatures) {
    for (const TestKey* key : {&rsa(), &ec(), &ed(), &hmac()}) {
        const std::string token = key->token(claims());
        const std::string input = token.substr(0, token.rfind('.'));
        const std::string signature = key->sign(input);
        for (const std::string& bad : {std::string{}, std::string(1, 'x'), signature.substr(1),
                                       signature + "x", std::string(64, '\0'), std::string(5000, 'x')})
            EXPECT_EQ(outcome(input + "." + encode_base64url(bad)), "bad_signature")
                << to_string(key->algorithm()) << bad.size();
    }
}

TEST(Verifier, SchemesOfAuthorization) {
    const std::string token = ed().token(claims());
    const auto with = [&](const std::string& value) {
        return outcome(all_keys()->verify({value, {}}, kNow));
    };
    EXPECT_EQ(with("bearer " + token), "alice");
    EXPECT_EQ(with("BEARER   " + token), "alice");
    EXPECT_EQ(with("Bearer"), "malformed_token");
    EXPECT_EQ(with("Bearer "), "malformed_token");
    EXPECT_EQ(with(""), "");
    EXPECT_EQ(with("Basic YTpi"), "") << "the application's own";
    EXPECT_EQ(with("Bearers " + token), "");
    EXPECT_EQ(with(token), "");
}

TEST(Verifier, ApiKeys) {
    IdentityPolicy policy;
    policy.api_keys =
        ApiKeyPolicy{"X-API-Key", "", {{sha256_hex("secret"), "bob"}, {sha256_hex("other"), "carol"}}};
    policy.jwt = policy_with({&ed()});
    const auto verifier = *IdentityVerifier::create(policy);
    EXPECT_EQ(verifier->api_key_header(), "X-API-Key");
    const auto with = [&](const std::string& authorization, const std::string& key) {
        return outcome(verifier->verify({authorization, key}, kNow));
    };
    EXPECT_EQ(with("", "secret"), "bob");
    EXPECT_EQ(with("", "Secret"), "unknown_api_key");
    EXPECT_EQ(with("", sha256_hex("secret")), "unknown_api_key") << "what is stored is no key";
    EXPECT_EQ(with("", std::string(kMaxApiKeyBytes + 1, 'x')), "unknown_api_key");
    EXPECT_EQ(with("Basic x", "secret"), "bob");
    // A token that is presented decides alone.
    EXPECT_EQ(with("Bearer " + ed().token(claims()), "secret"), "alice");
    EXPECT_EQ(with("Bearer x", "secret"), "malformed_token");
    EXPECT_EQ(verifier->verify({"", "secret"}, kNow).method, AuthMethod::kApiKey);
}

TEST(Verifier, WithoutIdentityEveryoneIsAnonymous) {
    const auto verifier = *IdentityVerifier::create({});
    EXPECT_EQ(verifier->verify({"Bearer x", "y"}, kNow), Identity{});
    EXPECT_EQ(verifier->api_key_header(), "");
}

TEST(Verifier, WhatWasProvenExpiresAllTheSame) {
    const std::string token = ed().token(claims_with("exp", kNow + 100));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(outcome(token, kNow), "alice");
    EXPECT_EQ(outcome(token, kNow + 129), "alice");
    EXPECT_EQ(outcome(token, kNow + 130), "expired");
    EXPECT_EQ(outcome(token, kNow - 3600), "not_yet_valid");
    const std::string later = ed().token(claims_with("nbf", kNow + 100));
    EXPECT_EQ(outcome(later, kNow), "not_yet_valid");
    EXPECT_EQ(outcome(later, kNow + 100), "alice");
}

TEST(Verifier, IsSharedBetweenThreads) {
    const auto verifier = verifier_of(policy_with({&rsa(), &ec(), &ed(), &hmac()}));
    std::vector<std::string> tokens;
    for (const TestKey* key : {&rsa(), &ec(), &ed(), &hmac()})
        for (int user = 0; user < 5; ++user)
            tokens.push_back(key->token(claims_with("sub", "user" + std::to_string(user))));
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int round = 0; round < 20; ++round)
                for (std::size_t i = 0; i < tokens.size(); ++i) {
                    wrong += verify(*verifier, tokens[i]).user != "user" + std::to_string(i % 5);
                    wrong += verify(*verifier, tokens[i] + "A").authenticated();
                }
        });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
}

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
