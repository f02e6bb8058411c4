// The heaviest keys of a stream in fixed memory: Space-Saving (Metwally, Agrawal, El Abbadi, ICDT 2005). With
// `capacity` places and N events, every key with more than N / capacity events is among them, and a count is
// too high by at most its own `error`. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace sluice {

template <class Key>
class SpaceSaving {
  public:
    struct Entry {
        Key key;
        std::uint64_t count = 0;   // events, at most `error` too many
        std::uint64_t marked = 0;  // those of them that were marked, never too many
        std::uint64_t error = 0;
    };

    explicit SpaceSaving(std::size_t capacity) : capacity_(capacity) {
        entries_.reserve(capacity);
        places_.reserve(capacity);
    }

    // One event of `key`. O(log capacity); allocates only what Key and a hash node need.
    void add(const Key& key, bool marked) {
        const auto found = places_.find(key);
        std::size_t place = 0;
        if (found != places_.end()) {
            place = found->second;
        } else if (entries_.size() < capacity_) {
            place = entries_.size();
            entries_.push_back({key, 0, 0, 0});
            places_.emplace(key, place);
            rise(place);  // a count of 0 belongs at the root
            place = places_.at(key);
        } else {
            // The newcomer takes the place of the lightest and inherits its count as possible error.
            places_.erase(entries_.front().key);
            entries_.front() = {key, entries_.front().count, 0, entries_.front().count};
            places_.emplace(key, 0);
        }
        ++entries_[place].count;
        entries_[place].marked += marked ? 1 : 0;
        sink(place);
    }

    // In no order.
    const std::vector<Entry>& entries() const { return entries_; }

    void clear() {
        entries_.clear();
        places_.clear();
    }

  private:
    // entries_ is a binary heap with the lightest at the root.
    void exchange(std::size_t a, std::size_t b) {
        std::swap(entries_[a], entries_[b]);
        places_[entries_[a].key] = a;
        places_[entries_[b].key] = b;
    }
    void rise(std::size_t place) {
        for (; place > 0 && entries_[place].count < entries_[(place - 1) / 2].count; place = (place - 1) / 2)
            exchange(place, (place - 1) / 2);
    }
    void sink(std::size_t place) {
        while (true) {
            std::size_t lightest = place;
            for (std::size_t child = 2 * place + 1; child <= 2 * place + 2 && child < entries_.size();
                 ++child)
                if (entries_[child].count < entries_[lightest].count) lightest = child;
            if (lightest == place) return;
            exchange(place, lightest);
            place = lightest;
        }
    }

    std::size_t capacity_;
    std::vector<Entry> entries_;
    std::unordered_map<Key, std::size_t> places_;
};

}  // namespace sluice
