// A value that can only be reached through its lock (after dnsdist's lock.hh): locking is a type, not a
// comment.
#pragma once

#include <mutex>
#include <utility>

namespace sluice {

template <class T, class Mutex = std::mutex>
class Guarded {
  public:
    Guarded() = default;
    explicit Guarded(T value) : value_(std::move(value)) {}

    // Calls f(value) under the lock and returns what f returns. f does no I/O and takes no other lock.
    template <class F>
    decltype(auto) with(F&& f) {
        const std::lock_guard lock{mutex_};
        return std::forward<F>(f)(value_);
    }
    template <class F>
    decltype(auto) with(F&& f) const {
        const std::lock_guard lock{mutex_};
        return std::forward<F>(f)(std::as_const(value_));
    }

  private:
    mutable Mutex mutex_;
    T value_{};
};

}  // namespace sluice
