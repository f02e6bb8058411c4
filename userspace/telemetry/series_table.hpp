// Series by their label values: a hash table with one writing thread and any number of readers, without a
// lock.
//
// Slots are pointers that go from null to a series once and never back, so a reader that sees one may use it
// for as long as the table lives. A series is never removed: a counter never steps back, whatever policy
// comes or goes.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

template <std::size_t Labels, class Value>
class SeriesTable {
  public:
    using Key = std::array<std::string_view, Labels>;
    struct Series {
        std::array<std::string, Labels> labels;
        Value value;
    };

    // Holds at most `limit` series and 16 more for those that must always be there.
    explicit SeriesTable(std::size_t limit) : limit_(limit), slots_(std::bit_ceil(2 * (limit + kReserved))) {}

    // The writing thread only; null if there is none.
    Value* find(const Key& key) {
        const auto* slot = locate(key);
        Series* series = slot->load(std::memory_order_relaxed);
        return series ? &series->value : nullptr;
    }

    // The writing thread only. Null when the table is full; `reserved` may use the last 16 places.
    Value* find_or_add(const Key& key, bool reserved = false) {
        auto* slot = locate(key);
        if (Series* series = slot->load(std::memory_order_relaxed)) return &series->value;
        if (owned_.size() >= limit_ + (reserved ? kReserved : 0)) return nullptr;
        auto series = std::make_unique<Series>();
        for (std::size_t i = 0; i < Labels; ++i) series->labels[i] = key[i];
        slot->store(series.get(), std::memory_order_release);
        owned_.push_back(std::move(series));
        return &owned_.back()->value;
    }

    // Any thread: f(labels, value) for every series there is.
    template <class F>
    void each(F&& f) const {
        for (const auto& slot : slots_)
            if (const Series* series = slot.load(std::memory_order_acquire)) f(series->labels, series->value);
    }

  private:
    static constexpr std::size_t kReserved = 16;

    // The slot of the key, or the empty one where it belongs. At most half of the slots are ever taken, so it
    // ends.
    std::atomic<Series*>* locate(const Key& key) {
        std::size_t hash = 0;
        for (const auto part : key)
            hash = (hash ^ std::hash<std::string_view>{}(part)) * 0x9e3779b97f4a7c15ULL;
        for (std::size_t i = hash >> 20;; ++i) {
            auto& slot = slots_[i & (slots_.size() - 1)];
            const Series* series = slot.load(std::memory_order_relaxed);
            if (!series || std::equal(key.begin(), key.end(), series->labels.begin())) return &slot;
        }
    }

    std::size_t limit_;
    std::vector<std::atomic<Series*>> slots_;
    std::vector<std::unique_ptr<Series>> owned_;  // the writing thread's
};

}  // namespace sluice
