// What one key has spent: the exact trailing window.
//
// A log of (time, count) runs, oldest first. A request admitted at e counts for every t with e ≤ t < e +
// window, so no trailing window (t - window, t] ever holds more than was allowed. Times are kept rounded up,
// never down: what is stored leaves the window when it should or a little later.
//   limits up to kExactCount   every request keeps its own time, rounded up to a tick (window / 2^29 or
//                              finer: 7 µs of an hour)
//   above                      times are rounded up to the end of a slot of window / 1024, so a partial slot
//                              counts whole; at most one slot's worth of requests is held back for at most
//                              one slot
//   algorithm: fixed           times are rounded down to the window of the clock they lie in, the one way in
//                              which a trailing window can hold more than the limit: up to twice of it
// All are the same structure; a limit that changes from one to the other, or changes its window, keeps its
// runs. A window made longer can't know what had left it before; it counts what it still has.
//
// A KeyWindow holds its first kNearRuns runs itself; more move to a block of the heap that it owns, while the
// times of the oldest and the newest run stay here: a request that fits reads nothing of the block unless
// something has just left the window. Why: docs/adr/0010.
// Not thread-safe: the Limiter's shard lock protects it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

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

// The plain fields of a KeyWindow: what moves when it moves.
struct WindowFields {
    struct Run {
        std::uint32_t tick;  // since base_tick
        std::uint32_t count;
    };
    static constexpr std::size_t kNearRuns = 8;
    struct Block {  // a ring
        Run* runs;
        std::uint32_t first_tick;  // of the oldest and the newest run
        std::uint32_t last_tick;
        std::uint16_t head;
        std::uint16_t capacity;
    };
    enum class Place : std::uint8_t { kNone, kNear, kFar };

    KeyHash key_;
    Nanos window_ns_ = 0;         // as last charged; 0: never
    std::int64_t base_tick_ = 0;  // ticks since the epoch
    std::uint32_t sum_ = 0;       // of all runs
    std::uint16_t size_ = 0;      // runs
    Place place_ = Place::kNone;  // where the runs are; kNone: this is nobody's
    bool changed_ = false;
    union {
        std::array<Run, kNearRuns> near_{};
        Block far_;
    };
};

class KeyWindow : private WindowFields {
  public:
    KeyWindow() = default;  // nobody's: a free place of the table
    explicit KeyWindow(const KeyHash& key) {
        key_ = key;
        place_ = Place::kNear;
    }
    KeyWindow(KeyWindow&& other) noexcept : WindowFields(std::exchange(other.fields(), {})) {}
    KeyWindow& operator=(KeyWindow&& other) noexcept {
        if (this != &other) {
            release();
            fields() = std::exchange(other.fields(), {});
        }
        return *this;
    }
    ~KeyWindow() { release(); }

    bool vacant() const { return place_ == Place::kNone; }
    const KeyHash& key() const { return key_; }
    std::size_t size() const { return size_; }
    // Whether it is to be stored. KeyTable's, which knows where to look for those.
    bool changed() const { return changed_; }
    void set_changed(bool changed) { changed_ = changed; }
    // Bytes of the heap it owns besides itself, the allocator's header included.
    std::size_t block_bytes() const { return place_ == Place::kFar ? bytes_for(far_.capacity) : 0; }
    // When nothing of it counts any more, for the window it was last charged with. 0 if empty.
    Nanos expires_at() const { return size_ == 0 ? 0 : time_of(last_tick()) + window_ns_; }

    // What counts at `now` in a window of window_ns, which may differ from the one it was charged with.
    Spending spending(Nanos window_ns, Nanos now) const;
    // The earliest time ≥ now at which `cost` more fits into `rate`; kNever if cost > rate.count.
    Nanos fits_at(const Rate& rate, std::uint64_t cost, Nanos now) const;

    // Forgets what left the window it was last charged with. `now` must never go back for one key.
    void prune(Nanos now) {
        if (size_ > 0 && first_tick() <= ticks_gone(window_ns_, now)) forget_expired(now);
    }
    // Bytes that grow() would add before add(rate, …, now, algorithm) can keep it as a run of its own; 0: it
    // has room, or is as large as it may be. After prune(now).
    std::size_t wants_bytes(const Rate& rate, Nanos now, LimitAlgorithm algorithm) const;
    // Moves the runs to a larger block. False: memory is exhausted, nothing has changed.
    bool grow();
    // Records cost at now, whether or not it fits `rate`. If there is no room, neighbours are merged into the
    // later of their times: strict, never lossy. True if that was done.
    bool add(const Rate& rate, std::uint32_t cost, Nanos now, LimitAlgorithm algorithm);
    // Takes back cost that was added at `added`, unless it has left the window by now: from the run that
    // holds it, or an older one if another's time lies between. Never more than that run holds. False if
    // nothing was taken back.
    bool refund(const Rate& rate, std::uint32_t cost, Nanos added, Nanos now, LimitAlgorithm algorithm);
    void clear();

    // For the ledger: versioned, checksummed; times are absolute (ledger clock).
    void serialise(std::string& out) const;
    // Nothing: not ours, damaged or out of memory. Times are moved by shift_ns.
    static std::optional<KeyWindow> restore(const KeyHash& key, std::string_view bytes, Nanos shift_ns);

    static constexpr std::size_t kMaxRuns = 2303;  // what grow() comes to

  private:
    WindowFields& fields() { return *this; }
    static std::size_t bytes_for(std::size_t capacity);
    void release() noexcept;
    std::size_t capacity() const { return place_ == Place::kFar ? far_.capacity : kNearRuns; }
    bool reserve(std::size_t capacity);
    Run& run(std::size_t i) {
        if (place_ != Place::kFar) return near_[i];
        const std::size_t at = far_.head + i;
        return far_.runs[at < far_.capacity ? at : at - far_.capacity];
    }
    const Run& run(std::size_t i) const { return const_cast<KeyWindow*>(this)->run(i); }
    std::uint32_t first_tick() const { return place_ == Place::kFar ? far_.first_tick : near_[0].tick; }
    std::uint32_t last_tick() const {
        return place_ == Place::kFar ? far_.last_tick : near_[size_ - 1U].tick;
    }
    // A window is between 2^29 and 2^30 ticks long (fewer if it is shorter than that many nanoseconds), so
    // that four of them fit into a run's 32 bits and the log is rebased seldom. A tick is 2^shift ns.
    static unsigned shift_for(Nanos window_ns) {
        const auto bits = std::bit_width(static_cast<std::uint64_t>(window_ns));
        return bits > 30 ? static_cast<unsigned>(bits - 30) : 0;
    }
    unsigned shift() const { return shift_for(window_ns_); }
    Nanos time_of(std::uint32_t tick) const { return (base_tick_ + tick) << shift(); }
    // Runs up to this tick have left the window. A run counts while its time > now - window; its time is a
    // whole number of ticks, so comparing ticks is exact.
    std::int64_t ticks_gone(Nanos window_ns, Nanos now) const {
        return ((now - window_ns) >> shift()) - base_tick_;
    }
    void forget_expired(Nanos now);
    static std::int64_t stamp(const Rate& rate, Nanos now, LimitAlgorithm algorithm);
    void drop_oldest(std::size_t runs);
    void append(Run run);
    void change_window(Nanos window_ns, Nanos now);
    void rebase();
    void merge_neighbours();
    void note_ends();
};

static_assert(sizeof(KeyWindow) == 104, "a key with few requests in its window takes 200 bytes at most");

}  // namespace sluice
