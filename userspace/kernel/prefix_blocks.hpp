// A list of prefixes as the static search tree of the XDP program (struct sluice_prefix_set).
#pragma once

#include <vector>

#include "base/ip_prefix.hpp"
#include "bpf/sluice_abi.h"

namespace sluice {

// The sorted boundaries of the disjoint ranges that the prefixes of one family cover: [0] opens a gap, then
// ranges and gaps take turns. Empty if no prefix is of that family.
std::vector<sluice_address> prefix_boundaries(const std::vector<IpPrefix>& prefixes, bool ipv4);

// How many boundaries a tree can hold: SLUICE_FENCES to the power of SLUICE_SET_DEPTH.
inline constexpr std::size_t kMaxBoundaries = std::size_t{SLUICE_FENCES} * SLUICE_FENCES * SLUICE_FENCES;

// Appends the tree to the blocks and returns where it stands. At most kMaxBoundaries.
sluice_prefix_set append_prefix_set(const std::vector<sluice_address>& boundaries,
                                    std::vector<sluice_fences>& blocks);

}  // namespace sluice
