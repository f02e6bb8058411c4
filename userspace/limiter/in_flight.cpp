#include "limiter/in_flight.hpp"

#include <algorithm>
#include <bit>
#include <mutex>

namespace sluice {
namespace {

// What a charge finds where `used` are in flight.
ChargeResult judge(const Charge& charge, std::uint64_t used, Nanos now) {
    ChargeResult result;
    result.used = used;
    result.remaining = charge.rate.count - std::min(charge.rate.count, used);
    result.refused = result.remaining == 0;
    result.retry_at = result.refused ? now + kSlotRetry : now;
    result.more_at = result.reset_at = now;
    return result;
}

void note(Admission& admission, const Charge& charge, const ChargeResult& result) {
    if (!result.refused || charge.mode != LimitMode::kEnforce) return;
    admission.admitted = false;
    admission.retry_at = std::max(admission.retry_at, result.retry_at);
}

}  // namespace

InFlight::Attempt::Attempt(InFlight& table, std::span<const Charge> charges, Nanos now,
                           std::span<ChargeResult> results)
    : table_(table), charges_(charges), results_(results), admission_{.admitted = true, .retry_at = now} {
    static_assert(kShards == 64, "locked_ has a bit for each");
    for (const Charge& charge : charges) locked_ |= std::uint64_t{1} << (charge.key.high % kShards);
    // In ascending order, as every attempt locks.
    for (std::uint64_t left = locked_; left != 0; left &= left - 1)
        table.shards_[static_cast<std::size_t>(std::countr_zero(left))].lock.lock();
    for (std::size_t i = 0; i < charges.size(); ++i) {
        results[i] = judge(charges[i], table.shard_of(charges[i].key).used(charges[i].key), now);
        note(admission_, charges[i], results[i]);
    }
}

InFlight::Attempt::~Attempt() {
    for (std::uint64_t left = locked_; left != 0; left &= left - 1)
        table_.shards_[static_cast<std::size_t>(std::countr_zero(left))].lock.unlock();
}

void InFlight::Attempt::take(std::vector<Slot>& slots) {
    slots.reserve(slots.size() +
                  charges_.size());  // what fails for lack of memory, fails before anything is counted
    for (std::size_t i = 0; i < charges_.size(); ++i) {
        if (results_[i].refused) continue;  // a shadow's
        const KeyHash& key = charges_[i].key;
        ++table_.shard_of(key).counts[key];
        slots.push_back(Slot{table_, key});
        ++results_[i].used;
        --results_[i].remaining;
    }
}

void InFlight::give_back(const KeyHash& key) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock{shard.lock};
    const auto found = shard.counts.find(key);
    if (--found->second == 0) shard.counts.erase(found);
}

Admission InFlight::peek(std::span<const Charge> charges, Nanos now, std::span<ChargeResult> results) const {
    Admission admission{.admitted = true, .retry_at = now};
    for (std::size_t i = 0; i < charges.size(); ++i) {
        results[i] = judge(charges[i], used(charges[i].key), now);
        note(admission, charges[i], results[i]);
    }
    return admission;
}

std::uint64_t InFlight::used(const KeyHash& key) const {
    Shard& shard = shard_of(key);
    const std::lock_guard lock{shard.lock};
    return shard.used(key);
}

InFlight::Stats InFlight::stats() const {
    Stats stats;
    for (std::size_t i = 0; i < kShards; ++i) {
        Shard& shard = shards_[i];
        const std::lock_guard lock{shard.lock};
        stats.keys += shard.counts.size();
        for (const auto& [key, count] : shard.counts) stats.slots += count;
    }
    return stats;
}

}  // namespace sluice
