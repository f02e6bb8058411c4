// One worker's event loop: edge-triggered epoll, deadlines, deferred calls and posted tasks. docs/adr/0004
// says why not Asio's reactor. One thread, but for post() and stop().
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/clock.hpp"
#include "base/guarded.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace sluice::http {

class EventHandler {
  public:
    virtual ~EventHandler() = default;
    // EPOLL… bits of the descriptor added with this handler.
    virtual void on_events(std::uint32_t events) = 0;
    // Its timer ran out.
    virtual void on_deadline() {}
    // What EventLoop::defer() asked for.
    virtual void on_deferred() {}
};

class TimerQueue;

// A deadline of one handler; in at most one queue. Leaves it when destroyed.
class Timer {
  public:
    explicit Timer(EventHandler& owner) : owner_(&owner) {}
    ~Timer() { cancel(); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    void cancel();

  private:
    friend class TimerQueue;
    friend class EventLoop;
    EventHandler* owner_;
    TimerQueue* queue_ = nullptr;
    Timer* previous_ = nullptr;
    Timer* next_ = nullptr;
    Nanos at_ = 0;
};

// All timers of one duration. Because they are armed in the order of time they are sorted by themselves:
// arming and cancelling move a few pointers.
class TimerQueue {
  public:
    explicit TimerQueue(Nanos duration) : duration_(duration) {}
    TimerQueue(const TimerQueue&) = delete;
    TimerQueue& operator=(const TimerQueue&) = delete;

    // Fires `duration` after `now`, which never goes back; replaces what the timer was armed for.
    void arm(Timer& timer, Nanos now);

  private:
    friend class Timer;
    friend class EventLoop;
    Nanos duration_;
    Timer* first_ = nullptr;
    Timer* last_ = nullptr;
};

class EventLoop {
  public:
    // A round goes over all connections at hand three times: to read, to work on what was read, to write. So
    // each kind of code (the kernel's receiving, ours, the kernel's sending) is fetched into the cache once a
    // round, not once a connection, and a client on another CPU is not woken anew for each answer. A refusal
    // costs a tenth less.
    enum class Pass : std::uint8_t { kRead, kWork, kWrite };

    Result<> open();
    // The queue is looked after from now on and must outlive the loop's run().
    void watch(TimerQueue& queue) { queues_.push_back(&queue); }

    // Watches the descriptor until it is closed.
    Result<> add(int fd, std::uint32_t events, EventHandler& handler);

    // Changes what a descriptor that was added is watched for; 0: nothing.
    void change(int fd, std::uint32_t events, EventHandler& handler);

    // Calls handler.on_deferred() once, in the next pass of this kind (kWork or kWrite). A handler that goes
    // away first must cancel_deferred().
    void defer(EventHandler& handler, Pass pass) { deferred(pass).push_back(&handler); }
    void cancel_deferred(EventHandler& handler);

    // The pass that runs; events, timers and posted tasks come in kRead.
    Pass pass() const { return pass_; }

    // CLOCK_MONOTONIC as read after the last wait.
    Nanos now() const { return now_; }

    // Runs until stop(). `after_round` is called after each batch of events, when no handler is on the stack.
    void run(const std::function<void()>& after_round);

    // Any thread.
    void post(std::function<void()> task);
    void stop();

  private:
    int timeout_ms() const;
    void fire_timers();
    void run_posted();
    void run_pass(Pass pass);
    std::vector<EventHandler*>& deferred(Pass pass) {
        return pass == Pass::kWork ? deferred_work_ : deferred_write_;
    }

    UniqueFd epoll_;
    UniqueFd wake_;
    std::vector<TimerQueue*> queues_;
    std::vector<EventHandler*> deferred_work_;
    std::vector<EventHandler*> deferred_write_;
    std::vector<EventHandler*> running_;
    Guarded<std::vector<std::function<void()>>> posted_;
    std::atomic<bool> stopped_{false};
    Pass pass_ = Pass::kRead;
    Nanos now_ = 0;
};

}  // namespace sluice::http
