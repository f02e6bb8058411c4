#include "api/ratelimit_fields.hpp"

#include <algorithm>
#include <charconv>

namespace sluice {
namespace {

void append_number(std::string& out, std::int64_t number) {
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    out.append(digits, end);
}

// Limit names are [a-z0-9_]+ by the policy's check: nothing in them needs escaping.
void append_name(std::string& out, std::string_view name) {
    if (!out.empty()) out += ", ";
    out.append("\"").append(name).append("\"");
}

}  // namespace

void append_ratelimit_policy(std::string& out, std::span<const RateLimitItem> limits) {
    for (const RateLimitItem& limit : limits) {
        append_name(out, limit.name);
        out += ";q=";
        append_number(out, static_cast<std::int64_t>(limit.rate.count));
        out += ";w=";
        append_number(out, std::max<std::int64_t>(1, limit.rate.window / kSecond));
    }
}

void append_ratelimit(std::string& out, std::span<const RateLimitItem> limits) {
    for (const RateLimitItem& limit : limits) {
        append_name(out, limit.name);
        out += ";r=";
        append_number(out, static_cast<std::int64_t>(limit.remaining));
        out += ";t=";
        append_number(out, limit.until_more <= 0 ? 0 : whole_seconds(limit.until_more));
    }
}

std::int64_t whole_seconds(Nanos wait) {
    return std::max<std::int64_t>(1, (wait + kSecond - 1) / kSecond);
}

void append_quota_exceeded(std::string& out, std::span<const std::string_view> violated,
                           std::int64_t retry_after_s) {
    out +=
        R"({"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",)"
        R"("title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"detail":"Retry after )";
    append_number(out, retry_after_s);
    out += R"( seconds.","violated-policies":[)";
    for (std::size_t i = 0; i < violated.size(); ++i)
        out.append(i == 0 ? "\"" : ",\"").append(violated[i]).append("\"");
    out += "]}\n";
}

void append_banned(std::string& out, std::int64_t retry_after_s) {
    out += R"({"type":"https://iana.org/assignments/http-problem-types#abnormal-usage-detected",)"
           R"("title":"Request not satisfied due to detection of abnormal request pattern","status":429,)"
           R"("detail":"This source is banned; retry after )";
    append_number(out, retry_after_s);
    out += R"( seconds.","violated-policies":["ban"]})"
           "\n";
}

}  // namespace sluice
