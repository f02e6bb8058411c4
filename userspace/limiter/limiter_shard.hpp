// What the parts of the limiter's implementation share: one shard, and the overflow counters.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "limiter/key_table.hpp"
#include "limiter/limiter.hpp"
#include "limiter/spin_lock.hpp"

namespace sluice {

struct alignas(64) Limiter::Shard {
    SpinLock lock;  // protects the rest
    Nanos now = 0;  // newest time seen
    KeyTable table;
    std::size_t block_bytes = 0;  // of all windows
    std::size_t sweep_at = 0;     // next place to look at
    std::uint64_t reclaimed = 0;
    std::uint64_t merged = 0;

    std::size_t bytes() const { return block_bytes + table.bytes(); }
    Nanos advance(Nanos time) { return now = std::max(now, time); }

    void erase(std::size_t place) {
        block_bytes -= table[place].block_bytes();
        table.erase(place);
    }
    // Looks at up to `budget` places and frees those whose key has expired. A key that was reset stays until
    // that is stored: else the ledger would bring its spending back.
    std::size_t reclaim(std::size_t budget) {
        std::size_t freed = 0;
        for (; budget > 0 && table.size() > 0; --budget) {
            if (sweep_at >= table.places()) sweep_at = 0;
            const KeyWindow& window = table[sweep_at];
            if (window.vacant() || window.expires_at() > now || (window.size() == 0 && window.changed())) {
                ++sweep_at;
                continue;
            }
            erase(sweep_at);  // another may stand here now: look again
            ++freed;
        }
        reclaimed += freed;
        return freed;
    }
};

// Counters of the keys that found no room: one for each limit, made when first needed.
struct Limiter::Overflow {
    // More limits than policies have; when policies come and go, a counter that has expired makes room.
    static constexpr std::size_t kMostLimits = 1024;

    Overflow() { windows.reserve(kMostLimits); }  // pointers into it stay valid

    // nullptr: no room here either.
    KeyWindow* find(std::uint64_t limit) {
        for (auto& [id, window] : windows) {
            if (id == limit) return &window;
        }
        if (windows.size() < kMostLimits) {
            return &windows.emplace_back(limit, KeyWindow{KeyHash{}}).second;
        }
        for (auto& [id, window] : windows) {
            if (window.expires_at() > now) continue;
            window.clear();
            id = limit;
            return &window;
        }
        return nullptr;
    }

    SpinLock lock;  // taken after the shards'; protects the rest
    Nanos now = 0;
    std::vector<std::pair<std::uint64_t, KeyWindow>> windows;
    std::uint64_t overflowed = 0;
};

}  // namespace sluice
