#include "ledger/fleet_policy.hpp"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "policy/policy_yaml.hpp"
#include "policy/sha256.hpp"

namespace sluice {

const std::string_view kFleetPolicyHeadKey = "sluice:1:{fleet}:policy_head";

namespace {

using nlohmann::json;

constexpr std::string_view kPolicy = "sluice:1:{fleet}:policy";
constexpr std::size_t kLongestText = 1024;
constexpr std::size_t kMostBytes = kMaxPolicyBytes + 8 * kLongestText;
constexpr std::uint64_t kLatestTime = 1ULL << 53U;  // as Lua's numbers

// The later decision stands, by Redis's clock. What stood in a Redis that has forgotten it (ARGV[2]) comes with its own time, and does
// not replace itself.
// KEYS head policy; ARGV version and time of decision if it stood, else 0; its age in µs; sha256; the rest of the value.
constexpr std::string_view kSay = R"lua(
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local version, decided, sha = 0, 0, ''
local head = redis.call('GET', KEYS[1])
if head then
  local v, d, s = string.match(head, '^(%d+):(%d+):(%x+)$')
  if v then version, decided, sha = tonumber(v), tonumber(d), s end
end
local stood = tonumber(ARGV[2])
local mine = stood > 0 and math.min(stood, now) or now - tonumber(ARGV[3])
if stood > 0 and sha == ARGV[4] then return {2, version, decided} end
if mine < decided then return {0, version, decided} end
version = math.max(version + 1, now, tonumber(ARGV[1]) + 1)
local line = string.format('%.0f:%.0f:%s', version, mine, ARGV[4])
redis.call('SET', KEYS[1], line)
redis.call('SET', KEYS[2], line .. '\n' .. ARGV[5])
return {1, version, mine}
)lua";

// Texts end in logs and tables.
std::string plain(const json& object, const char* name) {
    const auto found = object.find(name);
    if (found == object.end() || !found->is_string()) return {};
    std::string text = found->get<std::string>().substr(0, kLongestText);
    std::ranges::replace_if(
        text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, '?');
    return text;
}

struct Head {
    std::uint64_t version, decided_us;
    std::string_view sha;
};

std::optional<Head> head_of(std::string_view line) {
    Head head{};
    for (std::uint64_t* const value : {&head.version, &head.decided_us}) {
        const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), *value);
        if (error != std::errc{} || end == line.data() + line.size() || *end != ':' || *value == 0 ||
            *value > kLatestTime)
            return std::nullopt;
        line.remove_prefix(static_cast<std::size_t>(end - line.data()) + 1);
    }
    constexpr std::size_t kShaDigits = 64;
    if (line.size() != kShaDigits) return std::nullopt;
    head.sha = line;
    return head;
}

// All but the first line.
std::string rest_of(const FleetPolicy& policy) {
    const json about{{"name", policy.name},
                     {"by", policy.by},
                     {"reason", policy.reason},
                     {"host", policy.host},
                     {"id", policy.host_id}};
    return about.dump(-1, ' ', false, json::error_handler_t::replace) + '\n' + policy.text;
}

}  // namespace

std::string to_bytes(const FleetPolicy& policy) {
    return std::to_string(policy.version) + ':' + std::to_string(policy.decided_us) + ':' +
           sha256_hex(policy.text) + '\n' + rest_of(policy);
}

std::vector<std::string> fleet_policy_say_command(const FleetPolicy& policy, Nanos age) {
    return {"EVAL",
            std::string{kSay},
            "2",
            std::string{kFleetPolicyHeadKey},
            std::string{kPolicy},
            std::to_string(policy.version),
            std::to_string(policy.decided_us),
            std::to_string(age / kMicrosecond),
            sha256_hex(policy.text),
            rest_of(policy)};
}

// No more than a policy can be, whatever lies there.
std::vector<std::string> fleet_policy_read_command() {
    return {"GETRANGE", std::string{kPolicy}, "0", std::to_string(kMostBytes)};
}

std::optional<FleetPolicySaid> parse_policy_said(const redisReply& reply) {
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements != 3) return std::nullopt;
    for (std::size_t i = 0; i < reply.elements; ++i)
        if (reply.element[i]->type != REDIS_REPLY_INTEGER || reply.element[i]->integer < 0)
            return std::nullopt;
    if (reply.element[0]->integer > 2) return std::nullopt;
    return FleetPolicySaid{static_cast<FleetPolicySaid::Outcome>(reply.element[0]->integer),
                           static_cast<std::uint64_t>(reply.element[1]->integer),
                           static_cast<std::uint64_t>(reply.element[2]->integer)};
}

std::optional<std::uint64_t> parse_policy_head(std::string_view head) {
    const auto read = head_of(head);
    return read ? std::optional{read->version} : std::nullopt;
}

std::optional<FleetPolicy> parse_policy(std::string_view bytes) {
    if (bytes.size() > kMostBytes) return std::nullopt;
    const std::size_t first = bytes.find('\n');
    if (first == std::string_view::npos) return std::nullopt;
    const std::size_t second = bytes.find('\n', first + 1);
    if (second == std::string_view::npos) return std::nullopt;
    const auto head = head_of(bytes.substr(0, first));
    const std::string_view text = bytes.substr(second + 1);
    if (!head || text.size() > kMaxPolicyBytes || sha256_hex(text) != head->sha) return std::nullopt;
    const json about = json::parse(bytes.substr(first + 1, second - first - 1), nullptr, false);
    if (!about.is_object()) return std::nullopt;
    FleetPolicy policy{std::string{text},    plain(about, "name"), plain(about, "by"), plain(about, "reason"),
                       plain(about, "host"), plain(about, "id"),   head->version,      head->decided_us};
    if (policy.host_id.empty()) return std::nullopt;
    return policy;
}

}  // namespace sluice
