#include "telemetry/burst_aggregator.hpp"

#include <utility>

namespace sluice {
namespace {

constexpr std::size_t kSharedPlaces = 16;

}  // namespace

std::size_t BurstAggregator::Hash::operator()(const KeyView& key) const {
    const std::size_t client = key.client ? std::hash<IpAddress>{}(*key.client) : 0;
    return client * 31 + std::hash<std::string_view>{}(key.what);
}

BurstAggregator::Outcome BurstAggregator::try_record(const KeyView& key, std::size_t capacity, Nanos now) {
    if (const auto found = bursts_.find(key); found != bursts_.end()) {
        Burst& burst = found->second;
        if (burst.count++ == 0) burst.first = now;
        burst.last = now;
        return Outcome::kCounted;
    }
    if (bursts_.size() >= capacity) return Outcome::kFull;
    const Key owned{key.client, std::string{key.what}};
    bursts_.emplace(owned, Burst{});
    due_.push_back({now + kInterval, owned});
    return Outcome::kBegan;
}

bool BurstAggregator::record(const IpAddress& client, std::string_view what, Nanos now) {
    Outcome outcome = try_record({client, what}, capacity_, now);
    if (outcome == Outcome::kFull) outcome = try_record({std::nullopt, what}, capacity_ + kSharedPlaces, now);
    if (outcome == Outcome::kFull)
        outcome = try_record({std::nullopt, "other"}, capacity_ + kSharedPlaces + 1, now);
    return outcome == Outcome::kBegan;
}

BurstAggregator::Summary BurstAggregator::to_summary(const Key& key, const Burst& burst) {
    return {key.client, key.what, burst.count, burst.first, burst.last};
}

std::vector<BurstAggregator::Summary> BurstAggregator::due(Nanos now) {
    std::vector<Summary> summaries;
    while (!due_.empty() && due_.front().at <= now) {
        Due due = std::move(due_.front());
        due_.pop_front();
        const auto found = bursts_.find(due.key);
        if (found->second.count == 0) {
            bursts_.erase(found);
            continue;
        }
        summaries.push_back(to_summary(found->first, found->second));
        found->second = Burst{};
        due.at =
            now +
            kInterval;  // not due.at + kInterval: the queue has to stay in order when due() was called late
        due_.push_back(std::move(due));
    }
    return summaries;
}

std::vector<BurstAggregator::Summary> BurstAggregator::drain() {
    std::vector<Summary> summaries;
    for (const auto& [key, burst] : bursts_)
        if (burst.count) summaries.push_back(to_summary(key, burst));
    bursts_.clear();
    due_.clear();
    return summaries;
}

}  // namespace sluice
