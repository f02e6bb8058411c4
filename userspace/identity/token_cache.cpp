#include "identity/token_cache.hpp"

namespace sluice {

std::shared_ptr<const Identity> TokenCache::find(const Sha256& token, std::int64_t now) {
    return shard_of(token).with([&](Shard& shard) -> std::shared_ptr<const Identity> {
        auto found = shard.young.find(token);
        if (found == shard.young.end()) {
            auto moved = shard.old.extract(token);
            if (moved.empty()) return nullptr;
            if (now >= moved.mapped().until) return nullptr;  // and forgotten
            store(shard, token, std::move(moved.mapped()));
            found = shard.young.find(token);
        }
        const Entry& entry = found->second;
        return now >= entry.from && now < entry.until ? entry.identity : nullptr;
    });
}

void TokenCache::insert(const Sha256& token, std::shared_ptr<const Identity> identity, std::int64_t from,
                        std::int64_t until) {
    shard_of(token).with([&](Shard& shard) { store(shard, token, {std::move(identity), from, until}); });
}

void TokenCache::store(Shard& shard, const Sha256& token, Entry entry) {
    if (shard.young.size() >= kGeneration) {
        shard.old = std::move(shard.young);
        shard.young.clear();
    }
    shard.young.insert_or_assign(token, std::move(entry));
}

std::size_t TokenCache::size() const {
    std::size_t size = 0;
    for (const auto& shard : shards_)
        size += shard.with([](const Shard& s) { return s.young.size() + s.old.size(); });
    return size;
}

}  // namespace sluice
