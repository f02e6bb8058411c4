// How bans go on: what each that stands has dropped since it was last told of, once a minute. A ban that dropped nothing is not
// told of, nor is one that began less than a minute ago: its beginning was. Pure; time goes in.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "kernel/kernel_enforcer.hpp"

namespace sluice {

struct BanSummary {
    Ban ban;
    std::uint64_t since = 0;   // packets it dropped since its last summary, or since it began
    std::uint64_t untold = 0;  // of the first of a round: bans that dropped packets and found no place in it
};

class BanSummaries {
  public:
    static constexpr Nanos kEvery = kMinute;
    // An attack by thousands of sources bans thousands; their summaries are not to be a flood themselves.
    static constexpr std::size_t kMostPerRound = 100;

    // Whether a round is due; the first is one minute after the first call.
    bool due(Nanos now);
    // A round: those that dropped most first. `standing` are all bans in the kernel.
    std::vector<BanSummary> take(const std::vector<Ban>& standing);

  private:
    Nanos next_ = 0;
    std::map<IpPrefix, std::uint64_t>
        told_;  // packets, as last told; of the bans that stood in the last round
};

}  // namespace sluice
