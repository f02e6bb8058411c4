#include "identity/identity.hpp"

namespace sluice {

std::string_view to_string(AuthMethod method) {
    switch (method) {
        case AuthMethod::kNone:
            return "none";
        case AuthMethod::kJwt:
            return "jwt";
        case AuthMethod::kApiKey:
            return "api_key";
    }
    return {};
}

std::string_view to_string(AuthFailure failure) {
    switch (failure) {
        case AuthFailure::kMalformedToken:
            return "malformed_token";
        case AuthFailure::kTokenTooLarge:
            return "token_too_large";
        case AuthFailure::kAlgorithmNotAllowed:
            return "algorithm_not_allowed";
        case AuthFailure::kUnsupportedHeader:
            return "unsupported_header";
        case AuthFailure::kUnknownKey:
            return "unknown_key";
        case AuthFailure::kBadSignature:
            return "bad_signature";
        case AuthFailure::kExpired:
            return "expired";
        case AuthFailure::kNotYetValid:
            return "not_yet_valid";
        case AuthFailure::kMissingExpiry:
            return "missing_expiry";
        case AuthFailure::kWrongIssuer:
            return "wrong_issuer";
        case AuthFailure::kWrongAudience:
            return "wrong_audience";
        case AuthFailure::kMissingSubject:
            return "missing_subject";
        case AuthFailure::kInvalidSubject:
            return "invalid_subject";
        case AuthFailure::kUnknownApiKey:
            return "unknown_api_key";
    }
    return {};
}

}  // namespace sluice
