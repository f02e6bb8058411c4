#include "limiter/window.hpp"

#include <algorithm>
#include <cstdlib>

namespace sluice {
namespace {

std::int64_t ceil_tick(Nanos time, unsigned shift) {
    return (time + ((std::int64_t{1} << shift) - 1)) >> shift;
}

}  // namespace

std::size_t KeyWindow::bytes_for(std::size_t capacity) {
    // glibc puts 8 bytes before a block and rounds to 16: capacities are odd, so that nothing is wasted.
    return capacity * sizeof(Run) + 8;
}

void KeyWindow::release() noexcept {
    if (place_ == Place::kFar) std::free(far_.runs);
}

bool KeyWindow::reserve(std::size_t capacity) {
    auto* const runs = static_cast<Run*>(std::malloc(capacity * sizeof(Run)));
    if (runs == nullptr) return false;
    for (std::size_t i = 0; i < size_; ++i) runs[i] = run(i);
    release();
    far_ = {.runs = runs,
            .first_tick = 0,
            .last_tick = 0,
            .head = 0,
            .capacity = static_cast<std::uint16_t>(capacity)};
    place_ = Place::kFar;
    note_ends();
    return true;
}

bool KeyWindow::grow() {
    return reserve(2 * capacity() + 1);
}

// The block's copies of the times of its oldest and newest run.
void KeyWindow::note_ends() {
    if (place_ != Place::kFar || size_ == 0) return;
    far_.first_tick = run(0).tick;
    far_.last_tick = run(size_ - 1U).tick;
}

Spending KeyWindow::spending(Nanos window_ns, Nanos now) const {
    const std::int64_t gone = ticks_gone(window_ns, now);
    if (size_ == 0 || last_tick() <= gone) return {.used = 0, .more_at = now, .reset_at = now};
    std::uint32_t used = sum_;
    std::uint32_t first = first_tick();
    for (std::size_t i = 0; first <= gone; first = run(i).tick) used -= run(i++).count;
    return {
        .used = used, .more_at = time_of(first) + window_ns, .reset_at = time_of(last_tick()) + window_ns};
}

Nanos KeyWindow::fits_at(const Rate& rate, std::uint64_t cost, Nanos now) const {
    const std::uint64_t limit = std::min(rate.count, kMaxCount);
    if (cost > limit) return kNever;
    std::uint64_t used = sum_;
    if (used + cost <= limit) return now;
    Nanos when = now;
    for (std::size_t i = 0; i < size_ && used + cost > limit; ++i) {
        used -= run(i).count;
        when = std::max(when, time_of(run(i).tick) + rate.window);
    }
    return when;
}

// The oldest run has left the window, at least.
void KeyWindow::forget_expired(Nanos now) {
    const std::int64_t gone = ticks_gone(window_ns_, now);
    if (last_tick() <= gone) return clear();
    std::size_t runs = 0;
    do sum_ -= run(runs++).count;
    while (run(runs).tick <= gone);
    drop_oldest(runs);
}

void KeyWindow::drop_oldest(std::size_t runs) {
    size_ = static_cast<std::uint16_t>(size_ - runs);
    if (place_ == Place::kFar) {
        const std::size_t head = far_.head + runs;
        far_.head = static_cast<std::uint16_t>(head < far_.capacity ? head : head - far_.capacity);
        far_.first_tick = run(0).tick;
    } else {
        for (std::size_t i = 0; i < size_; ++i) near_[i] = near_[i + runs];
    }
}

// The tick under which a request at `now` is kept.
std::int64_t KeyWindow::stamp(const Rate& rate, Nanos now, LimitAlgorithm algorithm) {
    const unsigned shift = shift_for(rate.window);
    if (algorithm == LimitAlgorithm::kFixed) return ceil_tick(now - now % rate.window, shift);
    std::int64_t tick = ceil_tick(now, shift);
    if (rate.count > kExactCount) {
        const std::int64_t window_ticks = ceil_tick(rate.window, shift);
        const auto slots = static_cast<std::int64_t>(kSlotsPerWindow);
        const std::int64_t slot_ticks = (window_ticks + slots - 1) / slots;
        tick = (tick + slot_ticks - 1) / slot_ticks * slot_ticks;
    }
    return tick;
}

std::size_t KeyWindow::wants_bytes(const Rate& rate, Nanos now, LimitAlgorithm algorithm) const {
    if (size_ < capacity() || capacity() >= kMaxRuns) return 0;
    if (rate.window == window_ns_ && stamp(rate, now, algorithm) <= base_tick_ + last_tick()) return 0;
    return bytes_for(2 * capacity() + 1) - block_bytes();
}

bool KeyWindow::add(const Rate& rate, std::uint32_t cost, Nanos now, LimitAlgorithm algorithm) {
    if (rate.window == window_ns_) {
        prune(now);
    } else {
        change_window(rate.window, now);
    }
    const std::int64_t tick = stamp(rate, now, algorithm);
    bool merged = false;
    sum_ += cost;
    if (size_ == 0) {
        base_tick_ = tick;
    } else {
        if (tick <= base_tick_ + last_tick()) {
            // The same tick or slot, or a slot of a former rate that is still to end.
            run(size_ - 1U).count += cost;
            return false;
        }
        if (tick - base_tick_ > UINT32_MAX) rebase();
        if (size_ == capacity()) {
            merge_neighbours();
            merged = true;
        }
    }
    append({.tick = static_cast<std::uint32_t>(tick - base_tick_), .count = cost});
    return merged;
}

bool KeyWindow::refund(const Rate& rate, std::uint32_t cost, Nanos added, Nanos now,
                       LimitAlgorithm algorithm) {
    prune(now);
    // Under another window its time was rounded otherwise, but not to before it.
    const std::int64_t tick = rate.window == window_ns_ ? stamp(rate, added, algorithm) : added >> shift();
    if (tick <= base_tick_ + ticks_gone(window_ns_, now)) return false;
    std::size_t i = 0;
    while (i < size_ && base_tick_ + run(i).tick < tick) ++i;
    if (i == size_) return false;
    Run& holder = run(i);
    const std::uint32_t back = std::min(cost, holder.count);
    holder.count -= back;
    sum_ -= back;
    if (holder.count == 0) {
        for (; i + 1 < size_; ++i) run(i) = run(i + 1);
        --size_;
        note_ends();
    }
    return back > 0;
}

void KeyWindow::append(Run run_) {
    run(size_) = run_;
    if (place_ == Place::kFar) {
        if (size_ == 0) far_.first_tick = run_.tick;
        far_.last_tick = run_.tick;
    }
    ++size_;
}

void KeyWindow::clear() {
    sum_ = 0;
    size_ = 0;
}

// What was spent goes on to count in a window of another length. Slots may have rounded times into the
// future, by more than fits the new ticks; no request was made later than now, so times are cut to now.
void KeyWindow::change_window(Nanos window_ns, Nanos now) {
    const unsigned former = shift();
    const unsigned shift = shift_for(window_ns);
    if (shift == former) {
        window_ns_ = window_ns;
        return prune(now);
    }
    const std::int64_t newest = ceil_tick(now, shift);
    const auto converted = [&](std::uint32_t tick) {
        return std::min(ceil_tick((base_tick_ + tick) << former, shift), newest);
    };
    std::size_t gone = 0;
    while (gone < size_ && (base_tick_ + run(gone).tick) << former <= now - window_ns) {
        sum_ -= run(gone++).count;
    }
    if (gone == size_) {
        clear();
    } else {
        if (gone > 0) drop_oldest(gone);
        const std::int64_t base = converted(run(0).tick);
        for (std::size_t i = 0; i < size_; ++i) {
            run(i).tick = static_cast<std::uint32_t>(converted(run(i).tick) - base);
        }
        base_tick_ = base;
        note_ends();
    }
    window_ns_ = window_ns;
}

// Counts ticks from the oldest run. All runs lie within a window and a slot of one another: far from 32 bits.
void KeyWindow::rebase() {
    const std::uint32_t oldest = first_tick();
    for (std::size_t i = 0; i < size_; ++i) run(i).tick -= oldest;
    base_tick_ += oldest;
    note_ends();
}

// Halves the runs: each pair becomes one at the later of its times. Counts longer than it had to, never
// shorter.
void KeyWindow::merge_neighbours() {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < size_; i += 2) {
        Run merged = run(i);
        if (i + 1 < size_) {
            merged.tick = run(i + 1).tick;
            merged.count += run(i + 1).count;
        }
        run(kept++) = merged;
    }
    size_ = static_cast<std::uint16_t>(kept);
    note_ends();
}

}  // namespace sluice
