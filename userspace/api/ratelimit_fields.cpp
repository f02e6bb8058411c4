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

// Appends `"name";a=1`, after ", " unless it is the first item. Limit names are [a-z0-9_]+ by the policy's check: nothing in
// them needs escaping.
void append_item(std::string& out, bool first, std::string_view name, char a, std::int64_t a_value) {
    char text[28] = {'"', ';', a, '='};
    const char* const end = std::to_chars(text + 4, text + sizeof text, a_value).ptr;
    out.append(first ? "\"" : ", \"").append(name).append(text, static_cast<std::size_t>(end - text));
}

// Appends `;b=2`.
void append_parameter(std::string& out, char b, std::int64_t b_value) {
    char text[28] = {';', b, '='};
    const char* const end = std::to_chars(text + 3, text + sizeof text, b_value).ptr;
    out.append(text, static_cast<std::size_t>(end - text));
}

}  // namespace

void append_ratelimit_policy(std::string& out, std::span<const RateLimitItem> limits) {
    for (const RateLimitItem& limit : limits) {
        append_item(out, &limit == limits.data(), limit.name, 'q',
                    static_cast<std::int64_t>(limit.rate.count));
        if (limit.rate.at_once())
            out += R"(;qu="concurrent-requests")";
        else
            append_parameter(out, 'w', std::max<std::int64_t>(1, limit.rate.window / kSecond));
    }
}

void append_ratelimit(std::string& out, std::span<const RateLimitItem> limits) {
    for (const RateLimitItem& limit : limits) {
        append_item(out, &limit == limits.data(), limit.name, 'r',
                    static_cast<std::int64_t>(limit.remaining));
        // When a request in flight will end, nobody knows.
        if (!limit.rate.at_once())
            append_parameter(out, 't', limit.until_more <= 0 ? 0 : whole_seconds(limit.until_more));
    }
}

std::int64_t whole_seconds(Nanos wait) {
    return std::max<std::int64_t>(1, (wait + kSecond - 1) / kSecond);
}

void append_quota_exceeded(std::string& out, std::span<const std::string_view> violated) {
    out +=
        R"({"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",)"
        R"("title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"violated-policies":[)";
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
