// The thread that carries changed keys from the limiter to the ledger, every 100 ms by default.
#pragma once

#include <mutex>
#include <stop_token>
#include <thread>

#include "ledger/ledger.hpp"

namespace sluice {

class Flusher {
  public:
    // limiter and ledger outlive it. interval: what a kill -9 may lose.
    Flusher(Limiter& limiter, Ledger& ledger, Nanos interval = 100 * kMillisecond);
    // Stops the thread after a last flush; does not close the ledger.
    ~Flusher();
    Flusher(const Flusher&) = delete;
    Flusher& operator=(const Flusher&) = delete;

    // One flush now, in the caller's thread: everything that has changed is stored, or marked as changed
    // again and the error returned.
    Result<> flush(Nanos now);

  private:
    void run(const std::stop_token& stop);

    Limiter& limiter_;
    Ledger& ledger_;
    const Nanos interval_;
    std::mutex flush_mutex_;  // flush() of the thread and of callers, one at a time
    KeyBatch batch_;
    std::jthread thread_;  // last: starts when the rest is ready
};

}  // namespace sluice
