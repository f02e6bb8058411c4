// Fan-out of log records to live subscribers (GET /v1/events), in the format of server-sent events.
//
// A subscriber that does not keep up loses records, never the daemon's memory, and is told how many it lost.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.hpp"
#include "base/result.hpp"

namespace sluice {

class EventSubscription;

class EventStream {
  public:
    struct Options {
        std::size_t ring = 1024;  // recent events, for subscribers that come back
        std::size_t subscribers = 32;
        std::size_t queue = 1024;  // events that wait for one subscriber
    };
    // `epoch` tells the event ids of this process from those of another (the start time, say).
    EventStream(std::uint64_t epoch, Options options);
    explicit EventStream(std::uint64_t epoch);

    // Any thread. `dataset` is the event's name, `json` one line.
    void publish(std::string_view dataset, std::string_view json);

    // Any thread. With `last_event_id` (the header Last-Event-ID; "" for none) what came after it is
    // delivered first; an id that is too old, or of another process, is followed by the whole ring.
    // kExhausted: too many subscribers.
    Result<std::shared_ptr<EventSubscription>> subscribe(std::string_view last_event_id = {});

  private:
    friend class EventSubscription;
    struct Item {
        std::uint64_t id;
        std::shared_ptr<const std::string> text;  // a whole server-sent event
    };
    struct State {
        std::uint64_t next_id = 1;
        std::deque<Item> ring;
        std::vector<std::weak_ptr<EventSubscription>> subscribers;
    };

    std::uint64_t epoch_;
    Options options_;
    Guarded<State> state_;
};

// One subscriber. Lives as long as someone holds it.
class EventSubscription {
  public:
    // Any thread; appends what waits to `out` as server-sent events, a report of what was lost first.
    void take(std::string& out);
    // Any thread. `wake` is called, from the publishing thread, when take() has something again; it must not
    // block.
    void on_ready(std::function<void()> wake);

  private:
    friend class EventStream;
    explicit EventSubscription(std::size_t capacity) : capacity_(capacity) {}
    void push(const EventStream::Item& item);

    struct Queue {
        std::deque<EventStream::Item> items;
        std::uint64_t lost = 0;
        std::function<void()> wake;
    };
    std::size_t capacity_;
    Guarded<Queue> queue_;
};

}  // namespace sluice
