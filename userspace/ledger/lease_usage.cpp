#include "ledger/lease_usage.hpp"

#include "ledger/lease_script.hpp"
#include "ledger/reply_fields.hpp"

namespace sluice {

// Its clock and what counts until when: as in kLeaseScript.
const std::string_view kLeaseUsageScript = R"lua(
local limit, window, bound = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local raw = redis.call('GET', KEYS[1])
if not raw then return {0, 0, 0, 0, 0, 0} end
local state = cmsgpack.unpack(raw)
local runs, hosts = state[3], state[4]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
if bound > 0 and now > bound then now = bound end
if now < state[1] then now = state[1] end

local used, leased, latest = 0, 0, now - window
for i = 1, #runs, 2 do
  if runs[i] > now - window then
    used, latest = used + runs[i + 1], runs[i]
  end
end
local mine, mine_ended = 0, 0
for i = 1, #hosts, 5 do
  local lease_end, held = hosts[i + 3], hosts[i + 4]
  if lease_end > now - window and held > 0 then
    latest = math.max(latest, lease_end)
    if lease_end > now then leased = leased + held else used = used + held end
    if hosts[i] == ARGV[4] then
      mine = held
      if lease_end <= now then mine_ended = 1 end
    end
  end
end

local retry, over = 0, used + leased + 1 - limit
if over > 0 then
  retry = latest + window - now
  for i = 1, #runs, 2 do
    if runs[i] > now - window then over = over - runs[i + 1] end
    if over <= 0 then
      retry = runs[i] + window - now
      break
    end
  end
end
return {used, leased, mine, mine_ended, latest + window - now, retry}
)lua";

std::vector<std::string> lease_usage_arguments(const KeyHash& key, const Rate& rate, std::int64_t bound_us,
                                               std::string_view mine) {
    return {lease_key_name(key), std::to_string(rate.count), std::to_string(rate.window / kMicrosecond),
            std::to_string(bound_us), std::string{mine}};
}

std::optional<LeaseUsage> parse_lease_usage(const redisReply& reply) {
    const auto fields = reply_fields<6>(reply);
    if (!fields) return std::nullopt;
    const auto& field = *fields;
    return LeaseUsage{.used = static_cast<std::uint64_t>(field[0]),
                      .leased = static_cast<std::uint64_t>(field[1]),
                      .mine = static_cast<std::uint64_t>(field[2]),
                      .mine_ended = field[3] != 0,
                      .reset_in = field[4] * kMicrosecond,
                      .retry_in = field[5] * kMicrosecond};
}

}  // namespace sluice
