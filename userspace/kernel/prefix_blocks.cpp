#include "kernel/prefix_blocks.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <tuple>

#include "kernel/abi_convert.hpp"

namespace sluice {
namespace {

struct Range {
    sluice_address first;
    std::optional<sluice_address> next;  // the first address after it; none: it ends with the address space
};

bool below(const sluice_address& a, const sluice_address& b) {
    return std::tie(a.hi, a.lo) < std::tie(b.hi, b.lo);
}

Range range_of(const IpPrefix& prefix) {
    const sluice_address first = to_abi(prefix.address());
    const sluice_address mask = mask_of(prefix.is_v4(), prefix.length());
    sluice_address next{first.hi | ~mask.hi, (first.lo | ~mask.lo) + 1};
    if (next.lo == 0) ++next.hi;
    if (next.lo == 0 && next.hi == 0) return {first, std::nullopt};
    return {first, next};
}

}  // namespace

std::vector<sluice_address> prefix_boundaries(const std::vector<IpPrefix>& prefixes, bool ipv4) {
    std::vector<Range> ranges;
    ranges.reserve(prefixes.size());
    for (const IpPrefix& prefix : prefixes)
        if (prefix.is_v4() == ipv4) ranges.push_back(range_of(prefix));
    if (ranges.empty()) return {};

    // Wider first among those that begin alike, so that a range either continues none or lies within its
    // predecessor.
    const auto before = [](const Range& a, const Range& b) {
        if (a.first.hi != b.first.hi || a.first.lo != b.first.lo) return below(a.first, b.first);
        if (!a.next || !b.next) return !a.next && b.next;
        return below(*b.next, *a.next);
    };
    // A policy's lists come sorted like this.
    if (!std::ranges::is_sorted(ranges, before)) std::ranges::sort(ranges, before);
    std::vector<sluice_address> boundaries{{0, 0}};
    boundaries.reserve(2 * ranges.size() + 1);
    bool open_ended = false;
    for (const Range& range : ranges) {
        if (open_ended) break;
        if (boundaries.size() > 1 && below(range.first, boundaries.back()))
            continue;  // within its predecessor
        const bool adjacent = boundaries.size() > 1 && !below(boundaries.back(), range.first);
        if (adjacent)
            boundaries.pop_back();
        else
            boundaries.push_back(range.first);
        if (range.next)
            boundaries.push_back(*range.next);
        else
            open_ended = true;
    }
    return boundaries;
}

sluice_prefix_set append_prefix_set(const std::vector<sluice_address>& boundaries,
                                    std::vector<sluice_fences>& blocks) {
    sluice_prefix_set set{};
    if (boundaries.empty()) return set;

    // From the leaves up: each level holds the first boundary of every block below it.
    std::vector<std::vector<sluice_address>> levels{boundaries};
    while (levels.back().size() > SLUICE_FENCES) {
        std::vector<sluice_address> parents;
        for (std::size_t i = 0; i < levels.back().size(); i += SLUICE_FENCES)
            parents.push_back(levels.back()[i]);
        levels.push_back(std::move(parents));
    }
    std::ranges::reverse(levels);
    set.depth = static_cast<std::uint32_t>(levels.size());
    for (std::size_t level = 0; level < levels.size(); ++level) {
        const std::vector<sluice_address>& fences = levels[level];
        set.base[level] = static_cast<std::uint32_t>(blocks.size());
        set.last[level] = static_cast<std::uint32_t>(fences.size() - 1);
        for (std::size_t i = 0; i < fences.size(); ++i) {
            if (i % SLUICE_FENCES == 0) std::memset(&blocks.emplace_back(), 0xff, sizeof(sluice_fences));
            blocks.back().hi[i % SLUICE_FENCES] = fences[i].hi;
            blocks.back().lo[i % SLUICE_FENCES] = fences[i].lo;
        }
    }
    return set;
}

}  // namespace sluice
