#include "kernel/prefix_verify.hpp"

#include <algorithm>
#include <string>

#include "kernel/abi_convert.hpp"
#include "kernel/bpf_arithmetic.hpp"

namespace sluice {
namespace {

__extension__ using Number = unsigned __int128;

constexpr Number number_of(const sluice_address& address) {
    return Number{address.hi} << 64 | address.lo;
}
constexpr sluice_address address_of(Number number) {
    return {static_cast<std::uint64_t>(number >> 64), static_cast<std::uint64_t>(number)};
}

}  // namespace

bool in_prefix_set(const sluice_prefix_set& set, std::span<const sluice_fences> blocks,
                   sluice_address address, bool ipv4) {
    std::uint32_t number = 0;
    for (std::uint32_t level = 0; level < std::min<std::uint32_t>(set.depth, SLUICE_SET_DEPTH); ++level) {
        const std::size_t index = std::size_t{set.base[level]} + number;
        if (index >= blocks.size()) return false;
        const std::uint32_t fence = sluice_find_fence(&blocks[index], &address, ipv4 ? 1 : 0);
        number = sluice_descend(&set, level, number, fence);
    }
    return (number & 1) != 0;
}

Result<> verify_prefix_set(const sluice_prefix_set& set, std::span<const sluice_fences> blocks,
                           const std::vector<IpPrefix>& prefixes, bool ipv4, const char* list) {
    const auto sorted = [&] {
        std::vector<IpPrefix> copy = prefixes;
        std::ranges::sort(copy);
        return copy;
    };
    if (!std::ranges::is_sorted(prefixes)) return verify_prefix_set(set, blocks, sorted(), ipv4, list);

    const auto in = [&](Number address) { return in_prefix_set(set, blocks, address_of(address), ipv4); };
    const auto fail = [&](const IpPrefix& prefix, const char* what) {
        return Error{ErrorCode::kInternal,
                     "read back " + std::string{list} + ": " + prefix.to_string() + " " + what};
    };
    constexpr Number kLast = ~Number{0};
    bool any = false;
    Number covered_to = 0;  // the last address of the prefixes seen so far, if any
    for (const IpPrefix& prefix : prefixes) {
        if (prefix.is_v4() != ipv4) continue;
        const sluice_address mask = mask_of(ipv4, prefix.length());
        const Number first = number_of(to_abi(prefix.address()));
        const Number last = first | ~number_of(mask);
        if (!in(first) || !in(last)) return fail(prefix, "did not get into the kernel's list");
        if (any && first <= covered_to) continue;  // lies within one before it
        const bool gap_before = any ? first - covered_to > 1 : first != 0;
        if (gap_before && (in(first - 1) || (any && in(covered_to + 1))))
            return fail(prefix, "has a neighbour in the kernel's list that is not in the policy's");
        any = true;
        covered_to = last;
        if (last == kLast) break;
    }
    if (!any && set.depth != 0)
        return Error{ErrorCode::kInternal,
                     "read back " + std::string{list} + ": the list is empty, the kernel's is not"};
    if (any && covered_to != kLast && in(covered_to + 1))
        return Error{ErrorCode::kInternal, "read back " + std::string{list} +
                                               ": the kernel's list does not end where the "
                                               "policy's does"};
    return {};
}

}  // namespace sluice
