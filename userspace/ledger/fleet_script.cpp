#include "ledger/fleet_script.hpp"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <charconv>

#include "ledger/resp_stream.hpp"

namespace sluice {

const std::string_view kFleetHeadKey = "sluice:1:{fleet}:head";

namespace {

constexpr std::string_view kFacts = "sluice:1:{fleet}:facts";
constexpr std::string_view kLog = "sluice:1:{fleet}:log";
constexpr std::string_view kEnds = "sluice:1:{fleet}:ends";
constexpr std::string_view kHosts = "sluice:1:{fleet}:hosts";
constexpr std::string_view kSeen = "sluice:1:{fleet}:seen";

// A version is the time of the decision's writing, and larger than every one before. The later decision holds; but what a machine
// decided neither shortens a ban nor outdoes what a person decided (FleetBook has the same rule).
// KEYS facts log ends head; ARGV most, then subject bytes lasts_ms age_us of each.
constexpr std::string_view kSay = R"lua(
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local now_ms = math.floor(now / 1000)
local head = redis.call('GET', KEYS[4])
local version, epoch = 0, string.format('%.0f', now)
if head then
  local v, e = string.match(head, '^(%d+):(.*)$')
  if v then version, epoch = tonumber(v), e end
end
local ended = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now_ms, 'LIMIT', 0, 1000)
for _, subject in ipairs(ended) do
  redis.call('HDEL', KEYS[1], subject)
  redis.call('ZREM', KEYS[2], subject)
  redis.call('ZREM', KEYS[3], subject)
end
local room = tonumber(ARGV[1]) - redis.call('ZCARD', KEYS[2])
local outcomes = {}
for i = 2, #ARGV, 4 do
  local subject, bytes = ARGV[i], ARGV[i + 1]
  local lasts, decided = tonumber(ARGV[i + 2]), now - tonumber(ARGV[i + 3])
  local ends = lasts > 0 and now_ms + lasts or math.huge
  local mark = string.sub(bytes, 1, 1)
  local outcome = 1
  local had = redis.call('ZSCORE', KEYS[2], subject)
  if had then
    local raw = redis.call('HGET', KEYS[1], subject) or '-'
    local old = string.sub(raw, 1, 1)
    local until_ms = tonumber(redis.call('ZSCORE', KEYS[3], subject) or math.huge)
    if raw == bytes and (ends == until_ms or math.abs(ends - until_ms) <= 1000) then
      outcome = 2
    elseif mark == 'a' and old ~= '-' then
      if ends <= until_ms then outcome = -1 end
    elseif tonumber(had) > decided and (mark == 'a' or old ~= 'a') then
      outcome = -1
    end
  elseif room <= 0 then
    outcome = 0
  else
    room = room - 1
  end
  if outcome == 1 then
    version = math.max(version + 1, now)
    redis.call('HSET', KEYS[1], subject, bytes)
    redis.call('ZADD', KEYS[2], string.format('%.0f', version), subject)
    if lasts > 0 then
      redis.call('ZADD', KEYS[3], string.format('%.0f', ends), subject)
    else
      redis.call('ZREM', KEYS[3], subject)
    end
  end
  outcomes[#outcomes + 1] = outcome
end
redis.call('SET', KEYS[4], string.format('%.0f', version) .. ':' .. epoch)
return outcomes
)lua";

// KEYS facts log ends; ARGV since, most. What has ended is given with no time left: the reader goes past it.
constexpr std::string_view kRead = R"lua(
local t = redis.call('TIME')
local now_ms = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local answer = {t[1], t[2]}
local log = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #log, 2 do
  local ends = redis.call('ZSCORE', KEYS[3], log[i])
  answer[#answer + 1] = log[i + 1]
  answer[#answer + 1] = log[i]
  answer[#answer + 1] = redis.call('HGET', KEYS[1], log[i]) or ''
  answer[#answer + 1] = ends and string.format('%.0f', math.max(0, tonumber(ends) - now_ms)) or ''
end
return answer
)lua";

// KEYS seen hosts; ARGV id, description, gone after ms, forgotten after ms.
constexpr std::string_view kGreet = R"lua(
local t = redis.call('TIME')
local now_ms = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
redis.call('ZADD', KEYS[1], now_ms, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms - ARGV[4], 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
end
return redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now_ms - ARGV[3]), '+inf')
)lua";

// KEYS seen hosts; ARGV most.
constexpr std::string_view kList = R"lua(
local t = redis.call('TIME')
local now_ms = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local answer = {}
local seen = redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[1])
for i = 1, #seen, 2 do
  answer[#answer + 1] = seen[i]
  answer[#answer + 1] = redis.call('HGET', KEYS[2], seen[i]) or ''
  answer[#answer + 1] = string.format('%.0f', math.max(0, now_ms - tonumber(seen[i + 1])))
end
return answer
)lua";

constexpr std::string_view kLeave = R"lua(
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
)lua";

constexpr std::size_t kMostListed = 4096;

std::vector<std::string> eval(std::string_view script, std::initializer_list<std::string_view> keys) {
    std::vector<std::string> words{"EVAL", std::string{script}, std::to_string(keys.size())};
    words.insert(words.end(), keys.begin(), keys.end());
    return words;
}

std::optional<std::string_view> text_of(const redisReply* reply) {
    if (reply->type != REDIS_REPLY_STRING) return std::nullopt;
    return std::string_view{reply->str, reply->len};
}

// A whole number; scores come as Redis writes doubles, which below 2^53 is the same.
std::optional<std::uint64_t> number_of(const redisReply* reply) {
    const auto text = text_of(reply);
    std::uint64_t value = 0;
    if (!text) return std::nullopt;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc{} || end != text->data() + text->size()) return std::nullopt;
    return value;
}

std::optional<Nanos> span_of(const redisReply* reply) {
    constexpr std::uint64_t kLongestMs = 400ULL * 24 * 3600 * 1000;
    const auto ms = number_of(reply);
    if (!ms || *ms > kLongestMs) return std::nullopt;
    return static_cast<Nanos>(*ms) * kMillisecond;
}

}  // namespace

