// Keys made for tests, and tokens signed with them: any header and any claims, so that forgeries can be built
// as well.
#pragma once

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "policy/policy.hpp"
#include "policy/words.hpp"

namespace sluice {

inline std::string encode_base64url(std::string_view bytes) {
    static constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::string text;
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const char c : bytes) {
        bits = (bits << 8) | static_cast<unsigned char>(c);
        for (count += 8; count >= 6; count -= 6) text += kDigits[(bits >> (count - 6)) & 63];
    }
    if (count > 0) text += kDigits[(bits << (6 - count)) & 63];
    return text;
}

class TestKey {
  public:
    // Made anew. bits: of RSA only.
    explicit TestKey(JwtAlgorithm algorithm, std::string kid = {}, unsigned bits = 2048)
        : algorithm_(algorithm), kid_(std::move(kid)) {
        switch (algorithm) {
            case JwtAlgorithm::kHs256:
                secret_ = "0123456789abcdef0123456789abcdef" + kid_;
                return;
            case JwtAlgorithm::kRs256:
                evp_.reset(EVP_RSA_gen(bits));
                public_jwk_ = {{"kty", "RSA"},
                               {"n", number(OSSL_PKEY_PARAM_RSA_N)},
                               {"e", number(OSSL_PKEY_PARAM_RSA_E)}};
                break;
            case JwtAlgorithm::kEs256:
                evp_.reset(EVP_EC_gen("P-256"));
                public_jwk_ = {{"kty", "EC"},
                               {"crv", "P-256"},
                               {"x", number(OSSL_PKEY_PARAM_EC_PUB_X, 32)},
                               {"y", number(OSSL_PKEY_PARAM_EC_PUB_Y, 32)}};
                private_jwk_ = public_jwk_;
                private_jwk_["d"] = number(OSSL_PKEY_PARAM_PRIV_KEY, 32);
                break;
            case JwtAlgorithm::kEdDsa: {
                evp_.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
                std::string point(32, '\0');
                std::size_t length = point.size();
                EVP_PKEY_get_raw_public_key(evp_.get(), reinterpret_cast<unsigned char*>(point.data()),
                                            &length);
                public_jwk_ = {{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", encode_base64url(point)}};
                break;
            }
        }
    }

    // As it stands in a JWKS: the public half, or the secret.
    nlohmann::json jwk() const {
        nlohmann::json key = algorithm_ == JwtAlgorithm::kHs256
                                 ? nlohmann::json{{"kty", "oct"}, {"k", encode_base64url(secret_)}}
                                 : public_jwk_;
        key.erase("kid");
        if (!kid_.empty()) key["kid"] = kid_;
        return key;
    }
    // Of ES256.
    const nlohmann::json& private_jwk() const { return private_jwk_; }
    JwtAlgorithm algorithm() const { return algorithm_; }

    // SubjectPublicKeyInfo, as an attacker has it: DER, and PEM as `openssl rsa -pubout` writes it.
    std::string public_der() const {
        unsigned char* der = nullptr;
        const int length = i2d_PUBKEY(evp_.get(), &der);
        std::string text{reinterpret_cast<char*>(der), static_cast<std::size_t>(length)};
        OPENSSL_free(der);
        return text;
    }
    std::string public_pem() const {
        const std::string der = public_der();
        std::string base64(der.size() * 2, '\0');
        base64.resize(static_cast<std::size_t>(EVP_EncodeBlock(
            reinterpret_cast<unsigned char*>(base64.data()),
            reinterpret_cast<const unsigned char*>(der.data()), static_cast<int>(der.size()))));
        std::string pem = "-----BEGIN PUBLIC KEY-----\n";
        for (std::size_t i = 0; i < base64.size(); i += 64) pem += base64.substr(i, 64) + "\n";
        return pem + "-----END PUBLIC KEY-----\n";
    }

    std::string sign(std::string_view input) const {
        if (algorithm_ == JwtAlgorithm::kHs256) return hmac(secret_, input);
        const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(),
                                                                              EVP_MD_CTX_free};
        const auto* bytes = reinterpret_cast<const unsigned char*>(input.data());
        std::size_t length = 1024;
        std::string signature(length, '\0');
        EVP_DigestSignInit(context.get(), nullptr,
                           algorithm_ == JwtAlgorithm::kEdDsa ? nullptr : EVP_sha256(), nullptr, evp_.get());
        EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length, bytes,
                       input.size());
        signature.resize(length);
        return algorithm_ == JwtAlgorithm::kEs256 ? raw_ecdsa(signature) : signature;
    }
    static std::string hmac(std::string_view secret, std::string_view input) {
        unsigned char code[32];
        HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
             reinterpret_cast<const unsigned char*>(input.data()), input.size(), code, nullptr);
        return {reinterpret_cast<char*>(code), sizeof code};
    }

    std::string token(const std::string& header, const std::string& claims) const {
        const std::string input = encode_base64url(header) + "." + encode_base64url(claims);
        return input + "." + encode_base64url(sign(input));
    }
    // With the header that belongs to the key.
    std::string token(const nlohmann::json& claims) const {
        nlohmann::json header{{"alg", to_string(algorithm_)}, {"typ", "JWT"}};
        if (!kid_.empty()) header["kid"] = kid_;
        return token(header.dump(), claims.dump());
    }

  private:
    struct Deleter {
        void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    };
    // A number of the key, big-endian, as wide as it is or as told.
    std::string number(const char* name, int bytes = 0) const {
        BIGNUM* value = nullptr;
        if (EVP_PKEY_get_bn_param(evp_.get(), name, &value) != 1) throw std::runtime_error(name);
        std::string text(static_cast<std::size_t>(bytes == 0 ? BN_num_bytes(value) : bytes), '\0');
        BN_bn2binpad(value, reinterpret_cast<unsigned char*>(text.data()), static_cast<int>(text.size()));
        BN_free(value);
        return encode_base64url(text);
    }
    static std::string raw_ecdsa(std::string_view der) {
        const auto* cursor = reinterpret_cast<const unsigned char*>(der.data());
        ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &cursor, static_cast<long>(der.size()));
        std::string raw(64, '\0');
        auto* out = reinterpret_cast<unsigned char*>(raw.data());
        BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, 32);
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + 32, 32);
        ECDSA_SIG_free(pair);
        return raw;
    }

    JwtAlgorithm algorithm_;
    std::string kid_;
    std::string secret_;
    nlohmann::json public_jwk_;
    nlohmann::json private_jwk_;
    std::unique_ptr<EVP_PKEY, Deleter> evp_;
};

}  // namespace sluice
