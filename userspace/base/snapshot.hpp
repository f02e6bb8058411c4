// An immutable value that one thread replaces and many read, without a lock on the reading path.
//
// The owner publishes a new shared_ptr<const T>. A reading thread keeps a SnapshotReader of its own: as long
// as nothing was published, get() costs one relaxed-size atomic load and a compare; after a publication it
// takes the lock once. A reader holds the old value until its next get(), so a value lives as long as its
// slowest reader.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/guarded.hpp"

namespace sluice {

template <class T>
class Snapshot {
  public:
    explicit Snapshot(std::shared_ptr<const T> initial) : value_(std::move(initial)) {}

    // Any thread. Readers see it at their next get().
    void publish(std::shared_ptr<const T> next) {
        value_.with([&](auto& value) { value.swap(next); });
        version_.fetch_add(1, std::memory_order_release);
    }

    // Any thread; takes the lock. Hot paths use a SnapshotReader.
    std::shared_ptr<const T> load() const {
        return value_.with([](const auto& value) { return value; });
    }

    std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

  private:
    Guarded<std::shared_ptr<const T>> value_;
    std::atomic<std::uint64_t> version_{1};
};

// One thread's view of a Snapshot. Not shared between threads; outlived by the Snapshot.
template <class T>
class SnapshotReader {
  public:
    explicit SnapshotReader(const Snapshot<T>& source) : source_(&source) {}

    // Valid until the next get() of this reader; copy the shared_ptr to keep it longer.
    const std::shared_ptr<const T>& get() {
        const std::uint64_t version = source_->version();
        if (version != seen_) {
            value_ = source_->load();
            seen_ = version;
        }
        return value_;
    }

  private:
    const Snapshot<T>* source_;
    std::shared_ptr<const T> value_;
    std::uint64_t seen_ = 0;
};

}  // namespace sluice
