// How many connections each client address has open, over all workers: one client must not take all places.
#pragma once

#include <array>
#include <cstddef>
#include <unordered_map>

#include "base/guarded.hpp"
#include "base/ip_prefix.hpp"

namespace sluice::http {

// Any thread. As large as there are connections; an address without one is forgotten.
class SourceConnections {
  public:
    // `most` of one IPv4 address or IPv6 /64, which one client has as a rule; 0: no bound.
    explicit SourceConnections(std::size_t most) : most_(most) {}

    // Counts a connection; false: the source has all it may have, and it is not counted.
    bool enter(const IpAddress& address) {
        if (most_ == 0) return true;
        const IpPrefix source = kSource.of(address);
        return shard(source).with([&](Counts& counts) {
            std::size_t& count = counts[source];
            if (count >= most_) return false;
            ++count;
            return true;
        });
    }
    // Of a connection that was counted.
    void leave(const IpAddress& address) {
        if (most_ == 0) return;
        const IpPrefix source = kSource.of(address);
        shard(source).with([&](Counts& counts) {
            const auto found = counts.find(source);
            if (--found->second == 0) counts.erase(found);
        });
    }

  private:
    using Counts = std::unordered_map<IpPrefix, std::size_t>;
    static constexpr SourcePrefix kSource{32, 64};

    Guarded<Counts>& shard(const IpPrefix& source) {
        return shards_[std::hash<IpPrefix>{}(source) % shards_.size()];
    }

    const std::size_t most_;
    std::array<Guarded<Counts>, 16> shards_;  // so that workers seldom wait for one another
};

}  // namespace sluice::http
