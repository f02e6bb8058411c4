#include <openssl/x509.h>
#include <rhonabwy.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "identity/base64url.hpp"
#include "identity/verification_key.hpp"
#include "policy/problem.hpp"
#include "policy/words.hpp"

namespace sluice {
namespace {

using Json = nlohmann::json;

constexpr unsigned kMinRsaBits = 2048;            // RFC 7518 section 3.3
constexpr std::size_t kMinSecretBytes = 32;       // RFC 7518 section 3.2
constexpr std::size_t kMaxPublicDerBytes = 4096;  // RSA of 16384 bits has 2078

struct JwkDeleter {
    void operator()(jwk_t* key) const { r_jwk_free(key); }
};
using Jwk = std::unique_ptr<jwk_t, JwkDeleter>;

std::string member(const Json& key, const char* name) {
    const auto found = key.find(name);
    return found != key.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

std::optional<JwtAlgorithm> algorithm_of(const Json& key) {
    const std::string kind = member(key, "kty");
    if (kind == "oct") return JwtAlgorithm::kHs256;
    if (kind == "RSA") return JwtAlgorithm::kRs256;
    if (kind == "EC" && member(key, "crv") == "P-256") return JwtAlgorithm::kEs256;
    if (kind == "OKP" && member(key, "crv") == "Ed25519") return JwtAlgorithm::kEdDsa;
    return std::nullopt;
}

// Whether the key's owner means it for verifying tokens with its kind's algorithm.
bool is_meant_for(const Json& key, JwtAlgorithm algorithm) {
    const auto use = key.find("use");
    if (use != key.end() && *use != "sig") return false;
    const auto alg = key.find("alg");
    if (alg != key.end() && *alg != to_string(algorithm)) return false;
    const auto operations = key.find("key_ops");
    return operations == key.end() ||
           (operations->is_array() && std::ranges::find(*operations, "verify") != operations->end());
}

Error fault(std::size_t index, const Json& key, const std::string& why) {
    std::string name = "JWKS key " + std::to_string(index + 1);
    if (const std::string kid = member(key, "kid"); !kid.empty()) name += " (kid " + in_quotes(kid) + ")";
    return {ErrorCode::kInvalid, name + ": " + why};
}

// The public key as rhonabwy reads it, for OpenSSL. Only the members that make the key are handed on: a
// certificate chain or an address to fetch one from (x5c, x5u) has no say.
Result<std::unique_ptr<EVP_PKEY, EvpKeyDeleter>> import_public(std::size_t index, const Json& json) {
    jwk_t* raw = nullptr;
    if (r_jwk_init(&raw) != RHN_OK) return Error{ErrorCode::kExhausted, "read JWKS: out of memory"};
    const Jwk key{raw};
    Json bare = Json::object();
    for (const char* name : {"kty", "crv", "n", "e", "x", "y"})
        if (json.contains(name)) bare[name] = json[name];
    if (r_jwk_import_from_json_str(key.get(), bare.dump().c_str()) != RHN_OK ||
        r_jwk_is_valid(key.get()) != RHN_OK)
        return fault(index, json, "a member is missing or malformed");
    unsigned bits = 0;
    const int type = r_jwk_key_type(key.get(), &bits, R_FLAG_IGNORE_REMOTE);
    if ((type & R_KEY_TYPE_RSA) == R_KEY_TYPE_RSA && bits < kMinRsaBits)
        return fault(index, json, std::to_string(bits) + " bits; RSA keys need 2048 or more");
    std::array<unsigned char, kMaxPublicDerBytes> der{};
    std::size_t length = der.size();
    if (r_jwk_export_to_pem_der(key.get(), R_FORMAT_DER, der.data(), &length, R_FLAG_IGNORE_REMOTE) != RHN_OK)
        return fault(index, json, "not a public key");
    const unsigned char* cursor = der.data();
    std::unique_ptr<EVP_PKEY, EvpKeyDeleter> evp{d2i_PUBKEY(nullptr, &cursor, static_cast<long>(length))};
    if (!evp) return fault(index, json, "not a public key");
    return evp;
}

}  // namespace

Result<std::vector<VerificationKey>> read_jwks(std::string_view json,
                                               const std::vector<JwtAlgorithm>& algorithms) {
    static const int initialised = r_global_init();
    if (initialised != RHN_OK) return Error{ErrorCode::kInternal, "initialise rhonabwy: failed"};

    const Json set = Json::parse(json, nullptr, false);
    if (!set.is_object() || !set.contains("keys") || !set["keys"].is_array())
        return Error{ErrorCode::kInvalid, "read JWKS: not an object with a list \"keys\""};
    std::vector<VerificationKey> keys;
    std::set<std::pair<std::string, JwtAlgorithm>> seen;
    for (std::size_t i = 0; i < set["keys"].size(); ++i) {
        const Json& item = set["keys"][i];
        if (!item.is_object()) return fault(i, Json::object(), "not an object");
        const auto algorithm = algorithm_of(item);
        if (!algorithm || !is_meant_for(item, *algorithm) ||
            std::ranges::find(algorithms, *algorithm) == algorithms.end())
            continue;
        VerificationKey key;
        key.kid = member(item, "kid");
        key.algorithm = *algorithm;
        if (!seen.emplace(key.kid, key.algorithm).second && !key.kid.empty())
            return fault(i, item, "another key has the same kid");
        if (*algorithm == JwtAlgorithm::kHs256) {
            auto secret = decode_base64url(member(item, "k"));
            if (!secret || secret->size() < kMinSecretBytes)
                return fault(i, item, "HS256 needs a secret \"k\" of 32 bytes or more, as base64url");
            key.secret = std::move(*secret);
        } else {
            // A verifier needs the public half only; a private one in this file is a leak about to happen.
            if (item.contains("d")) return fault(i, item, "holds a private key; remove \"d\" and its like");
            auto evp = import_public(i, item);
            if (!evp) return evp.error();
            key.public_key = std::move(*evp);
        }
        keys.push_back(std::move(key));
    }
    return keys;
}

}  // namespace sluice
