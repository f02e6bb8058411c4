#include "http/event_loop.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace sluice::http {

void Timer::cancel() {
    if (queue_ == nullptr) return;
    (previous_ != nullptr ? previous_->next_ : queue_->first_) = next_;
    (next_ != nullptr ? next_->previous_ : queue_->last_) = previous_;
    queue_ = nullptr;
    previous_ = next_ = nullptr;
}

void TimerQueue::arm(Timer& timer, Nanos now) {
    timer.cancel();
    timer.at_ = now + duration_;
    timer.queue_ = this;
    timer.previous_ = last_;
    (last_ != nullptr ? last_->next_ : first_) = &timer;
    last_ = &timer;
}

Result<> EventLoop::open() {
    epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_) return system_error("create", "epoll", errno);
    wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_) return system_error("create", "eventfd", errno);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = nullptr;  // the wake-up is the one descriptor without a handler
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
        return system_error("watch", "eventfd", errno);
    }
    now_ = monotonic_now();
    return {};
}

Result<> EventLoop::add(int fd, std::uint32_t events, EventHandler& handler) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &handler;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
        return system_error("watch", "descriptor " + std::to_string(fd), errno);
    }
    return {};
}

void EventLoop::change(int fd, std::uint32_t events, EventHandler& handler) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &handler;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);  // fails only for a descriptor that was never added
}

void EventLoop::cancel_deferred(EventHandler& handler) {
    for (auto* list : {&deferred_work_, &deferred_write_, &running_})
        std::replace(list->begin(), list->end(), &handler, {});
}

int EventLoop::timeout_ms() const {
    if (!deferred_work_.empty() || !deferred_write_.empty()) return 0;
    Nanos next = -1;
    for (const TimerQueue* queue : queues_) {
        if (queue->first_ != nullptr && (next < 0 || queue->first_->at_ < next)) next = queue->first_->at_;
    }
    if (next < 0) return -1;
    const Nanos wait = std::clamp<Nanos>(next - now_, 0, kHour);
    return static_cast<int>((wait + kMillisecond - 1) / kMillisecond);
}

void EventLoop::fire_timers() {
    for (TimerQueue* queue : queues_) {
        while (queue->first_ != nullptr && queue->first_->at_ <= now_) {
            Timer& timer = *queue->first_;
            timer.cancel();
            timer.owner_->on_deadline();
        }
    }
}

void EventLoop::run_posted() {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto n = ::read(wake_.get(), &count, sizeof count);
    std::vector<std::function<void()>> tasks;
    posted_.with([&](auto& posted) { tasks.swap(posted); });
    for (auto& task : tasks) task();
}

void EventLoop::run_pass(Pass pass) {
    pass_ = pass;
    running_.swap(deferred(pass));
    for (std::size_t i = 0; i < running_.size(); ++i) {
        if (running_[i] != nullptr) running_[i]->on_deferred();
    }
    running_.clear();
}

void EventLoop::run(const std::function<void()>& after_round) {
    // What is deferred waits for all events of a round: few enough that none waits long.
    std::array<epoll_event, 64> events{};
    while (!stopped_.load(std::memory_order_acquire)) {
        const int count =
            ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms());
        now_ = monotonic_now();
        bool woken = false;
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            if (event.data.ptr == nullptr) {
                woken = true;
            } else {
                static_cast<EventHandler*>(event.data.ptr)->on_events(event.events);
            }
        }
        run_pass(Pass::kWork);
        run_pass(Pass::kWrite);
        pass_ = Pass::kRead;
        fire_timers();
        if (woken) run_posted();
        after_round();
    }
}

void EventLoop::post(std::function<void()> task) {
    posted_.with([&](auto& posted) { posted.push_back(std::move(task)); });
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(wake_.get(), &one, sizeof one);
}

void EventLoop::stop() {
    stopped_.store(true, std::memory_order_release);
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(wake_.get(), &one, sizeof one);
}

}  // namespace sluice::http
