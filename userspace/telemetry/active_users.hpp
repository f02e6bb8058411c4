// How many distinct users were active in the last five minutes (active_users_total).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "base/clock.hpp"
#include "base/guarded.hpp"

namespace sluice {

// Exact to the second and to a collision of 64-bit hashes, up to `capacity` users in the window (some 60
// bytes each); beyond that, new users are not counted and saturated() says so. Any thread. Times are of any
// one clock.
class ActiveUsers {
  public:
    static constexpr Nanos kWindow = 5 * kMinute;

    explicit ActiveUsers(std::size_t capacity = 262'144) : capacity_(capacity / kShards + 1) {}

    // The user did something. A lock of one of 16 shards, a hash look-up.
    void seen(std::string_view user, Nanos now);
    // Users seen within (now − 5 min, now]. Forgets the others; O(users).
    std::uint64_t count(Nanos now);
    // Whether a user was ever turned away for want of room: the count then is a lower bound.
    bool saturated() const { return saturated_.load(std::memory_order_relaxed); }

  private:
    static constexpr std::size_t kShards = 16;
    struct Shard {
        std::unordered_map<std::uint64_t, Nanos> last_seen;
        Nanos last_sweep = 0;
    };

    std::size_t capacity_;  // of a shard
    std::array<Guarded<Shard>, kShards> shards_;
    std::atomic<bool> saturated_{false};
};

}  // namespace sluice