std::vector<std::string> fleet_say_command(const std::vector<std::string>& words) {
    auto command = eval(kSay, {kFacts, kLog, kEnds, kFleetHeadKey});
    command.push_back(std::to_string(FleetBook::kMostFacts));
    command.insert(command.end(), words.begin(), words.end());
    return command;
}

std::vector<std::string> fleet_read_command(std::uint64_t since, std::size_t most) {
    auto command = eval(kRead, {kFacts, kLog, kEnds});
    command.insert(command.end(), {std::to_string(since), std::to_string(most)});
    return command;
}

std::vector<std::string> fleet_greet_command(const std::string& id, const std::string& description) {
    auto command = eval(kGreet, {kSeen, kHosts});
    command.insert(command.end(), {id, description, std::to_string(kHostGoneAfter / kMillisecond),
                                   std::to_string(kHostForgottenAfter / kMillisecond)});
    return command;
}

std::vector<std::string> fleet_list_command() {
    auto command = eval(kList, {kSeen, kHosts});
    command.push_back(std::to_string(kMostListed));
    return command;
}

std::vector<std::string> fleet_leave_command(const std::string& id) {
    auto command = eval(kLeave, {kSeen, kHosts});
    command.push_back(id);
    return command;
}

std::optional<std::vector<FleetBook::Outcome>> parse_said(const redisReply& reply) {
    if (reply.type != REDIS_REPLY_ARRAY) return std::nullopt;
    std::vector<FleetBook::Outcome> outcomes;
    for (std::size_t i = 0; i < reply.elements; ++i) {
        const redisReply& one = *reply.element[i];
        if (one.type != REDIS_REPLY_INTEGER || one.integer < -1 || one.integer > 2) return std::nullopt;
        outcomes.push_back(static_cast<FleetBook::Outcome>(one.integer));
    }
    return outcomes;
}

std::optional<FleetRead> parse_read(const redisReply& reply) {
    constexpr std::size_t kHead = 2;
    constexpr std::size_t kEach = 4;
    constexpr std::uint64_t kMostSeconds = 1ULL << 40U;
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements < kHead || (reply.elements - kHead) % kEach != 0)
        return std::nullopt;
    const auto seconds = number_of(reply.element[0]);
    const auto us = number_of(reply.element[1]);
    if (!seconds || !us || *seconds > kMostSeconds) return std::nullopt;
    FleetRead read{*seconds * 1'000'000 + *us, {}};
    for (std::size_t i = kHead; i < reply.elements; i += kEach) {
        const auto version = number_of(reply.element[i]);
        const auto subject = text_of(reply.element[i + 1]);
        const auto bytes = text_of(reply.element[i + 2]);
        const auto lasts = text_of(reply.element[i + 3]);
        if (!version || !subject || !bytes || !lasts) return std::nullopt;
        FleetEntry entry{*version, std::string{*subject}, std::string{*bytes}, std::nullopt};
        if (!lasts->empty()) entry.lasts = span_of(reply.element[i + 3]).value_or(0);  // 0: of no use
        read.entries.push_back(std::move(entry));
    }
    return read;
}

std::optional<std::vector<SeenHost>> parse_list(const redisReply& reply) {
    constexpr std::size_t kEach = 3;
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements % kEach != 0) return std::nullopt;
    std::vector<SeenHost> hosts;
    for (std::size_t i = 0; i < reply.elements; i += kEach) {
        const auto id = text_of(reply.element[i]);
        const auto description = text_of(reply.element[i + 1]);
        const auto ago = span_of(reply.element[i + 2]);
        if (!id || !description || !ago) return std::nullopt;
        hosts.push_back({std::string{*id}, std::string{*description}, *ago});
    }
    return hosts;
}

}  // namespace sluice
