// All leases of this host, and the one decision that is made with them: as Limiter::admit, but what is spent must be held.
//
// Where a lease does not do, the request waits for one round trip and asks again; where Redis is away, each limit's
// on_ledger_loss decides. The limiter decides as well, with its windows of this host alone: they can't refuse what all hosts
// together were granted, but bound memory, answer for used and reset times, and are what is left when Redis is away.
//
// Locks of a request: shards of leases ascending, then the limiter's. Nothing waits under them.
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "ledger/lease.hpp"
#include "ledger/lease_usage.hpp"
#include "ledger/redis_clock.hpp"
#include "ledger/redis_nodes.hpp"
#include "limiter/limiter.hpp"
#include "limiter/spin_lock.hpp"

namespace sluice {

struct LeaseStats {
    std::uint64_t keys = 0;
    std::uint64_t messages = 0;  // to Redis
    std::uint64_t waited = 0;    // requests that waited for an answer
    std::uint64_t late = 0;      // of them, those whose answer did not come in time
    std::uint64_t unleased = 0;  // requests admitted without a lease while Redis was away
    std::uint64_t lost = 0;      // times Redis had forgotten what it was told
    unsigned hosts = 1;          // known, this one included
};

class LeaseBook {
  public:
    // Called once, on the Redis thread: the request may ask again.
    using Wake = std::function<void()>;
    // Makes a Wake for a request that has to wait. Empty: it can't.
    using Waker = std::function<Wake()>;

    struct Request {
        std::span<const Charge> charges;
        std::span<const LedgerLoss> losses;  // one a charge
        Nanos monotonic = 0;                 // now
        Nanos ledger = 0;                    // the same moment by ledger_now()
        Nanos asked = 0;                     // when this request asked first, monotonic; 0: now
    };

    // host: the name of this process among all, ever. Both outlive it.
    LeaseBook(Limiter& limiter, RedisNodes& redis, std::string host);
    ~LeaseBook();
    LeaseBook(const LeaseBook&) = delete;
    LeaseBook& operator=(const LeaseBook&) = delete;

    // Any thread. All charges or none. nullopt: nothing is decided yet; a Wake was made and will be called within the
    // deadline. `results` is only filled if it is decided.
    std::optional<Admission> admit(const Request& request, std::span<ChargeResult> results,
                                   const Waker& waker);

    struct Counter {
        KeyHash key;
        Rate rate;
    };
    // Of one counter, over all hosts. Of what this host used nothing is missing; of what others did, at most `leased`. Tokens of
    // a lease that ended count as used: nobody else may use them.
    struct Usage {
        std::uint64_t used = 0;
        std::uint64_t leased = 0;     // held by hosts, and as far as is known not used
        std::uint64_t available = 0;  // to this host, now
        Nanos reset_in = 0;           // until nothing counts any more
        Nanos retry_in = 0;  // if nothing is available: until there is, unless a host gives back before
    };
    // In the order of `counters`; nullopt: its Redis is away. Not on the Redis thread; waits for Redis, a second at most.
    std::vector<std::optional<Usage>> usage(std::span<const Counter> counters);

    struct Peeked {
        Admission admission;
        std::bitset<kMaxCharges>
            of_all_hosts;  // results whose numbers are; the others are this host's, whose Redis is away
    };
    // What admit() would decide; counts nothing. As usage(). A result's `used` is without this request.
    Peeked peek(const Request& request, std::span<ChargeResult> results);

    // What all hosts have spent is forgotten. kUnavailable: Redis is away. Not on the Redis thread; waits for Redis.
    Result<> reset(const KeyHash& key);
    LeaseStats stats() const;

    // The Redis thread. loaded: the script's SHA1 as SCRIPT LOAD said.
    void connected(std::string loaded) {
        sha_ = std::move(loaded);
        fresh_connection_ = true;
    }
    void changed(bool up);
    void tick();   // every 50 ms or so
    void sweep();  // now and then: forgets some of the keys that have ended
    void set_hosts(unsigned hosts) { hosts_.store(std::max(1U, hosts), std::memory_order_relaxed); }
    // Redis has been emptied: everything of the last window is told again.
    void recheck();

