// The windows of one shard by key: open addressing with linear probing, each window in its place, so that
// finding a key waits for memory once. Places are in the order of their home, home = hash × places / 2^32:
// any number of places will do, and growing moves keys from front to back. Grows only by grow(), so that the
// caller can allocate outside its lock. Finds the keys that have changed by a bit for each sixteen places.
// All but prefetch() under the shard's lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "limiter/window.hpp"

namespace sluice {

class KeyTable {
  public:
    // Memory for some places, huge pages if it fills some: a key in a table of gigabytes would otherwise wait
    // for the page table too. Where the kernel gives none, ordinary pages serve.
    class Places {
      public:
        Places() = default;
        // All free. Check size(): 0 if memory is exhausted.
        explicit Places(std::size_t count);
        Places(Places&& other) noexcept;
        Places& operator=(Places&& other) noexcept;
        ~Places();
        std::size_t size() const { return count_; }
        KeyWindow& operator[](std::size_t i) const { return windows_[i]; }

        std::vector<std::uint64_t> changed;  // a bit for each kRegion places: one of them may have changed

      private:
        KeyWindow* windows_ = nullptr;
        std::size_t count_ = 0;
        std::size_t mapped_bytes_ = 0;  // 0: from the heap
    };

    KeyTable() = default;
    KeyTable(const KeyTable&) = delete;
    KeyTable& operator=(const KeyTable&) = delete;

    std::size_t size() const { return size_; }
    std::size_t places() const { return places_.size(); }
    std::size_t bytes() const { return bytes_for(places_.size()); }
    KeyWindow& operator[](std::size_t place) { return places_[place]; }

    // Asks for the cache lines in which find() will look. Any thread, without the lock.
    void prefetch(const KeyHash& key) const;
    // The key's window, or nullptr. Valid until something is erased or the table grows.
    KeyWindow* find(const KeyHash& key) const;
    // Room for one more key without growing: up to 7/8 full.
    bool has_room() const { return (size_ + 1) * 8 <= places_.size() * 7; }
    // 70 % full: look-ups begin to take more than two places.
    bool wants_growth() const { return size_ * 10 >= places_.size() * 7; }
    // How many places grow() would like. By a quarter: a key's share of the table stays below 190 bytes.
    std::size_t wanted_places() const { return places_.size() + places_.size() / 4 + kFewest; }
    static std::size_t bytes_for(std::size_t places) {
        return places * sizeof(KeyWindow) + places / kRegion / 8;
    }

    // The place of a key that is not in the table; has_room().
    KeyWindow& insert(KeyWindow&& window);
    // Others may move to the place that becomes free.
    void erase(std::size_t place);
    // Moves all keys to a larger array and returns the former one, to be freed outside the lock.
    Places grow(Places larger);

    std::size_t place_of(const KeyWindow& window) const {
        return static_cast<std::size_t>(&window - &places_[0]);
    }
    // Keys that have changed.
    std::size_t changes() const { return changes_; }
    void mark_changed(KeyWindow& window) {
        if (window.changed()) return;
        window.set_changed(true);
        ++changes_;
        note_changed(place_of(window));
    }
    // The next changed key after the one taken last, or nullptr. It counts as unchanged from here on.
    KeyWindow* take_changed();

  private:
    static constexpr std::size_t kFewest = 16;
    // So that the bits stay in the cache: 16 kB for a million keys.
    static constexpr std::size_t kRegion = 16;

    static std::size_t home(const KeyHash& key, std::size_t places) {
        return static_cast<std::size_t>((key.low & UINT32_MAX) * places >> 32);
    }
    std::size_t after(std::size_t place) const { return place + 1 == places_.size() ? 0 : place + 1; }
    std::size_t distance(std::size_t from, std::size_t to) const {
        return to >= from ? to - from : to + places_.size() - from;
    }

    void note_changed(std::size_t place) {
        places_.changed[place / kRegion / 64] |= std::uint64_t{1} << (place / kRegion % 64);
    }

    Places places_;
    std::size_t size_ = 0;
    std::size_t changes_ = 0;
    std::size_t take_at_ = 0;
    // What prefetch() sees of places_: it may be outdated, then it asks for lines in vain.
    std::atomic<std::uintptr_t> first_place_{0};
    std::atomic<std::size_t> place_count_{0};
};

}  // namespace sluice
