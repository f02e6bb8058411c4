#include "cli/requests.hpp"

#include <charconv>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "base/ip_prefix.hpp"
#include "cli/duration_text.hpp"
#include "cli/text_file.hpp"
#include "kernel/packet_capture.hpp"

namespace sluice {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMostTop = 1000;
constexpr std::uint64_t kMostCapturedPackets = CaptureRequest::kMostPackets;
constexpr std::uint64_t kLargestSnap = CaptureRequest::kLargestSnap;

// "?a=1&b=2" of the options that were given.
std::string query(const Invocation& invocation,
                  std::initializer_list<std::pair<std::string_view, std::string_view>> option_and_key) {
    std::string text;
    for (const auto& [option, key] : option_and_key) {
        if (!invocation.has(option)) continue;
        text += text.empty() ? '?' : '&';
        text += std::string{key} + "=" + percent_encoded(invocation.get(option));
    }
    return text;
}

Result<std::optional<std::int64_t>> seconds_of(const Invocation& invocation, std::string_view option) {
    if (!invocation.has(option)) return std::optional<std::int64_t>{};
    const auto seconds = parse_duration_s(invocation.get(option));
    if (!seconds) return Error{seconds.error().code, std::string{option} + ": " + seconds.error().message};
    return std::optional{*seconds};
}

Json nullable(const std::optional<std::int64_t>& number) {
    return number ? Json(*number) : Json();
}

Result<std::string> source_of(const Invocation& invocation) {
    const auto prefix = IpPrefix::parse(invocation.get("SOURCE"));
    if (!prefix) return prefix.error();
    return prefix->to_string();
}

std::string quota_target(const Invocation& invocation, bool of_limit) {
    std::string target = "/v1/quotas/" + percent_encoded(invocation.get("USER"));
    if (of_limit) target += "/" + percent_encoded(invocation.get("LIMIT"));
    return target;
}

// {"text", "name", …} of the file the verb names.
Result<ApiRequest> policy_text_request(const Invocation& invocation, std::string target,
                                       Json fields = Json::object()) {
    const std::string path{invocation.get("FILE")};
    auto text = read_text_file(path);
    if (!text) return text.error();
    fields["text"] = std::move(*text);
    fields["name"] = path == "-" ? "<stdin>" : path;
    try {
        return ApiRequest{"POST", std::move(target), fields.dump()};
    } catch (const Json::type_error&) {
        return Error{ErrorCode::kInvalid, "read " + path + ": not UTF-8 text"};
    }
}

// JSON of what came from the command line; bytes that are no UTF-8 become U+FFFD.
std::string body_of(const Json& fields) {
    return fields.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Result<std::uint64_t> parse_count(std::string_view name, std::string_view text, std::uint64_t smallest,
                                  std::uint64_t largest) {
    std::uint64_t count = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (failure != std::errc{} || end != text.data() + text.size() || count < smallest || count > largest)
        return Error{ErrorCode::kInvalid, std::string{name} + ": \"" + std::string{text} +
                                              "\" is no whole number from " + std::to_string(smallest) +
                                              " to " + std::to_string(largest)};
    return count;
}

Result<ApiRequest> health_request(const Invocation&) {
    return ApiRequest{"GET", "/api/health", ""};
}

Result<ApiRequest> status_request(const Invocation&) {
    return ApiRequest{"GET", "/v1/status", ""};
}

Result<ApiRequest> hosts_request(const Invocation&) {
    return ApiRequest{"GET", "/v1/hosts", ""};
}

Result<ApiRequest> top_request(const Invocation& invocation) {
    if (invocation.has("-n"))
        if (const auto count = parse_count("-n", invocation.get("-n"), 1, kMostTop); !count)
            return count.error();
    return ApiRequest{"GET", "/v1/top" + query(invocation, {{"--by", "by"}, {"--of", "of"}, {"-n", "n"}}),
                      ""};
}

Result<ApiRequest> explain_request(const Invocation& invocation) {
    return ApiRequest{
        "GET",
        "/v1/explain" +
            query(invocation,
                  {{"--ip", "ip"}, {"--user", "user"}, {"--method", "method"}, {"--path", "path"}}),
        ""};
}

Result<ApiRequest> events_request(const Invocation&) {
    return ApiRequest{"GET", "/v1/events", ""};
}

Result<ApiRequest> capture_request(const Invocation& invocation) {
    const auto source = source_of(invocation);
    if (!source) return source.error();
    Json body{{"source", *source}};
    const auto seconds = seconds_of(invocation, "--for");
    if (!seconds) return seconds.error();
    if (*seconds) body["seconds"] = **seconds;
    for (const auto& [option, member, most] :
         {std::tuple{"--packets", "packets", kMostCapturedPackets}, {"--snap", "snap", kLargestSnap}}) {
        if (!invocation.has(option)) continue;
        const auto number = parse_count(option, invocation.get(option), 1, most);
        if (!number) return number.error();
        body[member] = *number;
    }
    if (invocation.has("--dropped")) body["verdict"] = "dropped";
    if (invocation.has("--passed")) body["verdict"] = "passed";
    return ApiRequest{"POST", "/v1/capture", body_of(body)};
}

Result<ApiRequest> ban_list_request(const Invocation&) {
    return ApiRequest{"GET", "/v1/bans", ""};
}

Result<ApiRequest> ban_add_request(const Invocation& invocation) {
    const auto source = source_of(invocation);
    if (!source) return source.error();
    const auto seconds = seconds_of(invocation, "--for");
    if (!seconds) return seconds.error();
    return ApiRequest{
        "POST", "/v1/bans",
        body_of(
            {{"source", *source}, {"for_s", nullable(*seconds)}, {"reason", invocation.get("--reason")}})};
}

Result<ApiRequest> ban_lift_request(const Invocation& invocation) {
    const auto source = source_of(invocation);
    if (!source) return source.error();
    return ApiRequest{"DELETE", "/v1/bans/" + percent_encoded(*source), ""};
}

Result<ApiRequest> quota_show_request(const Invocation& invocation) {
    return ApiRequest{"GET", quota_target(invocation, false), ""};
}

Result<ApiRequest> quota_set_request(const Invocation& invocation) {
    const auto seconds = seconds_of(invocation, "--for");
    if (!seconds) return seconds.error();
    return ApiRequest{"PUT", quota_target(invocation, true),
                      body_of({{"rate", invocation.get("RATE")}, {"for_s", nullable(*seconds)}})};
}

Result<ApiRequest> quota_unset_request(const Invocation& invocation) {
    return ApiRequest{"DELETE", quota_target(invocation, true), ""};
}

Result<ApiRequest> quota_reset_request(const Invocation& invocation) {
    return ApiRequest{"POST", quota_target(invocation, false) + "/reset", "{}"};
}

Result<ApiRequest> policy_show_request(const Invocation&) {
    return ApiRequest{"GET", "/v1/policy", ""};
}

Result<ApiRequest> policy_check_request(const Invocation& invocation) {
    return policy_text_request(invocation, "/v1/policy/check");
}

Result<ApiRequest> policy_diff_request(const Invocation& invocation) {
    return policy_text_request(invocation, "/v1/policy/diff");
}

Result<ApiRequest> policy_apply_request(const Invocation& invocation) {
    const auto seconds = seconds_of(invocation, "--confirm-within");
    if (!seconds) return seconds.error();
    return policy_text_request(
        invocation, "/v1/policy/apply",
        {{"reason", invocation.get("--reason")}, {"confirm_within_s", nullable(*seconds)}});
}

Result<ApiRequest> policy_confirm_request(const Invocation&) {
    return ApiRequest{"POST", "/v1/policy/confirm", "{}"};
}

Result<ApiRequest> policy_rollback_request(const Invocation& invocation) {
    Json to;
    if (invocation.has("N")) {
        const auto number = parse_count("N", invocation.get("N"), 0, UINT32_MAX);
        if (!number) return number.error();
        to = *number;
    }
    return ApiRequest{"POST", "/v1/policy/rollback", body_of({{"to", to}})};
}

Result<ApiRequest> policy_history_request(const Invocation&) {
    return ApiRequest{"GET", "/v1/policy/history", ""};
}

}  // namespace sluice
