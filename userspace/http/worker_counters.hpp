// What one worker counts: written by its thread, read by any.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice::http {

// A relaxed counter with one writer: no locked instruction on the hot path.
class Counter {
  public:
    void add(std::uint64_t n = 1) { value_.store(get() + n, std::memory_order_relaxed); }
    void subtract(std::uint64_t n = 1) { value_.store(get() - n, std::memory_order_relaxed); }
    std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
};

struct WorkerCounters {
    Counter accepted, open, requests, refused_early, refused_sources;
    Counter upstream_connects, upstream_failures, upstream_reuses, upstream_open, upstream_idle;
    Counter tunnels;
};

}  // namespace sluice::http
