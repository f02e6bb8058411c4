// The Lua script that tells what all hosts have spent of one key, and changes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "limiter/key.hpp"
#include "limiter/window.hpp"

struct redisReply;

namespace sluice {

struct LeaseUsage {
    std::uint64_t used =
        0;  // in the window: told by any host, or of a lease that has ended and counts as if it had been used
    std::uint64_t leased = 0;  // of leases that hosts still have: not used, or not told yet
    std::uint64_t mine = 0;    // of `used`, or of `leased`: tokens of the record that was asked for
    bool mine_ended = false;   // of `used`
    Nanos reset_in = 0;        // until nothing of either counts any more
    Nanos retry_in = 0;        // until a token more is free, if no host gives one back; 0: one is
};

// Reads what lease_script.hpp's script writes.
extern const std::string_view kLeaseUsageScript;

// KEYS[1] and ARGV in order, as text. bound_us: as LeaseRequest's. mine: the name of a record (lease_record_name), or empty.
std::vector<std::string> lease_usage_arguments(const KeyHash& key, const Rate& rate, std::int64_t bound_us,
                                               std::string_view mine);
// nullopt: not what the script answers.
std::optional<LeaseUsage> parse_lease_usage(const redisReply& reply);

}  // namespace sluice
