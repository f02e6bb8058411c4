// A lock for critical sections of well under a microsecond. Yields to the scheduler when the holder seems to
// have lost its CPU, so that it stays usable with more threads than cores.
#pragma once

#include <sched.h>

#include <atomic>

namespace sluice {

class SpinLock {
  public:
    void lock() noexcept {
        for (;;) {
            if (!held_.exchange(true, std::memory_order_acquire)) return;
            for (unsigned spins = 0; held_.load(std::memory_order_relaxed); ++spins) {
                if (spins < kSpinsBeforeYield) {
                    __builtin_ia32_pause();
                } else {
                    ::sched_yield();
                }
            }
        }
    }
    void unlock() noexcept { held_.store(false, std::memory_order_release); }

  private:
    // About 2 µs of pauses: longer than any section runs unless its thread was preempted.
    static constexpr unsigned kSpinsBeforeYield = 64;
    std::atomic<bool> held_{false};
};

}  // namespace sluice
