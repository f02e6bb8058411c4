#include "ledger/flusher.hpp"

#include <chrono>
#include <condition_variable>

namespace sluice {
namespace {

// A transaction of some ten milliseconds at most; more keys take more transactions.
constexpr std::size_t kBatchKeys = 16'384;
constexpr std::size_t kBatchBytes = std::size_t{2} << 20;
// A ledger that fails is asked again each second, not each flush: what changed is kept meanwhile.
constexpr Nanos kRetryAfter = kSecond;
constexpr Nanos kSweepEvery = kSecond;

}  // namespace

Flusher::Flusher(Limiter& limiter, Ledger& ledger, Nanos interval)
    : limiter_(limiter), ledger_(ledger), interval_(interval) {
    batch_.reserve(kBatchKeys, kBatchBytes);
    thread_ = std::jthread{[this](const std::stop_token& stop) { run(stop); }};
}

Flusher::~Flusher() {
    thread_.request_stop();
    thread_.join();
    // The last words; if they fail, health() says so.
    static_cast<void>(flush(ledger_now()));
}

Result<> Flusher::flush(Nanos now) {
    const std::lock_guard lock{flush_mutex_};
    // Traffic goes on changing keys: what was changed when this began fits into so many batches.
    for (std::uint64_t left = limiter_.stats().changes / kBatchKeys + 1; left > 0; --left) {
        batch_.clear();
        const std::size_t drained = limiter_.drain_changes(kBatchKeys, batch_);
        if (drained == 0) return {};
        if (const auto stored = ledger_.store(batch_, now); !stored) {
            limiter_.mark_changed(batch_);
            return stored.error();
        }
        if (drained < kBatchKeys) return {};
    }
    return {};
}

void Flusher::run(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock{mutex};
    Nanos pause = interval_;
    Nanos swept = ledger_now();
    while (
        !wake.wait_for(lock, stop, std::chrono::nanoseconds{pause}, [&] { return stop.stop_requested(); })) {
        const Nanos now = ledger_now();
        auto done = flush(now);
        if (done && now - swept >= kSweepEvery) {
            done = ledger_.sweep(now);
            swept = now;
        }
        pause = done ? interval_ : std::max(interval_, kRetryAfter);
    }
}

}  // namespace sluice
