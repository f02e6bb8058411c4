#include <algorithm>
#include <set>
#include <unordered_map>

#include "policy/check_rules.hpp"
#include "policy/policy_check.hpp"
#include "policy/text.hpp"
#include "policy/units.hpp"
#include "policy/words.hpp"

namespace sluice {
namespace {

constexpr std::size_t kMaxPathBytes = 1024;
constexpr std::size_t kMaxClaimBytes = 64;

std::string item(std::string_view list, std::size_t i) {
    return std::string{list} + "[" + std::to_string(i) + "]";
}

bool is_upper_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}
bool is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
// RFC 9110 section 5.6.2.
bool is_token(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        return is_alphanumeric(c) || std::string_view{"!#$%&'*+-.^_`|~"}.find(c) != std::string_view::npos;
    });
}

std::vector<std::string_view> split(std::string_view path) {
    std::vector<std::string_view> segments;
    while (!path.empty()) {
        path.remove_prefix(1);
        const auto end = std::min(path.find('/'), path.size());
        segments.push_back(path.substr(0, end));
        path.remove_prefix(end);
    }
    return segments;
}

// A segment as canonical paths hold it: what RFC 3986 lets stand does, anything else is %XX in upper case.
// ';' is not let stand, because servers differ on it.
bool is_canonical(std::string_view segment) {
    for (std::size_t i = 0; i < segment.size(); ++i) {
        const char c = segment[i];
        if (is_alphanumeric(c) || std::string_view{"-._~!$&'()+,=:@"}.find(c) != std::string_view::npos)
            continue;
        if (c != '%' || i + 2 >= segment.size() || !is_upper_hex(segment[i + 1]) ||
            !is_upper_hex(segment[i + 2]))
            return false;
        i += 2;
    }
    return true;
}

std::string_view path_fault(std::string_view path) {
    if (path.empty() || path.front() != '/') return "does not begin with /";
    if (path.size() > kMaxPathBytes) return "is longer than 1024 bytes";
    const auto segments = split(path);
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const auto segment = segments[i];
        const bool is_last = i + 1 == segments.size();
        if (segment == "*" || (segment == "**" && is_last)) continue;
        if (segment == "**") return "has ** before its end";
        if (segment.find('*') != std::string_view::npos) return "has a * that is not a whole segment";
        if (segment.empty() && !is_last) return "has an empty segment";
        if (segment == "." || segment == "..") return "has a . or .. segment";
        if (!is_canonical(segment)) return "is not in canonical form";
    }
    return {};
}

// Whether every path of pattern b is one of pattern a.
bool covers(const std::vector<std::string_view>& a, const std::vector<std::string_view>& b) {
    for (std::size_t i = 0;; ++i) {
        if (i < a.size() && a[i] == "**") return true;
        if (i == a.size() || i == b.size()) return i == a.size() && i == b.size();
        if (b[i] == "**") return false;
        if (a[i] == "*" ? b[i].empty() : a[i] != b[i]) return false;
    }
}

bool covers_methods(const Route& a, const Route& b) {
    if (a.methods.empty()) return true;
    return !b.methods.empty() && std::ranges::all_of(b.methods, [&](const std::string& method) {
        // A route for GET takes HEAD too.
        return std::ranges::any_of(a.methods, [&](const std::string& taken) {
            return taken == method || (taken == "GET" && method == "HEAD");
        });
    });
}

}  // namespace

void RuleChecker::check_route(const Route& route, const std::string& path) {
    if (const auto fault = path_fault(route.path); !fault.empty())
        error(path + ".path", in_quotes(route.path) + " " + std::string{fault},
              "/ and segments as in /api/items, * for one segment, a final ** for the rest; other characters "
              "as %XX");
    if (!route.class_name.empty()) check_name(route.class_name, path + ".class");
    if (!route.provider.empty()) check_name(route.provider, path + ".provider");
    for (std::size_t i = 0; i < route.methods.size(); ++i) {
        const std::string& method = route.methods[i];
        const bool in_form =
            !method.empty() && method.size() <= 32 && std::ranges::all_of(method, [](char c) {
                return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
            });
        if (!in_form)
            error(item(path + ".methods", i), in_quotes(method) + " is not a method",
                  "upper case, such as POST");
        if (std::find(route.methods.begin(), route.methods.begin() + static_cast<std::ptrdiff_t>(i),
                      method) != route.methods.begin() + static_cast<std::ptrdiff_t>(i))
            error(item(path + ".methods", i), in_quotes(method) + " appears twice", "each method once");
    }
}

void RuleChecker::check_shadowed(const std::vector<Route>& routes) {
    std::vector<std::vector<std::string_view>> patterns;
    for (const Route& route : routes) {
        patterns.push_back(path_fault(route.path).empty() ? split(route.path)
                                                          : std::vector<std::string_view>{});
    }
    for (std::size_t later = 1; later < routes.size(); ++later)
        for (std::size_t earlier = 0; earlier < later; ++earlier)
            if (!patterns[earlier].empty() && covers(patterns[earlier], patterns[later]) &&
                covers_methods(routes[earlier], routes[later])) {
                warning(item("$.routes", later),
                        "never matches: route " + in_quotes(routes[earlier].name) +
                            " before it takes all of its requests; the first match wins");
                break;
            }
}

