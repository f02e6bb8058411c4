// What one key has spent: the exact trailing window.
//
// A log of (time, count) runs, oldest first. A request admitted at e counts for every t with e ≤ t < e +
// window, so no trailing window (t - window, t] ever holds more than was allowed. Times are kept rounded up,
// never down: what is stored leaves the window when it should or a little later.
//   limits up to kExactCount   every request keeps its own time, rounded up to a tick (window / 2^29 or
//   finer: 7 µs of
//                              an hour)
//   above                      times are rounded up to the end of a slot of window / 1024, so a partial slot
//   counts
//                              whole; at most one slot's worth of requests is held back for at most one slot
// Both are the same structure; a limit that changes from one to the other, or changes its window, keeps its
// runs.
// A window made longer can't know what had left it before; it counts what it still has.
//
// A KeyWindow is one heap block with its runs behind it: 64 bytes and 8 for each run it has room for.
// Not thread-safe: the Limiter's shard lock protects it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "limiter/key.hpp"
#include "policy/policy.hpp"

namespace sluice {

inline constexpr std::uint64_t kExactCount = 256;
inline constexpr std::uint64_t kSlotsPerWindow = 1024;
// A time that never comes: what a charge that is larger than its limit is told to wait for.
inline constexpr Nanos kNever = INT64_MAX;
// Counts are kept in 32 bits; a limit above this is enforced as this.
inline constexpr std::uint64_t kMaxCount = UINT32_MAX;

// What is spent at one moment, and when that changes.
struct Spending {
    std::uint64_t used = 0;
    Nanos more_at = 0;   // when the oldest of it leaves the window; the time asked for if nothing is spent
    Nanos reset_at = 0;  // when all of it has left; the time asked for if nothing is spent
};

class KeyWindow {
  public:
    // Room for `capacity` runs, rounded up to a power of two from 2 to kMaxRuns. nullptr when memory is
    // exhausted.
    static KeyWindow* create(const KeyHash& key, std::size_t capacity);
    // The same content in a block of another capacity ≥ size(); `window` is not freed. nullptr: memory is
    // exhausted.
    static KeyWindow* copy(const KeyWindow& window, std::size_t capacity);
    static void destroy(KeyWindow* window) noexcept;
    // Bytes the allocator spends on a block of this capacity, its own header included.
    static std::size_t bytes(std::size_t capacity);

    const KeyHash& key() const { return key_; }
    std::size_t size() const { return size_; }
    std::size_t capacity() const { return capacity_; }
    // When nothing of it counts any more, for the window it was last charged with. 0 if empty.
    Nanos expires_at() const;

    // What counts at `now` in a window of window_ns, which may differ from the one it was charged with.
    Spending spending(Nanos window_ns, Nanos now) const;
    // The earliest time ≥ now at which `cost` more fits into `rate`; kNever if cost > rate.count.
    Nanos fits_at(const Rate& rate, std::uint64_t cost, Nanos now) const;

    // Forgets what left the window it was last charged with. `now` must never go back for one key.
    void prune(Nanos now);
    // Whether add(rate, …, now) needs a block with more room. After prune(now).
    bool needs_room(const Rate& rate, Nanos now) const;
    // Records cost at now, whether or not it fits `rate`. If there is no room, neighbours are merged into the
    // later of their times: strict, never lossy.
    void add(const Rate& rate, std::uint32_t cost, Nanos now);
    void clear();

    // For the ledger: versioned, checksummed; times are absolute (ledger clock).
    void serialise(std::string& out) const;
    // nullptr: not ours, damaged or out of memory. Times are moved by shift_ns.
    static KeyWindow* restore(const KeyHash& key, std::string_view bytes, Nanos shift_ns);

    static constexpr std::size_t kMaxRuns = 2048;

    // The list of keys that are to be stored, through the windows themselves: what points to this one
    // (nullptr: not in the list) and the next. The Limiter's; copy() leaves them empty.
    KeyWindow** changed_link = nullptr;
    KeyWindow* changed_next = nullptr;

  private:
    struct Run {
        std::uint32_t tick;  // since base_tick_
        std::uint32_t count;
    };

    explicit KeyWindow(const KeyHash& key, std::uint16_t capacity) : key_(key), capacity_(capacity) {}
    Run* runs() { return reinterpret_cast<Run*>(this + 1); }
    const Run* runs() const { return reinterpret_cast<const Run*>(this + 1); }
    Run& run(std::size_t i) { return runs()[(head_ + i) & (capacity_ - 1U)]; }
    const Run& run(std::size_t i) const { return runs()[(head_ + i) & (capacity_ - 1U)]; }
    Nanos time_of(std::size_t i) const { return (base_tick_ + run(i).tick) << shift_; }
    std::int64_t stamp(const Rate& rate, Nanos now) const;
    void change_window(Nanos window_ns, Nanos now);
    void rebase();
    void merge_neighbours();

    KeyHash key_;
    Nanos window_ns_ = 0;         // as last charged; 0: never
    std::int64_t base_tick_ = 0;  // ticks since the epoch
    std::uint32_t sum_ = 0;       // of all runs; saturates
    std::uint16_t head_ = 0;
    std::uint16_t size_ = 0;
    std::uint16_t capacity_;
    std::uint8_t shift_ = 0;  // a tick is 2^shift_ ns
};

}  // namespace sluice
