// What a host and Redis say to each other about one key (docs/adr/0011). Plain values: no I/O, no clock.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "limiter/window.hpp"

namespace sluice {

// Uses of tokens, `age_us` before the message was sent. Never more than was really elapsed, so that Redis, which takes
// this off its own time, never dates a use before it happened.
struct LeaseUse {
    std::int64_t age_us = 0;
    std::uint64_t count = 0;

    bool operator==(const LeaseUse&) const = default;
};

struct LeaseRequest {
    std::uint64_t limit = 0;
    std::int64_t window_us = 0;
    std::int64_t unit_us = 1;      // Redis keeps times rounded up to a multiple of this
    std::uint64_t lease = 0;       // which of this host's leases of the key, and
    std::uint64_t generation = 0;  // how often it began anew: each has a record of its own
    std::uint64_t seq = 0;   // of this host and key; a request with a seq seen before is refused as stale
    std::uint64_t base = 0;  // uses[0] is this host's use number `base` of the key, counted from 0
    std::int64_t bound_us =
        0;                   // Redis's clock can't be later than this when the message is sent; 0: not known
    std::uint64_t keep = 0;  // unused tokens the host still holds; what it held beyond them it has given up
    std::uint64_t need = 0;  // tokens that requests wait for
    std::uint64_t want = 0;  // tokens it could use soon, `need` included
    std::int64_t long_us = 0;    // how long a lease lives that is more than `need`
    std::int64_t short_us = 0;   // and one that is only what is waited for
    std::vector<LeaseUse> uses;  // oldest first
};

struct LeaseReply {
    enum class Status : std::uint8_t {
        kOk = 0,
        kStale = 1,  // a later message of this host came first; nothing was changed
        kLost = 2,   // Redis knows fewer uses of this host than it once acknowledged; nothing was changed
    };
    Status status = Status::kOk;
    std::int64_t now_us = 0;    // Redis's clock as the script took it, never later than bound_us allowed
    std::uint64_t seq = 0;      // the latest seen
    std::uint64_t known = 0;    // uses of this host Redis knows, counted from 0
    std::uint64_t tokens = 0;   // what the host may use from now on, `keep` included
    std::int64_t lease_us = 0;  // for so long from the moment it sent its message
    std::uint64_t free = 0;     // what is left for all hosts
    std::int64_t retry_us = 0;  // if tokens were too few: until the first more, if nobody returns any before
    std::uint64_t leased_away = 0;  // tokens other hosts hold and may give back
    std::uint64_t hosts = 0;        // that have used or held the key within its window

    bool operator==(const LeaseReply&) const = default;
};

// Redis keeps times exactly (to the microsecond) for limits up to kExactCount, else in slots of 1/2048 window, rounded up. What is
// late by that is not admitted: at twice the limit, half a slot a window is 0.05 % of what is entitled.
std::int64_t lease_unit_us(const Rate& rate);

}  // namespace sluice
