// Signatures of JWS (RFC 7518 section 3, RFC 8037 section 3.1). rhonabwy reads the keys; the checks are
// OpenSSL's own, which keeps clients' bytes away from a second JSON parser and costs less (measured on the
// lab machine: ES256 66 µs against 179, RS256 23 against 45, EdDSA 108 against 124).
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>

#include <array>

#include "identity/verification_key.hpp"

namespace sluice {
namespace {

const unsigned char* bytes(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

constexpr std::size_t kScalarBytes = 32;  // of P-256
constexpr std::size_t kMaxEcdsaDerBytes = 72;

bool is_hmac(std::string_view secret, std::string_view input, std::string_view signature) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> code{};
    unsigned length = 0;
    if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), bytes(input), input.size(),
             code.data(), &length) == nullptr)
        return false;
    return signature.size() == length && CRYPTO_memcmp(code.data(), signature.data(), length) == 0;
}

bool is_public_key_signature(EVP_PKEY* key, const EVP_MD* digest, std::string_view input,
                             const unsigned char* signature, std::size_t length) {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), EVP_MD_CTX_free};
    return context && EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key) == 1 &&
           EVP_DigestVerify(context.get(), signature, length, bytes(input), input.size()) == 1;
}

// JWS writes r and s one after the other; OpenSSL reads DER.
bool is_ecdsa(EVP_PKEY* key, std::string_view input, std::string_view signature) {
    if (signature.size() != 2 * kScalarBytes) return false;
    const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> pair{ECDSA_SIG_new(), ECDSA_SIG_free};
    BIGNUM* const r = BN_bin2bn(bytes(signature), kScalarBytes, nullptr);
    BIGNUM* const s = BN_bin2bn(bytes(signature) + kScalarBytes, kScalarBytes, nullptr);
    if (!pair || r == nullptr || s == nullptr || ECDSA_SIG_set0(pair.get(), r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return false;
    }
    std::array<unsigned char, kMaxEcdsaDerBytes> der{};
    unsigned char* end = der.data();
    const int length = i2d_ECDSA_SIG(pair.get(), &end);
    return length > 0 &&
           is_public_key_signature(key, EVP_sha256(), input, der.data(), static_cast<std::size_t>(length));
}

}  // namespace

bool is_signature(const VerificationKey& key, std::string_view input, std::string_view signature) {
    switch (key.algorithm) {
        case JwtAlgorithm::kHs256:
            return is_hmac(key.secret, input, signature);
        case JwtAlgorithm::kRs256:
            return is_public_key_signature(key.public_key.get(), EVP_sha256(), input, bytes(signature),
                                           signature.size());
        case JwtAlgorithm::kEs256:
            return is_ecdsa(key.public_key.get(), input, signature);
        case JwtAlgorithm::kEdDsa:
            return is_public_key_signature(key.public_key.get(), nullptr, input, bytes(signature),
                                           signature.size());
    }
    return false;
}

}  // namespace sluice
