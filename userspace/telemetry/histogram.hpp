// A histogram with one writing thread and any number of readers: relaxed atomics, no lock, no
// read-modify-write.
//
// The packaged prometheus::Histogram takes a mutex for each observation, which a worker's hot path cannot
// afford.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/clock.hpp"

namespace sluice {

// A counter that only its owning thread raises.
class OwnedCounter {
  public:
    void add(std::uint64_t n) {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
};

// `Bounds` are the ascending upper bounds in nanoseconds, inclusive as Prometheus' `le` is; above the last is
// +Inf.
template <const auto& Bounds>
class OwnedHistogram {
  public:
    static constexpr std::size_t kBuckets = Bounds.size() + 1;

    // The owning thread only. A negative duration (a clock read on two CPUs) counts as 0.
    void observe(Nanos value) {
        value = std::max<Nanos>(value, 0);
        const auto* bound = std::lower_bound(Bounds.begin(), Bounds.end(), value);
        buckets_[static_cast<std::size_t>(bound - Bounds.begin())].add(1);
        sum_ns_.add(static_cast<std::uint64_t>(value));
    }

    // Any thread. Not cumulative.
    std::uint64_t bucket(std::size_t index) const { return buckets_[index].value(); }
    std::uint64_t sum_ns() const { return sum_ns_.value(); }

  private:
    std::array<OwnedCounter, kBuckets> buckets_;
    OwnedCounter sum_ns_;
};

}  // namespace sluice