void RuleChecker::check_routes(const Policy& policy) {
    check_names(policy.routes, "$.routes", kMaxRoutes);
    std::set<std::string_view> limited;
    for (const RequestLimit& limit : policy.limits) limited.insert(limit.class_name);
    for (std::size_t i = 0; i < policy.routes.size(); ++i) {
        const Route& route = policy.routes[i];
        check_route(route, item("$.routes", i));
        if (!route.class_name.empty() && route.class_name != kLoginClass &&
            !limited.contains(route.class_name))
            warning(item("$.routes", i) + ".class", "no limit is for class " + in_quotes(route.class_name));
    }
    if (policy.routes.size() <= kMaxRoutes) check_shadowed(policy.routes);
}

void RuleChecker::check_limits(const Policy& policy) {
    check_names(policy.limits, "$.limits", kMaxRequestLimits);
    std::set<std::string_view> classes;
    for (const Route& route : policy.routes)
        if (!route.class_name.empty()) classes.insert(route.class_name);
    const bool has_identity = policy.identity.jwt || policy.identity.api_keys;
    for (std::size_t i = 0; i < policy.limits.size(); ++i) {
        const RequestLimit& limit = policy.limits[i];
        const std::string path = item("$.limits", i);
        if (limit.rate.at_once()) {
            if (limit.rate.count == 0 || limit.rate.count > kMaxConcurrent)
                error(path + ".concurrent", std::to_string(limit.rate.count) + " is out of range",
                      "1…" + std::to_string(kMaxConcurrent));
        } else if (limit.rate.count == 0 || limit.rate.count > kMaxRequestRateCount ||
                   limit.rate.window < 0 || limit.rate.window > kMaxRequestWindow)
            error(path + ".rate", to_string(limit.rate) + " is out of range",
                  "1 to " + std::to_string(kMaxRequestRateCount) + " in at most " +
                      format_duration(kMaxRequestWindow));
        if (!limit.class_name.empty() && !classes.contains(limit.class_name)) {
            std::string known;
            for (const auto name : classes) known += (known.empty() ? "" : ", ") + std::string{name};
            error(path + ".class",
                  "no route has class " + in_quotes(limit.class_name) + ": the limit would never apply",
                  known.empty() ? "no class, or one that a route has" : known);
        }
        if (limit.when == LimitWhen::kAuthenticated && !has_identity)
            warning(path + ".when", "never applies: without `identity` every request is anonymous");
        if (limit.per == LimitScope::kUser && limit.when == LimitWhen::kAnonymous)
            warning(path + ".per", "counts addresses: an anonymous request's user is its address", "per: ip");
    }
    check_charges(policy);
    check_coverage(policy);
}

void RuleChecker::check_charges(const Policy& policy) {
    const auto apply = [&](std::string_view class_name, LimitWhen when) {
        return static_cast<std::size_t>(std::ranges::count_if(policy.limits, [&](const RequestLimit& limit) {
            return (limit.class_name.empty() || limit.class_name == class_name) &&
                   (limit.when == LimitWhen::kAlways || limit.when == when);
        }));
    };
    std::set<std::string_view> classes{""};
    for (const RequestLimit& limit : policy.limits) classes.insert(limit.class_name);
    for (const auto name : classes) {
        const std::size_t most =
            std::max(apply(name, LimitWhen::kAnonymous), apply(name, LimitWhen::kAuthenticated));
        if (most <= kMaxLimitsOfRequest) continue;
        const std::string of = name.empty() ? " without a class" : " of class " + in_quotes(name);
        return error("$.limits", std::to_string(most) + " limits apply to one request" + of,
                     "at most " + std::to_string(kMaxLimitsOfRequest));
    }
}

void RuleChecker::check_coverage(const Policy& policy) {
    if (policy.limits.empty()) return;
    const auto covers_all = [&](LimitWhen when) {
        return std::ranges::any_of(policy.limits, [&](const RequestLimit& limit) {
            return limit.class_name.empty() && (limit.when == LimitWhen::kAlways || limit.when == when);
        });
    };
    if (!covers_all(LimitWhen::kAnonymous))
        warning("$.limits", "an anonymous request without a class is under no limit");
    if ((policy.identity.jwt || policy.identity.api_keys) && !covers_all(LimitWhen::kAuthenticated))
        warning("$.limits", "an authenticated request without a class is under no limit");
}

void RuleChecker::check_identity(const IdentityPolicy& identity) {
    if (identity.jwt) {
        const auto& algorithms = identity.jwt->algorithms;
        if (algorithms.empty())
            error("$.identity.jwt.algorithms", "no algorithm: no token could ever be valid",
                  list_of(kJwtAlgorithms));
        if (std::set(algorithms.begin(), algorithms.end()).size() != algorithms.size())
            error("$.identity.jwt.algorithms", "an algorithm appears twice", "each once");
        const auto check_text = [&](const char* key, const std::string& value, std::size_t most) {
            if (value.empty() || value.size() > most || has_control_character(value))
                error(std::string{"$.identity.jwt."} + key, in_quotes(value) + " can't stand here",
                      "1 to " + std::to_string(most) + " bytes without control characters");
        };
        check_text("user", identity.jwt->user_claim, kMaxClaimBytes);
        check_text("roles", identity.jwt->roles_claim, kMaxClaimBytes);
        check_text("issuer", identity.jwt->issuer.value_or("-"), kMaxUserBytes);
        check_text("audience", identity.jwt->audience.value_or("-"), kMaxUserBytes);
    }
    if (identity.api_keys) {
        std::string lower = identity.api_keys->header;
        std::ranges::transform(lower, lower.begin(),
                               [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
        if (!is_token(lower) || lower.size() > kMaxClaimBytes || lower == "authorization" ||
            lower == "cookie" || lower == "host")
            error("$.identity.api_keys.header",
                  in_quotes(identity.api_keys->header) + " can't carry an API key",
                  "the name of a header field of its own, such as X-API-Key");
    }
}

}  // namespace sluice
