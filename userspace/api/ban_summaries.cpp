#include "api/ban_summaries.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace sluice {

bool BanSummaries::due(Nanos now) {
    if (next_ == 0) next_ = now + kEvery;
    if (now < next_) return false;
    next_ = now + kEvery;
    return true;
}

std::vector<BanSummary> BanSummaries::take(const std::vector<Ban>& standing) {
    std::vector<BanSummary> round;
    std::map<IpPrefix, std::uint64_t> now;
    for (const Ban& ban : standing) {
        const auto before = told_.find(ban.source);
        if (before == told_.end()) {
            now[ban.source] = 0;
            continue;
        }
        // Fewer than before: it ended and began anew in between.
        const std::uint64_t told = ban.packets < before->second ? 0 : before->second;
        now[ban.source] = told;
        if (ban.packets > told) round.push_back({ban, ban.packets - told, 0});
    }
    std::ranges::sort(round, std::greater{}, &BanSummary::since);
    if (round.size() > kMostPerRound) {
        round.front().untold = round.size() - kMostPerRound;
        round.resize(kMostPerRound);
    }
    for (const BanSummary& one : round) now[one.ban.source] = one.ban.packets;
    told_ = std::move(now);
    return round;
}

}  // namespace sluice
