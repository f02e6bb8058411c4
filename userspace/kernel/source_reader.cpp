#include "kernel/source_reader.hpp"

#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <tuple>

#include "kernel/abi_convert.hpp"
#include "kernel/bpf_arithmetic.hpp"

namespace sluice {
namespace {

// How many packets or bytes fit before the burst is used up.
std::uint64_t available(const sluice_limit& limit, std::uint64_t ahead) {
    return ahead >= limit.depth ? 0 : (limit.depth - ahead) / sluice_cost(&limit, 1);
}

unsigned length_of(const sluice_address& mask, bool ipv4) {
    return static_cast<unsigned>(std::popcount(mask.hi) + std::popcount(mask.lo)) - (ipv4 ? 96 : 0);
}

}  // namespace

Result<std::vector<LimitState>> read_limits(const SharedMaps& maps, const sluice_control& control,
                                            const KernelPlan& plan, const IpAddress& address, Nanos now) {
    const sluice_policy& policy = plan.policy;
    const std::size_t family = address.is_v4() ? SLUICE_IPV4 : SLUICE_IPV6;
    std::vector<LimitState> states;
    for (std::size_t group = 0; group < SLUICE_GROUPS; ++group)
        for (std::size_t scope = 0; scope < 2; ++scope) {
            const sluice_limit_list& list = policy.limits[group][scope];
            if (list.used == 0) continue;
            const bool by_source = scope == SLUICE_SCOPE_SOURCE;
            const sluice_address& mask = by_source ? policy.source_mask[family] : policy.prefix_mask[family];
            const sluice_address key = masked(to_abi(address), mask);
            const std::uint64_t hash = sluice_hash_source(&key, control.hash_key);
            const sluice_region& region = control.regions[group][scope];
            const std::uint32_t index = region.base + (static_cast<std::uint32_t>(hash) & region.mask);
            sluice_set set{};
            const UniqueFd& map = by_source ? maps.sources : maps.prefixes;
            if (const int error = bpf_map_lookup_elem(map.get(), &index, &set); error != 0)
                return system_error("read map", by_source ? "sources" : "prefixes", -error);
            for (std::uint32_t i = 0; i < list.used; ++i) {
                const std::uint8_t slot = list.order[i];
                const sluice_limit& limit = list.limit[slot];
                const std::uint64_t tag = sluice_tag(hash, limit.salt, slot);
                const auto* entry = std::ranges::find_if(
                    set.entry, [tag](auto word) { return (word & SLUICE_TAG_MASK) == tag; });
                const std::uint64_t time = sluice_time(&limit, static_cast<std::uint64_t>(now));
                const std::uint64_t ahead =
                    entry == std::end(set.entry) ? 0 : sluice_ahead(*entry, time, limit.depth);
                LimitState state;
                state.name = plan.limit_names[group][scope][slot];
                state.key = IpPrefix{address, length_of(mask, address.is_v4())}.to_string();
                state.burst = available(limit, 0);
                state.available = available(limit, ahead);
                state.shadow = limit.shadow != 0;
                state.every_packet = (limit.count & (SLUICE_COUNT_PACKETS | SLUICE_COUNT_BYTES)) != 0;
                state.reason = kernel_reasons()[limit.reason].name;
                states.push_back(std::move(state));
            }
        }
    return states;
}

std::uint64_t count_entries(std::span<sluice_set> sets, const sluice_limit_list& limits, Nanos now,
                            std::size_t every) {
    std::array<std::uint64_t, SLUICE_LIMITS_MAX> times{};
    for (std::size_t slot = 0; slot < times.size(); ++slot)
        times[slot] = sluice_time(&limits.limit[slot], static_cast<std::uint64_t>(now));
    std::uint64_t live = 0;
    for (std::size_t i = 0; i < sets.size(); i += every)
        for (auto& entry : sets[i].entry) {
            const std::uint64_t word = std::atomic_ref{entry}.load(std::memory_order_relaxed);
            const std::size_t slot = word % SLUICE_LIMITS_MAX;
            live += sluice_ahead(word, times[slot], limits.limit[slot].depth) != 0;
        }
    return live * every;
}

std::vector<TopTalker> read_top(const MappedMemory& talkers, const sluice_policy& policy, TopOf of, TopBy by,
                                std::size_t count) {
    std::vector<TopTalker> top;
    const std::size_t first = of == TopOf::kSources ? 0 : SLUICE_TALKER_SETS;
    for (const sluice_talker_set& set : talkers.as<sluice_talker_set>().subspan(first, SLUICE_TALKER_SETS))
        for (const sluice_talker& talker : set.talker) {
            if (talker.packets <= talker.inherited) continue;
            const std::uint64_t samples = talker.packets - talker.inherited;
            const IpAddress address = from_abi(talker.source);
            const auto& masks = of == TopOf::kSources ? policy.source_mask : policy.prefix_mask;
            const sluice_address& mask = masks[address.is_v4() ? SLUICE_IPV4 : SLUICE_IPV6];
            const double deviation = std::sqrt(static_cast<double>(samples));
            top.push_back({.who = IpPrefix{address, length_of(mask, address.is_v4())},
                           .packets = samples * SLUICE_SAMPLE_EVERY,
                           .bytes = talker.bytes * SLUICE_SAMPLE_EVERY,
                           .drops = talker.drops * SLUICE_SAMPLE_EVERY,
                           .error = (talker.inherited + static_cast<std::uint64_t>(2 * deviation)) *
                                    SLUICE_SAMPLE_EVERY});
        }
    if (by == TopBy::kDrops) std::erase_if(top, [](const TopTalker& talker) { return talker.drops == 0; });
    const auto order = [by](const TopTalker& a, const TopTalker& b) {
        const auto rank = [by](const TopTalker& t) {
            const std::uint64_t weight = by == TopBy::kDrops   ? t.drops
                                         : by == TopBy::kBytes ? t.bytes
                                                               : t.packets;
            return std::tuple{weight, t.packets, t.bytes};
        };
        return rank(a) > rank(b);
    };
    const std::size_t kept = std::min(count, top.size());
    std::partial_sort(top.begin(), top.begin() + static_cast<std::ptrdiff_t>(kept), top.end(), order);
    top.resize(kept);
    return top;
}

void decay_top(const MappedMemory& talkers) {
    for (sluice_talker_set& set : talkers.as<sluice_talker_set>())
        for (sluice_talker& talker : set.talker) {
            // What the program adds meanwhile may be lost: the list is an estimate.
            for (auto* value : {&talker.packets, &talker.inherited, &talker.bytes, &talker.drops}) {
                std::atomic_ref shared{*value};
                shared.store(shared.load(std::memory_order_relaxed) / 2, std::memory_order_relaxed);
            }
        }
}

}  // namespace sluice
