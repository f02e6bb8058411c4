// The limiter: all counters of this host, and the one decision that is made with them.
//
// admit() takes all charges of a request or none: a refused request changes no counter. Counters are exact
// trailing windows (window.hpp). They are spread over shards by their key; a request locks the shards of its
// charges in ascending order, for well under a microsecond; nothing waits for I/O.
//
// Time is ledger_now() of the caller. A shard never goes back: a time older than the newest it has seen
// counts as that.
//
// Memory is bounded. When a shard is full, expired keys are reclaimed step by step; if there are none, new
// keys share one counter for each limit, with that limit's own rate: strict, counted in stats(), never open.
// A key that got through by it and then finds room begins with an empty counter of its own: the one case in
// which a window can hold more than its limit, by at most one limit's worth for all such keys together.
//
// Any thread may call anything here.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limiter/window.hpp"

namespace sluice {

// More than this many charges in one request are refused as a whole.
inline constexpr std::size_t kMaxCharges = 32;

struct Charge {
    KeyHash key;
    std::uint64_t limit = 0;  // KeyHasher::limit_id of the limit's name
    Rate rate;                // the limit's, or the user's override of it
    std::uint32_t cost = 1;
    LimitMode mode = LimitMode::kEnforce;
    LimitAlgorithm algorithm = LimitAlgorithm::kTrailing;
};

struct ChargeResult {
    std::uint64_t used = 0;  // this request included, if it was counted here
    std::uint64_t remaining = 0;
    bool refused = false;  // this charge does not fit; kShadow: would have been refused, but is not
    bool shared = false;   // judged by the limit's overflow counter
    Nanos retry_at = 0;    // earliest time at which this charge alone fits; now if it does; kNever
    Nanos more_at = 0;     // when `remaining` next grows by itself; now if nothing is spent
    Nanos reset_at = 0;    // when nothing is spent any more; now if nothing is
};

struct Admission {
    bool admitted = true;
    // Latest retry_at of the enforced charges that refused: the same request made then is admitted if nothing
    // else is spent meanwhile. `now` if admitted.
    Nanos retry_at = 0;
};

struct LimiterConfig {
    // Sized for a host that sees four million users and addresses within their windows; at most 190 bytes a key with
    // up to 8 requests in its window, and rather more for keys that are busy.
    std::size_t max_keys = 4'000'000;
    std::size_t max_bytes = std::size_t{1} << 30;
    // A power of two. Many, so that growing one shard's table takes some milliseconds at most at ten million
    // keys; not so many that the tables of a million keys are too small for huge pages.
    unsigned shards = 64;
    // Whether changed keys are remembered for drain_changes(). Off when nobody stores them.
    bool track_changes = false;
};

struct LimiterStats {
    std::uint64_t keys = 0;
    std::uint64_t bytes = 0;       // tables and windows, as the allocator sees them
    std::uint64_t overflowed = 0;  // charges judged by an overflow counter because no key could be added
    std::uint64_t reclaimed = 0;   // expired keys removed
    std::uint64_t merged = 0;  // times a busy key's runs were merged for lack of memory: stricter, never open
    std::uint64_t changes = 0;  // keys waiting for drain_changes()
};

// Changed keys as they are to be stored. Reusable: clear() keeps its memory.
class KeyBatch {
  public:
    struct Entry {
        KeyHash key;
        Nanos expires_at = 0;    // ledger clock
        std::string_view state;  // empty: nothing is spent, delete it. Valid until the batch changes
    };
    void clear();
    void reserve(std::size_t keys, std::size_t bytes);
    void add(const KeyWindow& window);
    std::size_t size() const { return items_.size(); }
    bool empty() const { return items_.empty(); }
    Entry operator[](std::size_t i) const;

  private:
    struct Item {
        KeyHash key;
        Nanos expires_at;
        std::size_t end;  // of its bytes
    };
    std::vector<Item> items_;
    std::string bytes_;
};

enum class RestoreOutcome : std::uint8_t { kRestored, kExpired, kDamaged, kFull };

class Limiter {
  public:
    explicit Limiter(const LimiterConfig& config = {});
    ~Limiter();
    Limiter(const Limiter&) = delete;
    Limiter& operator=(const Limiter&) = delete;

    // Admits the request and counts every charge, or refuses it and counts none. results.size() ≥
    // charges.size(). A kShadow charge never refuses; it is counted as enforcing it would have: not when it
    // does not fit. No charges: admitted.
    Admission admit(std::span<const Charge> charges, Nanos now, std::span<ChargeResult> results);
    // Asks for the memory admit() will look at. Worth it when other work, or the requests that came with this
    // one, lie between the two: a decision about a key that is in no cache waits for memory most of its time.
    void prefetch(std::span<const Charge> charges) const;
    // Takes back what an admitted request was charged: for work that was paid for and not done. results and
    // admitted_at as admit() had and gave them; once for each. What has left its window by now, was not
    // counted (a shadow's refusal) or went to an overflow counter is not given back; after reset(), what was
    // spent since may be.
    void refund(std::span<const Charge> charges, std::span<const ChargeResult> results, Nanos admitted_at);
    // What admit() would say, counting nothing. A charge's `used` is without this request.
    Admission peek(std::span<const Charge> charges, Nanos now, std::span<ChargeResult> results) const;

    // One counter as it stands.
    ChargeResult usage(const KeyHash& key, const Rate& rate, Nanos now) const;
    // Forgets what the key has spent. True if there was anything.
    bool reset(const KeyHash& key, Nanos now);

    // Looks at up to `budget` table entries for expired keys and frees them; continues where it stopped.
    // Locks one shard at a time for at most 256 entries. Returns how many were freed.
    std::size_t sweep(Nanos now, std::size_t budget);
    LimiterStats stats() const;

    // Adds up to max_keys changed keys to the batch, oldest shard first; each counts as stored from here on.
    // Returns how many. If storing them fails, mark_changed() puts them back.
    std::size_t drain_changes(std::size_t max_keys, KeyBatch& batch);
    void mark_changed(const KeyBatch& batch);
    // A key as it was stored, its times moved by shift_ns. Replaces what the key has.
    RestoreOutcome restore(const KeyHash& key, std::string_view state, Nanos shift_ns, Nanos now);

  private:
    struct Shard;
    struct Overflow;
    struct Request;

    Shard& shard_of(const KeyHash& key) const;
    void make_places(Request& request, Nanos now, std::span<ChargeResult> results);
    bool has_room(const Shard& shard) const;
    static void take_back(Request& request);
    void spend(Request& request, std::span<ChargeResult> results);
    void make_room(Shard& shard, KeyWindow& window, const Charge& charge, Nanos now);
    void grow_if_needed(Shard& shard);

    LimiterConfig config_;  // max_keys and max_bytes: of one shard
    std::unique_ptr<Shard[]> shards_;
    std::unique_ptr<Overflow> overflow_;
    std::atomic<std::size_t> sweep_shard_{0};
    std::atomic<std::size_t> drain_shard_{0};
};

}  // namespace sluice
