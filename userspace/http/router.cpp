#include "http/router.hpp"

#include <algorithm>
#include <exception>
#include <nlohmann/json.hpp>

#include "http/characters.hpp"
#include "http/reason_phrase.hpp"

namespace sluice::http {
namespace {

constexpr std::size_t kMaxQueryValues = 64;

int status_of(ErrorCode code) {
    switch (code) {
        case ErrorCode::kInvalid:
            return 400;
        case ErrorCode::kNotFound:
            return 404;
        case ErrorCode::kConflict:
            return 409;
        case ErrorCode::kNotPermitted:
            return 403;
        case ErrorCode::kUnavailable:
            return 503;
        case ErrorCode::kExhausted:
            return 507;
        case ErrorCode::kUnsupported:
            return 501;
        case ErrorCode::kInternal:
            return 500;
    }
    return 500;
}

// Control characters have no business in a name or a value, encoded or not.
std::optional<std::string> decode(std::string_view text, bool plus_is_space) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '%') {
            const auto digits = text.substr(i + 1, 2);
            if (digits.size() < 2 || !all(digits, kHexDigit)) return std::nullopt;
            c = static_cast<char>(hex_value(digits[0]) * 16 + hex_value(digits[1]));
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return std::nullopt;
        out.push_back(c);
    }
    return out;
}

// Takes the text up to the separator off the front.
std::string_view next_part(std::string_view& rest, char separator) {
    const auto at = std::min(rest.find(separator), rest.size());
    const auto part = rest.substr(0, at);
    rest.remove_prefix(std::min(at + 1, rest.size()));
    return part;
}

// "/v1/bans/{source}" against "/v1/bans/192.0.2.0%2F24". A parameter is one segment and is never empty.
std::optional<AdminRequest::Values> match_path(std::string_view pattern, std::string_view path) {
    AdminRequest::Values params;
    if (std::count(pattern.begin(), pattern.end(), '/') != std::count(path.begin(), path.end(), '/'))
        return std::nullopt;
    while (!pattern.empty() || !path.empty()) {
        const auto want = next_part(pattern, '/');
        const auto have = next_part(path, '/');
        if (want.starts_with('{')) {
            auto value = decode(have, false);
            if (!value || value->empty()) return std::nullopt;
            params.emplace(want.substr(1, want.size() - 2), std::move(*value));
        } else if (want != have) {
            return std::nullopt;
        }
    }
    return params;
}

bool answers(std::string_view route_method, std::string_view method) {
    return route_method == method || (route_method == "GET" && method == "HEAD");
}

std::string_view value_of(const AdminRequest::Values& values, std::string_view name) {
    const auto found = values.find(name);
    return found == values.end() ? std::string_view{} : std::string_view{found->second};
}

}  // namespace

std::string_view AdminRequest::param(std::string_view name) const {
    return value_of(params, name);
}
std::string_view AdminRequest::query_value(std::string_view name) const {
    return value_of(query, name);
}

AdminResponse AdminResponse::json(std::string text, int status) {
    AdminResponse response;
    response.status = status;
    response.body = std::move(text);
    return response;
}

AdminResponse AdminResponse::text(std::string text, std::string_view content_type, int status) {
    AdminResponse response = json(std::move(text), status);
    response.content_type = content_type;
    return response;
}

AdminResponse AdminResponse::events(StreamBody body) {
    return streamed(std::move(body), "text/event-stream");
}

AdminResponse AdminResponse::streamed(StreamBody body, std::string_view content_type) {
    AdminResponse response = text({}, content_type);
    response.stream = std::move(body);
    return response;
}

AdminResponse AdminResponse::problem(int status, std::string_view detail) {
    const nlohmann::json body{
        {"type", "about:blank"}, {"title", reason_phrase(status)}, {"status", status}, {"detail", detail}};
    // Detail may quote what a client sent: bytes that are not UTF-8 are replaced, not thrown over.
    return text(body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                "application/problem+json", status);
}

AdminResponse AdminResponse::problem(const Error& error) {
    return problem(status_of(error.code), error.message);
}

Router::Router(std::vector<AdminRoute> routes) : routes_(std::move(routes)) {}

Router::Match Router::match(std::string_view method, std::string_view path) const {
    Match match;
    for (const auto& route : routes_) {
        auto params = match_path(route.pattern, path);
        if (!params) continue;
        if (answers(route.method, method)) {
            match.route = &route;
            match.params = std::move(*params);
            return match;
        }
        if (!match.allow.empty()) match.allow += ", ";
        match.allow += route.method;
    }
    return match;
}

std::optional<AdminResponse> Router::refusal(const Match& match, const Caller& caller) const {
    const bool open = match.route && match.route->role == Role::kNone;
    if (caller.role == Role::kNone && !open) {
        auto response = AdminResponse::problem(401, "a bearer token is needed");
        response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"sluice\"");
        return response;
    }
    if (!match.route && match.allow.empty()) return AdminResponse::problem(404, "there is no such endpoint");
    if (!match.route) {
        auto response = AdminResponse::problem(405, "this endpoint answers " + match.allow);
        response.headers.emplace_back("Allow", match.allow);
        return response;
    }
    if (caller.role < match.route->role)
        return AdminResponse::problem(403, "this needs the role " +
                                               std::string{to_string(match.route->role)} +
                                               "; the caller has " + std::string{to_string(caller.role)});
    return std::nullopt;
}

AdminResponse Router::dispatch(AdminRequest request) const {
    auto match = this->match(request.method, request.path);
    if (auto refused = refusal(match, request.caller)) return std::move(*refused);
    request.params = std::move(match.params);
    try {
        return match.route->handler(request);
    } catch (const std::exception&) {
        return AdminResponse::problem(500, "the request could not be answered");
    }
}

std::optional<AdminTarget> parse_admin_target(std::string_view target) {
    if (!target.starts_with('/')) return std::nullopt;
    AdminTarget parsed;
    parsed.path = next_part(target, '?');
    if (!decode(parsed.path, false)) return std::nullopt;
    while (!target.empty() && parsed.query.size() < kMaxQueryValues) {
        auto pair = next_part(target, '&');
        const auto name = next_part(pair, '=');
        auto key = decode(name, true);
        auto value = decode(pair, true);
        if (!key || !value) return std::nullopt;
        if (!key->empty()) parsed.query.emplace(std::move(*key), std::move(*value));
    }
    return parsed;
}

}  // namespace sluice::http
