#include "telemetry/active_users.hpp"

#include <functional>

namespace sluice {

void ActiveUsers::seen(std::string_view user, Nanos now) {
    const std::uint64_t hash = std::hash<std::string_view>{}(user);
    shards_[hash % kShards].with([&](Shard& shard) {
        if (const auto found = shard.last_seen.find(hash); found != shard.last_seen.end()) {
            found->second = std::max(found->second, now);
            return;
        }
        // A full shard is swept at most once a second, so that a crowd does not make every request pay for a
        // sweep.
        if (shard.last_seen.size() >= capacity_ && now - shard.last_sweep >= kSecond) {
            shard.last_sweep = now;
            std::erase_if(shard.last_seen, [&](const auto& entry) { return entry.second <= now - kWindow; });
        }
        if (shard.last_seen.size() < capacity_)
            shard.last_seen.emplace(hash, now);
        else
            saturated_.store(true, std::memory_order_relaxed);
    });
}

std::uint64_t ActiveUsers::count(Nanos now) {
    std::uint64_t users = 0;
    for (auto& shard : shards_)
        users += shard.with([&](Shard& s) {
            std::erase_if(s.last_seen, [&](const auto& entry) { return entry.second <= now - kWindow; });
            return s.last_seen.size();
        });
    return users;
}

}  // namespace sluice