  private:
    struct Ticket {
        Wake wake;
        Nanos deadline;
        std::atomic<unsigned> open{0};  // answers it waits for
        std::atomic<bool> woken{false};
    };
    struct Waiting {
        std::shared_ptr<Ticket> ticket;
        std::uint64_t cost;
    };
    struct Entry {
        explicit Entry(std::uint64_t id) : lease(id) {}
        KeyHash key;
        Lease lease;
        std::vector<Waiting> waiting;
        RedisSlot slot = 0;
        bool queued = false;    // in the outbox
        bool cared = false;     // in care_
        bool scripted = false;  // the script has to go with the next message
    };
    struct HashOfKey {
        std::size_t operator()(const KeyHash& key) const { return key.low; }
    };
    struct alignas(64) Shard {
        SpinLock lock;  // protects the rest
        std::unordered_map<KeyHash, std::unique_ptr<Entry>, HashOfKey> entries;
    };
    struct Round;

    Shard& shard_of(const KeyHash& key) { return shards_[key.high % kShards]; }
    Entry& entry_of(Shard& shard, const Charge& charge);
    std::shared_ptr<Ticket> park(Round& round, Wake wake);
    Admission refuse(Round& round, std::span<ChargeResult> results);
    Admission spend(Round& round, std::span<ChargeResult> results);
    std::string record_name(const KeyHash& key);  // of this host's; empty: it has none
    Usage completed(const Counter& counter, const LeaseUsage& told, Nanos now);
    // Of a limit that this host enforces alone, `share`.
    Rate share_of(Rate rate) const {
        rate.count = std::max<std::uint64_t>(1, rate.count / hosts_.load(std::memory_order_relaxed));
        return rate;
    }
    // Of a limit of which Redis decides: its slots and this host's, of large limits, end at different times, and both would be waited for.
    static Rate beyond_slots(Rate rate) {
        if (rate.count > kExactCount) rate.count *= 2;
        return rate;
    }
    static void queue(Entry& entry, std::vector<KeyHash>& keys);
    void post(std::vector<KeyHash> keys, std::shared_ptr<Ticket> ticket);
    void drain();
    void care_for(Entry& entry);
    void speak(const KeyHash& key);
    void answered(const KeyHash& key, std::uint64_t seq, const redisReply* reply, Nanos now);
    void expire();
    static void wake(Ticket& ticket);

    // What a request is told that waited in vain although Redis is there, or is refused because it is away.
    static constexpr Nanos kRetryLater = kSecond;
    static constexpr std::size_t kShards = 256;
    static constexpr std::size_t kMostKeys = 4'000'000 / kShards;  // of one shard

    Limiter& limiter_;
    RedisNodes& redis_;
    const std::string host_;
    std::unique_ptr<Shard[]> shards_ = std::make_unique<Shard[]>(kShards);
    std::atomic<std::uint64_t> next_id_{1};
    std::atomic<unsigned> hosts_{1};
    std::atomic<std::uint64_t> waited_{0};
    std::atomic<std::uint64_t> late_{0};
    std::atomic<std::uint64_t> unleased_{0};
    std::atomic<std::uint64_t> messages_{0};
    std::atomic<std::uint64_t> lost_{0};
    struct Outbox {
        std::vector<KeyHash> keys;
        std::vector<std::shared_ptr<Ticket>> tickets;
        bool posted = false;
    };
    Guarded<Outbox> outbox_;
    // The Redis thread
    std::string sha_;
    bool fresh_connection_ = false;
    std::vector<RedisClock> clocks_;  // of each slot: one that moves to another Redis must not move in time
    std::deque<KeyHash> care_;
    std::deque<std::shared_ptr<Ticket>> tickets_;  // ascending deadlines
    bool expiring_ = false;
    boost::asio::steady_timer expiry_;
    std::size_t sweep_at_ = 0;
};

}  // namespace sluice
