#include "ledger/lease_script.hpp"

#include "ledger/reply_fields.hpp"

namespace sluice {

// State: {last time, window, {time, count, …}, {host, seq, uses known, lease end, tokens held, …}}; times in microseconds
// of Redis's clock, runs in order of time. A run counts until time + window, held tokens until lease end + window.
const std::string_view kLeaseScript = R"lua(
local limit, window, unit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local raw = redis.call('GET', KEYS[1])
if limit < 0 then
  if not raw then return 0 end
  local state = cmsgpack.unpack(raw)
  state[3] = {}
  redis.call('SET', KEYS[1], cmsgpack.pack(state), 'KEEPTTL')
  return 1
end
local me, seq, base, bound = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local keep, need, want = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local long, short = tonumber(ARGV[11]), tonumber(ARGV[12])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
if bound > 0 and now > bound then now = bound end
local last, before, runs, hosts = 0, window, {}, {}
if raw then
  local state = cmsgpack.unpack(raw)
  last, before, runs, hosts = state[1], state[2], state[3], state[4]
end
if now < last then now = last end

-- My record, and the others'.
local known, my_seq, held, my_end = 0, 0, 0, 0
local others, leased, away, records, active, latest = {}, 0, 0, 0, 1, 0
local oldest = now - math.max(window, before)
for i = 1, #hosts, 5 do
  local lease_end = hosts[i + 3]
  if lease_end > oldest then
    if hosts[i] == me then
      my_seq, known, my_end, held = hosts[i + 1], hosts[i + 2], hosts[i + 3], hosts[i + 4]
    else
      for j = i, i + 4 do others[#others + 1] = hosts[j] end
      records = records + 1
      if lease_end > now - window then
        leased = leased + hosts[i + 4]
        if lease_end > latest then latest = lease_end end
      end
      if lease_end > now - long then active = active + 1 end
      if lease_end > now + short then away = away + hosts[i + 4] end
    end
  end
end
if seq <= my_seq then return {1, now, my_seq, known, 0, 0, 0, 0, 0, records + 1} end
if known < base then return {2, now, my_seq, known, 0, 0, 0, 0, 0, records + 1} end

-- Runs that still count, then the uses reported.
local first, size = 1, #runs
while first < size and runs[first] <= oldest do first = first + 2 end
if first > 1 then
  local alive = {}
  for i = first, size do alive[i - first + 1] = runs[i] end
  runs, size = alive, size - first + 1
end
local skip, reported = known - base, 0
for i = 13, #ARGV, 2 do
  local age, count = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local again = math.min(skip, count)
  skip, count = skip - again, count - again
  if count > 0 then
    reported = reported + count
    local at = math.ceil((now - age) / unit) * unit
    if at > now - window then
      local j = size - 1
      while j > 0 and runs[j] > at do j = j - 2 end
      if j > 0 and runs[j] == at then
        runs[j + 1] = runs[j + 1] + count
      else
        table.insert(runs, j + 2, at)
        table.insert(runs, j + 3, count)
        size = size + 2
      end
    end
  end
end
known = known + reported

-- What is left, and my part of it.
local kept = math.min(keep, math.max(0, held - reported))
local tokens, used = kept, leased + kept
first = 1
while first < size and runs[first] <= now - window do first = first + 2 end
for i = first, size, 2 do used = used + runs[i + 1] end
local free = math.max(0, limit - used)
local grant = math.min(need, free)
if want > need and free > 0 then
  grant = math.max(grant, math.min(want, math.floor(free / (2 * active))))
end
tokens, free, used = tokens + grant, free - grant, used + grant
local lease, lease_end = 0
if tokens > need then lease = long elseif tokens > 0 then lease = short end
lease_end = now + lease
if kept > 0 then lease_end = math.max(lease_end, my_end) end  -- should this answer be lost

local retry = 0
if grant < need then
  local over = used + 1 - limit
  retry = window
  if latest > 0 then retry = latest + window - now end
  for i = first, size, 2 do
    over = over - runs[i + 1]
    if over <= 0 then
      retry = runs[i] + window - now
      break
    end
  end
end

local n = #others
others[n + 1], others[n + 2], others[n + 3], others[n + 4], others[n + 5] = me, seq, known, lease_end, tokens
local until_us = math.max(lease_end, latest, size > 0 and runs[size - 1] or 0) + window
redis.call('SET', KEYS[1], cmsgpack.pack({now, window, runs, others}),
           'PX', math.ceil((until_us - now) / 1000) + 10001)  -- a clock set forward by 10 s ends nothing early
return {0, now, seq, known, tokens, lease, free, retry, away, records + 1}
)lua";

namespace {

std::string text(std::uint64_t value) {
    return std::to_string(value);
}
std::string text(std::int64_t value) {
    return std::to_string(value);
}

}  // namespace

std::string lease_key_name(const KeyHash& key) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string name = "sluice:1:{";
    for (const std::uint64_t part : {key.high, key.low})
        for (int shift = 60; shift >= 0; shift -= 4) name += kDigits[(part >> shift) & 15U];
    return name + "}";
}

std::string lease_record_name(std::string_view host, std::uint64_t lease, std::uint64_t generation) {
    return std::string{host} + "." + text(lease) + "." + text(generation);
}

std::vector<std::string> lease_arguments(const KeyHash& key, std::string_view host,
                                         const LeaseRequest& request) {
    std::vector<std::string> all{lease_key_name(key),
                                 text(request.limit),
                                 text(request.window_us),
                                 text(request.unit_us),
                                 lease_record_name(host, request.lease, request.generation),
                                 text(request.seq),
                                 text(request.base),
                                 text(request.bound_us),
                                 text(request.keep),
                                 text(request.need),
                                 text(request.want),
                                 text(request.long_us),
                                 text(request.short_us)};
    all.reserve(all.size() + 2 * request.uses.size());
    for (const LeaseUse& use : request.uses) {
        all.push_back(text(use.age_us));
        all.push_back(text(use.count));
    }
    return all;
}

std::vector<std::string> lease_reset_arguments(const KeyHash& key) {
    return {lease_key_name(key), "-1", "0", "1"};
}

std::optional<LeaseReply> parse_lease_reply(const redisReply& reply) {
    const auto fields = reply_fields<10>(reply);
    if (!fields) return std::nullopt;
    const auto& field = *fields;
    if (field[0] > 2) return std::nullopt;
    const auto count = [&](std::size_t i) { return static_cast<std::uint64_t>(field[i]); };
    return LeaseReply{.status = static_cast<LeaseReply::Status>(field[0]),
                      .now_us = field[1],
                      .seq = count(2),
                      .known = count(3),
                      .tokens = count(4),
                      .lease_us = field[5],
                      .free = count(6),
                      .retry_us = field[7],
                      .leased_away = count(8),
                      .hosts = count(9)};
}

}  // namespace sluice
