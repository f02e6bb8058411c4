#include "telemetry/event_stream.hpp"

#include <charconv>
#include <utility>
#include <vector>

namespace sluice {
namespace {

// "epoch-id" → id; 0, which no event has, for anything else.
std::uint64_t id_within(std::string_view event_id, std::uint64_t epoch) {
    const std::string prefix = std::to_string(epoch) + '-';
    if (!event_id.starts_with(prefix)) return 0;
    std::uint64_t id = 0;
    const char* end = event_id.data() + event_id.size();
    const auto [stop, error] = std::from_chars(event_id.data() + prefix.size(), end, id);
    return error == std::errc{} && stop == end ? id : 0;
}

}  // namespace

EventStream::EventStream(std::uint64_t epoch, Options options) : epoch_(epoch), options_(options) {}
EventStream::EventStream(std::uint64_t epoch) : EventStream(epoch, Options{}) {}

void EventStream::publish(std::string_view dataset, std::string_view json) {
    std::vector<std::function<void()>> wakes;
    state_->with([&](State& state) {
        const std::uint64_t id = state.next_id++;
        std::string text = "id: " + std::to_string(epoch_) + '-' + std::to_string(id) + "\nevent: ";
        text.append(dataset).append("\ndata: ").append(json).append("\n\n");
        const Item item{id, std::make_shared<const std::string>(std::move(text))};
        state.ring.push_back(item);
        if (state.ring.size() > options_.ring) state.ring.pop_front();
        for (auto& [subscriber, queue] : state.queues) {
            // The oldest goes: who is behind wants to know what happens now.
            if (queue.items.size() >= options_.queue) {
                queue.items.pop_front();
                ++queue.lost;
            }
            queue.items.push_back(item);
            if (queue.items.size() == 1 && queue.wake) wakes.push_back(queue.wake);
        }
    });
    for (const auto& wake : wakes) wake();
}

Result<std::shared_ptr<EventSubscription>> EventStream::subscribe(std::string_view last_event_id) {
    const std::uint64_t last_id = id_within(last_event_id, epoch_);
    const std::uint64_t number = state_->with([&](State& state) -> std::uint64_t {
        if (state.queues.size() >= options_.subscribers) return 0;
        Queue queue;
        if (!last_event_id.empty()) {
            for (const auto& item : state.ring)
                if (item.id > last_id) queue.items.push_back(item);
            // What left the ring since is lost to this subscriber; of another process nothing is known.
            if (last_id && !state.ring.empty() && state.ring.front().id > last_id + 1)
                queue.lost = state.ring.front().id - last_id - 1;
        }
        state.queues.emplace(state.next_subscriber, std::move(queue));
        return state.next_subscriber++;
    });
    if (!number)
        return Error{ErrorCode::kExhausted, "subscribe to events: all " +
                                                std::to_string(options_.subscribers) + " places are taken"};
    return std::shared_ptr<EventSubscription>(new EventSubscription(state_, number));
}

EventSubscription::~EventSubscription() {
    state_->with([&](auto& state) { state.queues.erase(id_); });
}

void EventSubscription::take(std::string& out) {
    std::deque<EventStream::Item> items;
    std::uint64_t lost = 0;
    state_->with([&](auto& state) {
        auto& queue = state.queues.at(id_);
        items.swap(queue.items);
        lost = std::exchange(queue.lost, 0);
    });
    if (lost) out.append("event: lost\ndata: {\"lost\":").append(std::to_string(lost)).append("}\n\n");
    for (const auto& item : items) out.append(*item.text);
}

void EventSubscription::on_ready(std::function<void()> wake) {
    const bool ready = state_->with([&](auto& state) {
        auto& queue = state.queues.at(id_);
        queue.wake = wake;
        return !queue.items.empty() || queue.lost;
    });
    if (ready) wake();
}

}  // namespace sluice
