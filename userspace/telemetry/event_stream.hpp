// Fan-out of log records to live subscribers (GET /v1/events), in the format of server-sent events.
//
// A subscriber that does not keep up loses records, never the daemon's memory, and is told how many it lost.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

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
        std::uint64_t id = 0;
        std::shared_ptr<const std::string> text;  // a whole server-sent event
    };
    struct Queue {
        std::deque<Item> items;
        std::uint64_t lost = 0;
        std::function<void()> wake;
    };
    struct State {
        std::uint64_t next_id = 1;
        std::deque<Item> ring;
        std::uint64_t next_subscriber = 1;
        std::map<std::uint64_t, Queue> queues;
    };

    std::uint64_t epoch_;
    Options options_;
    // Shared, so that a subscription may outlive the stream.
    std::shared_ptr<Guarded<State>> state_ = std::make_shared<Guarded<State>>();
};

// One subscriber's end. Dropping it unsubscribes.
class EventSubscription {
  public:
    ~EventSubscription();
    EventSubscription(const EventSubscription&) = delete;
    EventSubscription& operator=(const EventSubscription&) = delete;

    // Any thread; appends what waits to `out` as server-sent events, after an event `lost` with {"lost":n} if
    // some had to be dropped before them.
    void take(std::string& out);
    // Any thread. `wake` is called, from the publishing thread, when take() has something again; it must not
    // block and may be called once more after the subscription has gone.
    void on_ready(std::function<void()> wake);

  private:
    friend class EventStream;
    EventSubscription(std::shared_ptr<Guarded<EventStream::State>> state, std::uint64_t id)
        : state_(std::move(state)), id_(id) {}

    std::shared_ptr<Guarded<EventStream::State>> state_;
    std::uint64_t id_;
};

}  // namespace sluice
