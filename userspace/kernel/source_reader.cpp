#include "kernel/source_reader.hpp"

#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <tuple>

#include "kernel/abi_convert.hpp"
#include "kernel/bpf_arithmetic.hpp"

namespace sluice {
namespace {

// How many packets or bytes fit before the burst is used up.
std::uint64_t available(const sluice_limit& limit, std::uint64_t ahead) {
    return ahead >= limit.depth ? 0 : (limit.depth - ahead) / sluice_cost(&limit, 1);
}

}  // namespace

Result<std::vector<LimitState>> read_limits(const SharedMaps& maps, const sluice_control& control,
                                            const KernelPlan& plan, const IpAddress& address, Nanos now) {
    const sluice_policy& policy = plan.policy;
    const std::size_t family = address.is_v4() ? SLUICE_IPV4 : SLUICE_IPV6;
    std::vector<LimitState> states;
    for (std::size_t scope = 0; scope < 2; ++scope) {
        const bool by_source = scope == 0;
        const sluice_address key =
            masked(to_abi(address), by_source ? policy.source_mask[family] : policy.prefix_mask[family]);
        const std::uint64_t hash = sluice_hash_source(&key, control.hash_key);
        const std::uint32_t index = static_cast<std::uint32_t>(hash) &
                                    (by_source ? control.source_set_mask : control.prefix_set_mask);
        sluice_set set{};
        const int error = bpf_map_lookup_elem((by_source ? maps.sources : maps.prefixes).get(), &index, &set);
        if (error != 0) return system_error("read map", by_source ? "sources" : "prefixes", -error);

        const sluice_limit_list& list = policy.limits[scope];
        for (std::uint32_t i = 0; i < list.used; ++i) {
            const std::uint8_t slot = list.order[i];
            const sluice_limit& limit = list.limit[slot];
            const std::uint64_t tag = sluice_tag(hash, limit.salt, slot);
            const auto* entry =
                std::ranges::find_if(set.entry, [tag](auto word) { return (word & SLUICE_TAG_MASK) == tag; });
            const std::uint64_t time = sluice_time(&limit, static_cast<std::uint64_t>(now));
            const std::uint64_t ahead =
                entry == std::end(set.entry) ? 0 : sluice_ahead(*entry, time, limit.depth);
            LimitState state;
            state.name = plan.limit_names[scope][slot];
            const auto mask_bits = [](std::uint64_t word) {
                return static_cast<unsigned>(__builtin_popcountll(word));
            };
            const sluice_address& mask = by_source ? policy.source_mask[family] : policy.prefix_mask[family];
            const unsigned length = mask_bits(mask.hi) + mask_bits(mask.lo) - (address.is_v4() ? 96 : 0);
            state.key = IpPrefix{address, length}.to_string();
            state.burst = available(limit, 0);
            state.available = available(limit, ahead);
            state.shadow = limit.shadow != 0;
            states.push_back(std::move(state));
        }
    }
    return states;
}

std::uint64_t count_entries(const MappedMemory& table, const sluice_limit_list& limits, Nanos now,
                            std::size_t every) {
    std::array<std::uint64_t, SLUICE_LIMITS_MAX> times{};
    for (std::size_t slot = 0; slot < times.size(); ++slot)
        times[slot] = sluice_time(&limits.limit[slot], static_cast<std::uint64_t>(now));
    const auto sets = table.as<sluice_set>();
    std::uint64_t live = 0;
    for (std::size_t i = 0; i < sets.size(); i += every)
        for (auto& entry : sets[i].entry) {
            const std::uint64_t word = std::atomic_ref{entry}.load(std::memory_order_relaxed);
            const std::size_t slot = word % SLUICE_LIMITS_MAX;
            live += sluice_ahead(word, times[slot], limits.limit[slot].depth) != 0;
        }
    return live * every;
}

std::vector<TopSource> read_top(const MappedMemory& talkers, TopBy by, std::size_t count) {
    std::vector<TopSource> top;
    for (const sluice_talker_set& set : talkers.as<sluice_talker_set>())
        for (const sluice_talker& talker : set.talker)
            if (talker.packets != 0)
                top.push_back({from_abi(talker.source), talker.packets * SLUICE_SAMPLE_EVERY,
                               talker.drops * SLUICE_SAMPLE_EVERY});
    if (by == TopBy::kDrops) std::erase_if(top, [](const TopSource& source) { return source.drops == 0; });
    const auto order = [by](const TopSource& a, const TopSource& b) {
        const auto rank = [by](const TopSource& s) {
            return by == TopBy::kDrops ? std::tuple{s.drops, s.packets} : std::tuple{s.packets, s.drops};
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
            for (auto* value : {&talker.packets, &talker.drops}) {
                std::atomic_ref shared{*value};
                shared.store(shared.load(std::memory_order_relaxed) / 2, std::memory_order_relaxed);
            }
        }
}

}  // namespace sluice
