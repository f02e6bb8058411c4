// The limiter between requests: looking, resetting, sweeping, and the way to the ledger and back.
#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "limiter/limiter.hpp"
#include "limiter/limiter_shard.hpp"

namespace sluice {
namespace {

// How many entries are worked on under one lock: a request waits for some 10 µs at most.
constexpr std::size_t kSweepStep = 256;
constexpr std::size_t kDrainStep = 16;

}  // namespace

// Allocates and frees outside the lock: memory the kernel has to clear takes milliseconds.
void Limiter::grow_if_needed(Shard& shard) {
    std::size_t wanted = 0;
    {
        const std::lock_guard lock{shard.lock};
        wanted = shard.table.wanted_places();
        const std::size_t more = KeyTable::bytes_for(wanted) - shard.table.bytes();
        const bool first = shard.table.places() == 0;
        if (!first && (!shard.table.wants_growth() || shard.bytes() + more > config_.max_bytes)) return;
    }
    KeyTable::Places places{wanted};
    if (places.size() == 0) return;
    {
        const std::lock_guard lock{shard.lock};
        if (wanted != shard.table.wanted_places()) return;  // another thread was faster
        places = shard.table.grow(std::move(places));
    }
}

ChargeResult Limiter::usage(const KeyHash& key, const Rate& rate, Nanos now) const {
    const Charge charge{.key = key, .limit = 0, .rate = rate, .cost = 0, .mode = LimitMode::kShadow};
    ChargeResult result;
    peek({&charge, 1}, now, {&result, 1});
    return result;
}

void Limiter::refund(std::span<const Charge> charges, std::span<const ChargeResult> results,
                     Nanos admitted_at) {
    for (std::size_t i = 0; i < charges.size(); ++i) {
        const Charge& charge = charges[i];
        if (results[i].refused || results[i].shared) continue;
        Shard& shard = shard_of(charge.key);
        const std::lock_guard lock{shard.lock};
        KeyWindow* const window = shard.table.find(charge.key);
        if (window == nullptr) continue;
        const bool back = window->refund(charge.rate, charge.cost, admitted_at, shard.now, charge.algorithm);
        if (back && config_.track_changes) shard.table.mark_changed(*window);
    }
}

bool Limiter::reset(const KeyHash& key, Nanos now) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock{shard.lock};
    shard.advance(now);
    KeyWindow* const window = shard.table.find(key);
    if (window == nullptr || window->size() == 0) return false;
    const bool spent = window->expires_at() > shard.now;
    window->clear();
    if (config_.track_changes) shard.table.mark_changed(*window);
    return spent;
}

std::size_t Limiter::sweep(Nanos now, std::size_t budget) {
    std::size_t freed = 0;
    for (unsigned shards = 0; shards < config_.shards && budget > 0; ++shards) {
        Shard& shard = shards_[sweep_shard_.fetch_add(1, std::memory_order_relaxed) & (config_.shards - 1)];
        for (std::size_t left = SIZE_MAX; left > 0 && budget > 0;) {
            const std::lock_guard lock{shard.lock};
            shard.advance(now);
            left = std::min(left, shard.table.places());
            const std::size_t step = std::min({left, budget, kSweepStep});
            freed += shard.reclaim(step);
            left -= step;
            budget -= step;
        }
    }
    return freed;
}

LimiterStats Limiter::stats() const {
    LimiterStats stats;
    for (unsigned i = 0; i < config_.shards; ++i) {
        Shard& shard = shards_[i];
        const std::lock_guard lock{shard.lock};
        stats.keys += shard.table.size();
        stats.bytes += shard.bytes();
        stats.reclaimed += shard.reclaimed;
        stats.merged += shard.merged;
        stats.changes += shard.table.changes();
    }
    const std::lock_guard lock{overflow_->lock};
    stats.overflowed = overflow_->overflowed;
    return stats;
}

std::size_t Limiter::drain_changes(std::size_t max_keys, KeyBatch& batch) {
    std::size_t drained = 0;
    for (unsigned shards = 0; shards < config_.shards && drained < max_keys; ++shards) {
        const std::size_t index = drain_shard_.load(std::memory_order_relaxed) & (config_.shards - 1);
        Shard& shard = shards_[index];
        for (bool more = true; more && drained < max_keys;) {
            const std::lock_guard lock{shard.lock};
            for (std::size_t step = 0; more && step < kDrainStep && drained < max_keys; ++step) {
                const KeyWindow* const window = shard.table.take_changed();
                more = window != nullptr;
                if (!more) break;
                batch.add(*window);
                ++drained;
            }
        }
        if (drained < max_keys) drain_shard_.fetch_add(1, std::memory_order_relaxed);
    }
    return drained;
}

void Limiter::mark_changed(const KeyBatch& batch) {
    for (std::size_t i = 0; i < batch.size(); ++i) {
        const KeyHash key = batch[i].key;
        Shard& shard = shard_of(key);
        const std::lock_guard lock{shard.lock};
        if (KeyWindow* const window = shard.table.find(key)) shard.table.mark_changed(*window);
    }
}

RestoreOutcome Limiter::restore(const KeyHash& key, std::string_view state, Nanos shift_ns, Nanos now) {
    std::optional<KeyWindow> window = KeyWindow::restore(key, state, shift_ns);
    if (!window) return RestoreOutcome::kDamaged;
    if (window->expires_at() <= now) return RestoreOutcome::kExpired;
    Shard& shard = shard_of(key);
    {
        const std::lock_guard lock{shard.lock};
        shard.advance(now);
        if (const KeyWindow* const present = shard.table.find(key)) {
            shard.erase(shard.table.place_of(*present));
        }
        if (!has_room(shard) || shard.bytes() + window->block_bytes() > config_.max_bytes) {
            return RestoreOutcome::kFull;
        }
        shard.block_bytes += window->block_bytes();
        KeyWindow& restored = shard.table.insert(std::move(*window));
        // Its stored times are wrong by the shift until they are written again.
        if (config_.track_changes && shift_ns != 0) shard.table.mark_changed(restored);
    }
    grow_if_needed(shard);
    return RestoreOutcome::kRestored;
}

}  // namespace sluice
