#include "api/ban_set.hpp"

#include <algorithm>

namespace sluice {

BanSet::BanSet(std::vector<PlacedBan> bans) {
    for (PlacedBan& ban : bans) {
        std::vector<std::uint8_t>& lengths = ban.source.is_v4() ? v4_lengths_ : v6_lengths_;
        const auto length = static_cast<std::uint8_t>(ban.source.length());
        if (std::ranges::find(lengths, length) == lengths.end()) lengths.push_back(length);
        const IpPrefix source = ban.source;
        bans_.insert_or_assign(source, std::move(ban));
    }
    std::ranges::sort(v4_lengths_, std::greater{});
    std::ranges::sort(v6_lengths_, std::greater{});
}

const PlacedBan* BanSet::find(const IpAddress& address, Nanos now) const {
    for (const std::uint8_t length : address.is_v4() ? v4_lengths_ : v6_lengths_) {
        const auto found = bans_.find(IpPrefix{address, length});
        if (found != bans_.end() && found->second.expires > now) return &found->second;
    }
    return nullptr;
}

}  // namespace sluice
