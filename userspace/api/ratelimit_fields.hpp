// The fields and bodies by which a client learns of its limits: RateLimit and RateLimit-Policy of
// draft-ietf-httpapi-ratelimit-headers-10, problem details of RFC 9457. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "policy/policy.hpp"

namespace sluice {

// One limit as a response tells it.
struct RateLimitItem {
    std::string_view name;
    Rate rate;
    std::uint64_t remaining = 0;
    Nanos until_more = 0;  // until additional quota frees up; 0: there is nothing to wait for
};

// Appends `"ai";q=100;w=3600, "user";q=5000;w=3600`; of a limit on requests in flight `"streams";q=5;qu="concurrent-requests"`.
void append_ratelimit_policy(std::string& out, std::span<const RateLimitItem> limits);
// Appends `"ai";r=0;t=412, "user";r=4900;t=3`; of a limit on requests in flight `"streams";r=2`.
void append_ratelimit(std::string& out, std::span<const RateLimitItem> limits);

// Whole seconds that are never too few: the same request after them is admitted. At least 1.
std::int64_t whole_seconds(Nanos wait);

// Appends the problem+json of a request over its limits. When to come back is in Retry-After alone: a flood is
// answered with this.
void append_quota_exceeded(std::string& out, std::span<const std::string_view> violated);
// Appends the problem+json of a banned source.
void append_banned(std::string& out, std::int64_t retry_after_s);

}  // namespace sluice
