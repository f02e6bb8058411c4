#include "http/admin_auth.hpp"

#include <algorithm>

#include "http/characters.hpp"

namespace sluice::http {
namespace {

bool equal_nocase(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

// "example.org:9900" → "example.org", "[::1]:9900" → "[::1]".
std::string_view without_port(std::string_view host) {
    if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
    return host.substr(0, host.find(':'));
}

// The host and port of "https://example.org:9900".
std::string_view authority(std::string_view origin) {
    const auto scheme = origin.find("://");
    return scheme == std::string_view::npos ? std::string_view{} : origin.substr(scheme + 3);
}

// What follows "Bearer "; "" for another scheme.
std::string_view bearer(std::string_view authorization) {
    constexpr std::string_view kScheme = "bearer ";
    if (!equal_nocase(authorization.substr(0, kScheme.size()), kScheme)) return {};
    return trim(authorization.substr(kScheme.size()));
}

}  // namespace

AdminAuth::AdminAuth(TokenStore tokens, std::vector<std::string> allowed_hosts,
                     std::function<void(const Error&)> on_error)
    : tokens_(std::move(tokens)), allowed_hosts_(std::move(allowed_hosts)), on_error_(std::move(on_error)) {}

AdminAuth::Outcome AdminAuth::check(const IpAddress& peer, const AuthFields& fields, Nanos now) {
    Outcome outcome;
    outcome.caller.address = peer.to_string();
    outcome.caller.how = "TCP from " + outcome.caller.address;
    if (!host_allowed(fields.host)) {
        outcome.denied = Denial{AdminDenied::Reason::kOrigin,
                                AdminResponse::problem(421, "this host name is not served here")};
        return outcome;
    }
    if (!fields.origin.empty() && !equal_nocase(authority(fields.origin), fields.host)) {
        outcome.denied = Denial{AdminDenied::Reason::kOrigin,
                                AdminResponse::problem(403, "requests of other origins are refused")};
        return outcome;
    }
    const auto secret = bearer(fields.authorization);
    if (secret.empty()) return outcome;
    reload();
    const Digest digest = sha256(secret);
    if (const Token* token = tokens_.find(digest)) {
        outcome.caller.role = token->role;
        outcome.caller.name = token->name;
        outcome.caller.how = "token from " + outcome.caller.address;
        return outcome;
    }
    // Only wrong tokens are held up: whoever shares the address with a guesser is let in. What keeps tokens safe from
    // guessing is their length; the brake keeps guesses out of the log.
    if (const Nanos wait = brake_.wait(peer, now); wait > 0) {
        auto response = AdminResponse::problem(429, "too many wrong tokens from this address");
        response.headers.emplace_back("Retry-After", std::to_string((wait + kSecond - 1) / kSecond));
        outcome.denied = Denial{AdminDenied::Reason::kTooManyBadTokens, std::move(response)};
        return outcome;
    }
    brake_.failed(peer, digest, now);
    auto response = AdminResponse::problem(401, "the token is not valid");
    response.headers.emplace_back("WWW-Authenticate", R"(Bearer realm="sluice", error="invalid_token")");
    outcome.denied = Denial{AdminDenied::Reason::kBadToken, std::move(response)};
    return outcome;
}

void AdminAuth::reload() {
    const auto reloaded = tokens_.reload();
    const std::string error = reloaded ? std::string{} : reloaded.error().message;
    if (error != last_error_ && !error.empty() && on_error_) on_error_(reloaded.error());
    last_error_ = error;
}

bool AdminAuth::host_allowed(std::string_view host) const {
    return allowed_hosts_.empty() ||
           std::any_of(allowed_hosts_.begin(), allowed_hosts_.end(),
                       [&](const auto& name) { return equal_nocase(name, without_port(host)); });
}

}  // namespace sluice::http
