#include "identity/verifier.hpp"

#include <gtest/gtest.h>
#include <rhonabwy.h>

#include <atomic>
#include <thread>

#include "policy/sha256.hpp"
#include "unit/identity/verifier_fixture.hpp"

namespace sluice {
namespace {

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

}  // namespace
}  // namespace sluice
