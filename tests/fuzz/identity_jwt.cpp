// A token of any bytes never becomes a user: the verifier's keys sign nothing here. And what the strict
// decoder takes apart holds together.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "identity/jwt.hpp"
#include "identity/verifier.hpp"

namespace {

// Public parts only, and a secret nobody signs with; the keys are those of RFC 7515 appendix A and RFC 8037
// appendix A.
constexpr std::string_view kKeys = R"({"keys":[
 {"kty":"RSA","kid":"r","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"},
 {"kty":"EC","kid":"e","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
 {"kty":"OKP","kid":"o","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
 {"kty":"oct","kid":"h","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]})";

std::shared_ptr<const sluice::IdentityVerifier> make_verifier() {
    sluice::IdentityPolicy policy;
    policy.jwt.emplace();
    policy.jwt->keys_json = kKeys;
    policy.jwt->algorithms = {sluice::JwtAlgorithm::kHs256, sluice::JwtAlgorithm::kRs256,
                              sluice::JwtAlgorithm::kEs256, sluice::JwtAlgorithm::kEdDsa};
    return sluice::IdentityVerifier::create(policy).value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const auto verifier = make_verifier();
    const std::string_view token{reinterpret_cast<const char*>(data), size};
    const std::string authorization = "Bearer " + std::string{token};
    const sluice::Identity identity = verifier->verify({authorization, {}}, 1'300'819'000);
    if (identity.authenticated() || !identity.failure) std::abort();

    // Past the signature: the claims of any payload.
    if (const auto claims = sluice::decode_json_object(token)) {
        const auto verdict = sluice::judge_claims(*claims, sluice::JwtPolicy{}, 1'300'819'000);
        if (const auto* valid = std::get_if<sluice::ClaimsVerdict>(&verdict))
            if (!sluice::is_valid_user(valid->identity.user) || valid->until <= 1'300'819'000) std::abort();
    }
    const auto split = sluice::split_jwt(token);
    if (const auto* parts = std::get_if<sluice::JwtParts>(&split))
        if (parts->signing_input.size() + 1 > token.size()) std::abort();
    return 0;
}
