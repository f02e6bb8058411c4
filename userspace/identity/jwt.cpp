#include "identity/jwt.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include "identity/base64url.hpp"

namespace sluice {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxRoleBytes = 64;
constexpr std::int64_t kMaxDate = std::int64_t{1} << 53;  // numbers are exact up to here in every JSON reader

// NumericDate (RFC 7519 section 2): whole seconds, a fraction is cut. nullopt: not a number, or out of
// bounds.
std::optional<std::int64_t> date_of(const Json& value) {
    if (value.is_number_unsigned()) {
        const auto seconds = value.get<std::uint64_t>();
        if (seconds > static_cast<std::uint64_t>(kMaxDate)) return std::nullopt;
        return static_cast<std::int64_t>(seconds);
    }
    if (value.is_number_float()) {
        const auto seconds = value.get<double>();
        if (!(seconds >= 0 && seconds <= static_cast<double>(kMaxDate))) return std::nullopt;
        return static_cast<std::int64_t>(seconds);
    }
    return std::nullopt;
}

bool names_audience(const Json& claim, const std::string& audience) {
    if (claim.is_array())
        return std::ranges::any_of(claim,
                                   [&](const Json& item) { return item.is_string() && item == audience; });
    return claim.is_string() && claim == audience;
}

void add_role(std::vector<std::string>& roles, std::string_view role) {
    if (roles.size() < kMaxRoles && !role.empty() && role.size() <= kMaxRoleBytes &&
        !has_control_character(role))
        roles.emplace_back(role);
}

// A list of strings, or one string of words as `scope` is (RFC 8693 section 4.2). Anything else: no roles.
std::vector<std::string> roles_of(const Json& claims, const std::string& name) {
    std::vector<std::string> roles;
    const auto claim = claims.find(name);
    if (claim == claims.end()) return roles;
    if (claim->is_string()) {
        std::string_view words = claim->get_ref<const std::string&>();
        while (!words.empty()) {
            const auto end = std::min(words.find(' '), words.size());
            add_role(roles, words.substr(0, end));
            words.remove_prefix(std::min(end + 1, words.size()));
        }
    } else if (claim->is_array()) {
        for (const Json& role : *claim)
            if (role.is_string()) add_role(roles, role.get_ref<const std::string&>());
    }
    return roles;
}

}  // namespace

std::optional<Json> decode_json_object(std::string_view part) {
    const auto text = decode_base64url(part);
    if (!text) return std::nullopt;
    std::vector<std::set<std::string>> names;
    bool repeats = false;
    const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
        if (event == Json::parse_event_t::object_start)
            names.emplace_back();
        else if (event == Json::parse_event_t::object_end)
            names.pop_back();
        else if (event == Json::parse_event_t::key)
            repeats |= !names.back().insert(parsed.get<std::string>()).second;
        return true;
    };
    Json object = Json::parse(*text, watch, false);
    if (!object.is_object() || repeats) return std::nullopt;
    return object;
}

std::variant<JwtParts, AuthFailure> split_jwt(std::string_view token) {
    if (token.size() > kMaxTokenBytes) return AuthFailure::kTokenTooLarge;
    const auto first = token.find('.');
    const auto second = first == std::string_view::npos ? first : token.find('.', first + 1);
    if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos)
        return AuthFailure::kMalformedToken;
    const auto header = decode_json_object(token.substr(0, first));
    auto signature = decode_base64url(token.substr(second + 1));
    if (!header || !signature) return AuthFailure::kMalformedToken;
    if (header->contains("crit") || header->contains("b64")) return AuthFailure::kUnsupportedHeader;

    JwtParts parts;
    const auto algorithm = header->find("alg");
    if (algorithm == header->end() || !algorithm->is_string()) return AuthFailure::kMalformedToken;
    parts.algorithm = algorithm->get<std::string>();
    if (const auto kid = header->find("kid"); kid != header->end()) {
        if (!kid->is_string()) return AuthFailure::kMalformedToken;
        parts.kid = kid->get<std::string>();
    }
    parts.signing_input = token.substr(0, second);
    parts.payload = token.substr(first + 1, second - first - 1);
    parts.signature = std::move(*signature);
    return parts;
}

std::variant<ClaimsVerdict, AuthFailure> judge_claims(const Json& claims, const JwtPolicy& policy,
                                                      std::int64_t now) {
    const std::int64_t leeway = policy.leeway / kSecond;
    ClaimsVerdict verdict;
    if (!claims.contains("exp")) return AuthFailure::kMissingExpiry;
    const auto expiry = date_of(claims["exp"]);
    if (!expiry) return AuthFailure::kMalformedToken;
    verdict.until = *expiry + leeway;
    for (const char* name : {"nbf", "iat"}) {
        if (!claims.contains(name)) continue;
        const auto date = date_of(claims[name]);
        if (!date) return AuthFailure::kMalformedToken;
        verdict.from = std::max(verdict.from, *date - leeway);
    }
    if (now >= verdict.until) return AuthFailure::kExpired;
    if (now < verdict.from) return AuthFailure::kNotYetValid;
    if (policy.issuer && (!claims.contains("iss") || claims["iss"] != *policy.issuer))
        return AuthFailure::kWrongIssuer;
    if (policy.audience && (!claims.contains("aud") || !names_audience(claims["aud"], *policy.audience)))
        return AuthFailure::kWrongAudience;

    const auto user = claims.find(policy.user_claim);
    if (user == claims.end()) return AuthFailure::kMissingSubject;
    if (!user->is_string() || !is_valid_user(user->get_ref<const std::string&>()))
        return AuthFailure::kInvalidSubject;
    verdict.identity.user = user->get<std::string>();
    verdict.identity.method = AuthMethod::kJwt;
    verdict.identity.roles = roles_of(claims, policy.roles_claim);
    return verdict;
}

}  // namespace sluice
