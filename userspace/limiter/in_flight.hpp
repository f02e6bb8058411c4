// How many requests each key has in flight: what limits with `concurrent` go by. A request takes a slot of every such
// limit that applies to it, all or none, and gives each back exactly once: when the Slot that stands for it is
// destroyed, whatever it was that ended the request.
//
// A key is kept only while one of its requests is in flight, so the gateway's connections bound the memory: no flood of
// keys makes more than there are requests. Nothing is stored: a process that ends, ends its requests with it.
//
// Any thread may call anything here. Slots must not outlive the table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "limiter/limiter.hpp"
#include "limiter/spin_lock.hpp"

namespace sluice {

class InFlight {
  public:
    // One request's place among those of one key. Move-only.
    class Slot {
      public:
        Slot(Slot&& other) noexcept : table_(std::exchange(other.table_, nullptr)), key_(other.key_) {}
        Slot& operator=(Slot&& other) noexcept {
            std::swap(table_, other.table_);
            std::swap(key_, other.key_);
            return *this;
        }
        ~Slot() {
            if (table_ != nullptr) table_->give_back(key_);
        }

      private:
        friend class InFlight;
        Slot(InFlight& table, const KeyHash& key) : table_(&table), key_(key) {}

        InFlight* table_;  // nullptr: moved from
        KeyHash key_;
    };

    struct Stats {
        std::uint64_t keys = 0;
        std::uint64_t slots = 0;  // held
    };

    InFlight() : shards_(std::make_unique<Shard[]>(kShards)) {}
    InFlight(const InFlight&) = delete;
    InFlight& operator=(const InFlight&) = delete;

    class Attempt;

    // What an Attempt would find. A charge's `used` is without this request.
    Admission peek(std::span<const Charge> charges, Nanos now, std::span<ChargeResult> results) const;
    std::uint64_t used(const KeyHash& key) const;
    Stats stats() const;

  private:
    struct HashOfKey {
        std::size_t operator()(const KeyHash& key) const { return key.low; }
    };
    struct alignas(64) Shard {
        SpinLock lock;                                                 // protects the rest
        std::unordered_map<KeyHash, std::uint32_t, HashOfKey> counts;  // none is 0

        std::uint64_t used(const KeyHash& key) const {
            const auto found = counts.find(key);
            return found == counts.end() ? 0 : found->second;
        }
    };

    static constexpr std::size_t kShards = 64;
    Shard& shard_of(const KeyHash& key) const { return shards_[key.high % kShards]; }
    void give_back(const KeyHash& key);

    std::unique_ptr<Shard[]> shards_;
};

// One request's try. While it lives, nobody else takes or gives back a slot of these keys: what else the request needs is
// decided meanwhile, and taking its slots makes one decision of both. Others spin, so it lives a microsecond or two.
// Destroys no Slot while it lives.
class InFlight::Attempt {
  public:
    // charges: at most kMaxCharges, each of another key, their rates without a window: at most rate.count at once. They
    // outlive the attempt, as do the results, of which there are as many.
    Attempt(InFlight& table, std::span<const Charge> charges, Nanos now, std::span<ChargeResult> results);
    ~Attempt();
    Attempt(const Attempt&) = delete;
    Attempt& operator=(const Attempt&) = delete;

    // Refused if a charge that is enforced does not fit. When one will, nobody knows: retry_at is kSlotRetry from now.
    const Admission& admission() const { return admission_; }
    // A slot for each charge that fits, so for all but a shadow's refusal; the results then count this request. Once, if
    // admitted.
    void take(std::vector<Slot>& slots);

  private:
    InFlight& table_;
    std::span<const Charge> charges_;
    std::span<ChargeResult> results_;
    std::uint64_t locked_ = 0;  // a bit for each shard
    Admission admission_;
};

// How long a request that found no slot is told to wait.
inline constexpr Nanos kSlotRetry = kSecond;

}  // namespace sluice
