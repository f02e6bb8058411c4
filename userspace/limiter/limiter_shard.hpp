// What the parts of the limiter's implementation share: one shard, and the overflow counters.
#pragma once

#include <mutex>
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
    std::size_t window_bytes = 0;
    KeyWindow* changed = nullptr;  // head of the list of keys to be stored
    std::size_t changes = 0;
    std::size_t sweep_at = 0;  // next bucket to look at
    std::uint64_t reclaimed = 0;
    std::uint64_t merged = 0;

    std::size_t bytes() const { return window_bytes + table.bytes(); }
    Nanos advance(Nanos time) { return now = std::max(now, time); }

    void mark_changed(KeyWindow& window) {
        if (window.changed_link != nullptr) return;
        link(window, &changed);
        ++changes;
    }
    void unmark_changed(KeyWindow& window) {
        if (window.changed_link == nullptr) return;
        *window.changed_link = window.changed_next;
        if (window.changed_next != nullptr) window.changed_next->changed_link = window.changed_link;
        window.changed_link = nullptr;
        window.changed_next = nullptr;
        --changes;
    }
    // Puts `larger`, a copy, in the place of `window`.
    void replace(KeyWindow& window, KeyWindow& larger) {
        window_bytes += KeyWindow::bytes(larger.capacity()) - KeyWindow::bytes(window.capacity());
        if (window.changed_link != nullptr) {
            KeyWindow** const where = window.changed_link;
            *where = window.changed_next;
            if (window.changed_next != nullptr) window.changed_next->changed_link = where;
            link(larger, where);
        }
        table.replace(&larger);
    }
    void insert(KeyWindow& window) {
        table.insert(&window);
        window_bytes += KeyWindow::bytes(window.capacity());
    }
    void erase(KeyWindow& window) {
        unmark_changed(window);
        window_bytes -= KeyWindow::bytes(window.capacity());
        table.erase(window.key());
    }

    // Looks at up to `budget` buckets and frees those whose key has expired. A key that was reset stays until
    // that is stored: else the ledger would bring its spending back.
    std::size_t reclaim(std::size_t budget) {
        std::size_t freed = 0;
        for (; budget > 0 && table.size() > 0; --budget) {
            if (sweep_at >= table.buckets()) sweep_at = 0;
            KeyWindow* const window = table.expired_at(sweep_at, now);
            if (window == nullptr || (window->size() == 0 && window->changed_link != nullptr)) {
                ++sweep_at;
                continue;
            }
            unmark_changed(*window);
            window_bytes -= KeyWindow::bytes(window->capacity());
            table.erase_bucket(sweep_at);  // its successor may stand here now: look again
            ++freed;
        }
        reclaimed += freed;
        return freed;
    }

  private:
    static void link(KeyWindow& window, KeyWindow** where) {
        window.changed_next = *where;
        window.changed_link = where;
        if (window.changed_next != nullptr) window.changed_next->changed_link = &window.changed_next;
        *where = &window;
    }
};

// Counters of the keys that found no room: one for each limit, made when first needed.
struct Limiter::Overflow {
    // More limits than policies have; when policies come and go, a counter that has expired makes room.
    static constexpr std::size_t kMostLimits = 1024;

    Overflow() { windows.reserve(kMostLimits); }
    ~Overflow() {
        for (const auto& [limit, window] : windows) KeyWindow::destroy(window);
    }

    // nullptr: no room here either.
    KeyWindow* find(std::uint64_t limit) {
        for (const auto& [id, window] : windows) {
            if (id == limit) return window;
        }
        if (windows.size() < kMostLimits) {
            KeyWindow* const window = KeyWindow::create({}, 2);
            if (window != nullptr) windows.emplace_back(limit, window);
            return window;
        }
        for (auto& [id, window] : windows) {
            if (window->expires_at() > now) continue;
            window->clear();
            id = limit;
            return window;
        }
        return nullptr;
    }

    SpinLock lock;  // taken after the shards'; protects the rest
    Nanos now = 0;
    std::vector<std::pair<std::uint64_t, KeyWindow*>> windows;
    std::uint64_t overflowed = 0;
};

}  // namespace sluice
