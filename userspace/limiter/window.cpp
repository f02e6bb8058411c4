#include "limiter/window.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

namespace sluice {
namespace {

// A window is between 2^29 and 2^30 ticks long (fewer if it is shorter than that many nanoseconds), so that
// four of them fit into a run's 32 bits and the log is rebased seldom.
constexpr int kWindowBits = 30;

std::uint8_t shift_for(Nanos window_ns) {
    const int bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(window_ns)));
    return static_cast<std::uint8_t>(std::max(0, bits - kWindowBits));
}

std::int64_t ceil_tick(Nanos time, unsigned shift) {
    return (time + ((std::int64_t{1} << shift) - 1)) >> shift;
}

std::size_t round_capacity(std::size_t capacity) {
    return std::min(std::bit_ceil(std::max<std::size_t>(capacity, 2)), KeyWindow::kMaxRuns);
}

}  // namespace

KeyWindow* KeyWindow::create(const KeyHash& key, std::size_t capacity) {
    capacity = round_capacity(capacity);
    void* memory = std::malloc(sizeof(KeyWindow) + capacity * sizeof(Run));
    if (memory == nullptr) return nullptr;
    return new (memory) KeyWindow(key, static_cast<std::uint16_t>(capacity));
}

KeyWindow* KeyWindow::copy(const KeyWindow& window, std::size_t capacity) {
    KeyWindow* result = create(window.key_, std::max<std::size_t>(capacity, window.size_));
    if (result == nullptr) return nullptr;
    result->window_ns_ = window.window_ns_;
    result->base_tick_ = window.base_tick_;
    result->sum_ = window.sum_;
    result->size_ = window.size_;
    result->shift_ = window.shift_;
    for (std::size_t i = 0; i < window.size_; ++i) result->runs()[i] = window.run(i);
    return result;
}

void KeyWindow::destroy(KeyWindow* window) noexcept {
    std::free(window);
}

std::size_t KeyWindow::bytes(std::size_t capacity) {
    // glibc puts 8 bytes before a block and rounds to 16.
    return (sizeof(KeyWindow) + round_capacity(capacity) * sizeof(Run) + 8 + 15) & ~std::size_t{15};
}

Nanos KeyWindow::expires_at() const {
    return size_ == 0 ? 0 : time_of(size_ - 1U) + window_ns_;
}

Spending KeyWindow::spending(Nanos window_ns, Nanos now) const {
    // A run counts while its time > now - window. Its time is a whole number of ticks, so comparing ticks is
    // exact.
    const std::int64_t horizon = ((now - window_ns) >> shift_) - base_tick_;
    std::uint32_t used = sum_;
    std::size_t first = 0;
    while (first < size_ && run(first).tick <= horizon) used -= run(first++).count;
    if (first == size_) return {.used = 0, .more_at = now, .reset_at = now};
    return {.used = used, .more_at = time_of(first) + window_ns, .reset_at = time_of(size_ - 1U) + window_ns};
}

Nanos KeyWindow::fits_at(const Rate& rate, std::uint64_t cost, Nanos now) const {
    const std::uint64_t limit = std::min(rate.count, kMaxCount);
    if (cost > limit) return kNever;
    std::uint64_t used = sum_;
    if (used + cost <= limit) return now;
    Nanos when = now;
    for (std::size_t i = 0; i < size_ && used + cost > limit; ++i) {
        used -= run(i).count;
        when = std::max(when, time_of(i) + rate.window);
    }
    return when;
}

void KeyWindow::prune(Nanos now) {
    const std::int64_t horizon = ((now - window_ns_) >> shift_) - base_tick_;
    while (size_ > 0 && run(0).tick <= horizon) {
        sum_ -= run(0).count;
        head_ = static_cast<std::uint16_t>((head_ + 1U) & (capacity_ - 1U));
        --size_;
    }
}

// The tick under which a request at `now` is kept.
std::int64_t KeyWindow::stamp(const Rate& rate, Nanos now) const {
    const unsigned shift = shift_for(rate.window);
    std::int64_t tick = ceil_tick(now, shift);
    if (rate.count > kExactCount) {
        const std::int64_t window_ticks = ceil_tick(rate.window, shift);
        const auto slots = static_cast<std::int64_t>(kSlotsPerWindow);
        const std::int64_t slot_ticks = (window_ticks + slots - 1) / slots;
        tick = (tick + slot_ticks - 1) / slot_ticks * slot_ticks;
    }
    return tick;
}

bool KeyWindow::needs_room(const Rate& rate, Nanos now) const {
    if (size_ < capacity_) return false;
    return rate.window != window_ns_ || stamp(rate, now) > base_tick_ + run(size_ - 1U).tick;
}

void KeyWindow::add(const Rate& rate, std::uint32_t cost, Nanos now) {
    if (rate.window == window_ns_) {
        prune(now);
    } else {
        change_window(rate.window, now);
    }
    std::int64_t tick = stamp(rate, now);
    if (size_ == 0) {
        base_tick_ = tick;
    } else {
        const std::int64_t last = base_tick_ + run(size_ - 1U).tick;
        if (tick <= last) {  // the same tick or slot, or a slot of a former rate that is still to end
            run(size_ - 1U).count += cost;
            sum_ += cost;
            return;
        }
        if (tick - base_tick_ > UINT32_MAX) rebase();
        if (size_ == capacity_) merge_neighbours();
    }
    ++size_;
    run(size_ - 1U) = {.tick = static_cast<std::uint32_t>(tick - base_tick_), .count = cost};
    sum_ += cost;
}

void KeyWindow::clear() {
    sum_ = 0;
    size_ = 0;
}

// What was spent goes on to count in a window of another length. Slots may have rounded times into the
// future, by more than fits the new ticks; no request was made later than now, so times are cut to now.
void KeyWindow::change_window(Nanos window_ns, Nanos now) {
    const std::uint8_t shift = shift_for(window_ns);
    window_ns_ = window_ns;
    prune(now);
    if (size_ > 0 && shift != shift_) {
        const std::int64_t newest = ceil_tick(now, shift);
        std::int64_t base = 0;
        for (std::size_t i = 0; i < size_; ++i) {
            const std::int64_t tick = std::min(ceil_tick(time_of(i), shift), newest);
            if (i == 0) base = tick;
            // base_tick_ and shift_ still are the former ones: time_of() of the runs that follow needs them.
            run(i).tick = static_cast<std::uint32_t>(tick - base);
        }
        base_tick_ = base;
    }
    shift_ = shift;
}

// Counts ticks from the oldest run. All runs lie within a window and a slot of one another: far from 32 bits.
void KeyWindow::rebase() {
    const std::uint32_t oldest = run(0).tick;
    for (std::size_t i = 0; i < size_; ++i) run(i).tick -= oldest;
    base_tick_ += oldest;
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
}

}  // namespace sluice
