#include "kernel/kernel_plan.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <optional>
#include <span>

#include "kernel/abi_convert.hpp"
#include "kernel/bpf_arithmetic.hpp"
#include "kernel/prefix_blocks.hpp"

namespace sluice {
namespace {

__extension__ using Wide = unsigned __int128;

// The first group's part must not shrink when others come, so theirs stand behind it from the start.
constexpr std::uint32_t kFirstGroupParts = 16;
constexpr std::uint32_t kTableParts = kFirstGroupParts + SLUICE_GROUPS - 1;

constexpr Nanos kLongestBurst = 200 * kDay;
// A frame without VLAN tags at the usual MTU. A smaller burst of bytes would refuse such frames for ever.
constexpr std::uint64_t kFrameBytes = 1514;
// Half of an arrival time's 40 bits, less room for comparisons.
constexpr std::uint64_t kMaxBurst = 1ULL << 37;

constexpr std::uint64_t kMostDrops = SLUICE_DROPS_MASK - 1;
constexpr std::uint64_t kDropSpan = 1ULL << (8 + SLUICE_DROPS_BITS);  // units: 256ths of the span

struct CountKind {
    PacketCount count;
    std::uint8_t bit;
    std::uint8_t reason;
    int rank;  // narrow to wide
};
constexpr std::array<CountKind, 5> kCounts = {{
    {PacketCount::kTcpSyn, SLUICE_COUNT_TCP_SYN, SLUICE_LIMIT_TCP_SYN, 0},
    {PacketCount::kUdp, SLUICE_COUNT_UDP, SLUICE_LIMIT_UDP, 1},
    {PacketCount::kIcmp, SLUICE_COUNT_ICMP, SLUICE_LIMIT_ICMP, 2},
    {PacketCount::kBytes, SLUICE_COUNT_BYTES, SLUICE_LIMIT_BYTES, 3},
    {PacketCount::kPackets, SLUICE_COUNT_PACKETS, SLUICE_LIMIT_PACKETS, 4},
}};

const CountKind& kind_of(PacketCount count) {
    return *std::ranges::find(kCounts, count, &CountKind::count);
}

std::size_t scope_of(const PacketLimit& limit) {
    return limit.per == PacketScope::kPrefix ? 1 : 0;
}

// SplitMix64: spreads what makes a limit what it is over the 64 bits of its salt.
std::uint64_t stir(std::uint64_t state, std::uint64_t value) {
    std::uint64_t x = state + value + 0x9e3779b97f4a7c15ULL;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

std::uint64_t salt_of(std::initializer_list<std::uint64_t> identity) {
    std::uint64_t salt = 0;
    for (const std::uint64_t value : identity) salt = stir(salt, value);
    return salt & ~std::uint64_t{SLUICE_LIMITS_MAX - 1};
}

std::uint8_t scale_of(std::uint64_t depth) {
    const auto bits = static_cast<int>(std::bit_width(depth));
    return static_cast<std::uint8_t>(bits > 16 ? bits - 16 : 0);
}

Nanos burst_time(const PacketLimit& limit) {
    return static_cast<Nanos>(
        std::min(Wide{limit.burst} * static_cast<std::uint64_t>(limit.rate.window) / limit.rate.count,
                 Wide{std::numeric_limits<Nanos>::max()}));
}

// `units` in `time`, as sluice_time() wants it: as many bits as leave its products within 64, and rounded down,
// so never faster than the policy and slower by less than one part in 2^31.
void set_pace(sluice_limit& image, Wide units, Nanos time) {
    const auto scaled = [&](unsigned shift) {
        return (units << (27 + shift)) / static_cast<std::uint64_t>(time);
    };
    unsigned shift = 0;
    while (shift < 60 && scaled(shift + 1) < Wide{1} << (shift < 24 ? 37 : 32)) ++shift;
    image.shift = static_cast<std::uint8_t>(shift);
    image.multiplier = static_cast<std::uint64_t>(scaled(shift));
}

sluice_limit limit_image(const PacketLimit& limit, std::uint64_t salt) {
    sluice_limit image{};
    // Fine enough that a packet may come a 256th of its interval early or late; a byte's time is short anyway.
    const bool fine = limit.count != PacketCount::kBytes && limit.burst <= 1U << 20 &&
                      limit.rate.count <= static_cast<std::uint64_t>(limit.rate.window);
    image.unit = fine ? 256 : 1;
    set_pace(image, Wide{limit.rate.count} * image.unit, limit.rate.window);
    image.salt = salt;
    image.depth = sluice_cost(&image, limit.burst);
    image.count = kind_of(limit.count).bit;
    image.shadow = limit.mode == LimitMode::kShadow;
    image.scale = scale_of(image.depth);
    image.reason = limit.per == PacketScope::kPrefix ? static_cast<std::uint8_t>(SLUICE_LIMIT_PREFIX)
                                                     : kind_of(limit.count).reason;
    return image;
}

// The slot in which `id` stood in the generation before, else the first free one. `slots` and `previous` hold ids by
// slot, 0 for a free one; `wanted` are all that need a slot.
std::size_t choose_slot(std::span<const __u64> slots, std::span<const __u64> previous,
                        const std::vector<std::uint64_t>& wanted, std::uint64_t id) {
    std::optional<std::size_t> spare;
    for (std::size_t slot = 0; slot < slots.size(); ++slot) {
        if (slots[slot] != 0) continue;
        const std::uint64_t before = previous[slot];
        if (before == id) return slot;
        const bool reserved = before != 0 && std::ranges::find(wanted, before) != wanted.end();
        if (!spare && !reserved) spare = slot;
    }
    return spare.value_or(0);  // check_kernel_policy() bounds their number, so there is one
}

std::array<__u64, SLUICE_LIMITS_USER> salts_of(const sluice_limit_list& list) {
    std::array<__u64, SLUICE_LIMITS_USER> salts{};
    for (std::size_t slot = 0; slot < salts.size(); ++slot) salts[slot] = list.limit[slot].salt;
    return salts;
}

// The limits of one group of ports.
void plan_limits(const std::vector<PacketLimit>& limits_of_group, const KernelPolicy& policy,
                 const KernelPlanContext& context, std::size_t group, KernelPlan& plan) {
    sluice_policy& image = plan.policy;
    const std::string& name = plan.group_names[group];
    for (std::size_t scope = 0; scope < 2; ++scope) {
        const SourcePrefix& grouping = scope == 0 ? context.source_prefix : policy.prefix;
        std::vector<const PacketLimit*> limits;
        for (const PacketLimit& limit : limits_of_group)
            if (scope_of(limit) == scope) limits.push_back(&limit);
        std::ranges::stable_sort(limits, {}, [](const PacketLimit* l) { return kind_of(l->count).rank; });

        std::vector<std::uint64_t> salts;
        for (const PacketLimit* limit : limits) {
            std::uint64_t ordinal = 0;  // tells limits apart that differ in nothing but their name
            const auto salt = [&] {
                return salt_of({image.group_id[group], scope, kind_of(limit->count).bit, limit->rate.count,
                                static_cast<std::uint64_t>(limit->rate.window), limit->burst, grouping.ipv4,
                                grouping.ipv6, ordinal});
            };
            while (std::ranges::find(salts, salt()) != salts.end()) ++ordinal;
            salts.push_back(salt());
        }
        sluice_limit_list& list = image.limits[group][scope];
        const auto previous = salts_of(context.previous != nullptr ? context.previous->limits[group][scope]
                                                                   : sluice_limit_list{});
        for (std::size_t i = 0; i < limits.size(); ++i) {
            const std::size_t slot = choose_slot(salts_of(list), previous, salts, salts[i]);
            list.limit[slot] = limit_image(*limits[i], salts[i]);
            list.order[list.used++] = static_cast<std::uint8_t>(slot);
            plan.limit_names[group][scope][slot] = (name.empty() ? "" : name + "/") + limits[i]->name;
            if (burst_time(*limits[i]) < 2 * context.coarse_tick) image.flags |= SLUICE_POLICY_EXACT_CLOCK;
        }
    }
}

std::uint64_t id_of(const PortGroup& group) {
    std::uint64_t id = 0;
    for (const char letter : group.name) id = stir(id, static_cast<unsigned char>(letter));
    return id | 1;
}

// Which group judges which port, and the limits of each.
void plan_groups(const KernelPolicy& policy, const KernelPlanContext& context, KernelPlan& plan) {
    sluice_policy& image = plan.policy;
    const auto judge = [&image](const std::vector<std::uint16_t>& ports, std::size_t group) {
        for (const std::uint16_t port : ports) image.port_group[port] = static_cast<std::uint8_t>(group + 1);
    };
    plan_limits(policy.limits, policy, context, 0, plan);
    if (!policy.judges_every_port() || !policy.port_groups.empty()) image.flags |= SLUICE_POLICY_PORTS;
    if (policy.judges_every_port()) std::ranges::fill(image.port_group, std::uint8_t{1});
    if (policy.other_ports) image.flags |= SLUICE_POLICY_OTHERS;
    judge(policy.ports, 0);

    std::vector<std::uint64_t> ids;
    for (const PortGroup& group : policy.port_groups) ids.push_back(id_of(group));
    const sluice_policy none{};
    const sluice_policy& previous = context.previous != nullptr ? *context.previous : none;
    for (std::size_t i = 0; i < policy.port_groups.size(); ++i) {
        const PortGroup& group = policy.port_groups[i];
        const std::size_t slot =
            1 + choose_slot(std::span<const __u64>{image.group_id}.subspan(1),
                            std::span<const __u64>{previous.group_id}.subspan(1), ids, ids[i]);
        image.group_id[slot] = ids[i];
        plan.group_names[slot] = group.name;
        judge(group.ports, slot);
        plan_limits(group.limits, policy, context, slot, plan);
    }
}

std::uint32_t newcomers_in_a_tick(const std::optional<Rate>& rate, Nanos tick) {
    constexpr auto kAll = std::numeric_limits<std::uint32_t>::max();
    if (!rate) return kAll;
    const Wide granted =
        Wide{rate->count} * static_cast<std::uint64_t>(tick) / static_cast<std::uint64_t>(rate->window);
    return static_cast<std::uint32_t>(std::clamp(granted, Wide{1}, Wide{kAll}));
}

void plan_ban(const KernelPolicy& policy, const KernelPlanContext& context, sluice_policy& image) {
    if (!policy.ban) return;
    const auto within = static_cast<std::uint64_t>(policy.ban->within);
    sluice_limit counter{};
    counter.salt = salt_of({0xba, within, context.source_prefix.ipv4, context.source_prefix.ipv6});
    set_pace(counter, kDropSpan, policy.ban->within);
    counter.depth = kDropSpan << SLUICE_TAG_BITS;
    counter.scale = scale_of(counter.depth);
    for (auto& group : image.limits) group[0].limit[SLUICE_BAN_SLOT] = counter;
    image.ban_after = static_cast<std::uint32_t>(policy.ban->after);
    image.ban_for_ns = static_cast<std::uint64_t>(policy.ban->duration);
}

// `problem` takes a path and what is wrong there.
void check_limit(const PacketLimit& limit, const std::string& path,
                 const std::function<void(std::string, std::string)>& problem) {
    if (limit.rate.count == 0 || limit.rate.window <= 0)
        return problem(path + ".rate", "must be at least 1 in a positive time");
    if (limit.rate.count / 256 > static_cast<std::uint64_t>(limit.rate.window))
        problem(path + ".rate", "is above 256 a nanosecond, the finest the kernel can tell");
    if (limit.burst == 0)
        problem(path + ".burst", "must be at least 1");
    else if (limit.count == PacketCount::kBytes && limit.burst < kFrameBytes)
        problem(path + ".burst", "is " + std::to_string(limit.burst) + " bytes: less than one frame of " +
                                     std::to_string(kFrameBytes) + " would never let such a frame pass");
    else if (limit.burst > kMaxBurst)
        problem(path + ".burst", "must be at most " + std::to_string(kMaxBurst));
    else if (burst_time(limit) > kLongestBurst)
        problem(path + ".burst", "takes more than 200 days to refill at this rate");
}

}  // namespace

sluice_region region_of(std::uint32_t entries, std::size_t group) {
    const std::uint32_t part = entries / kTableParts;
    if (group == 0) return {0, kFirstGroupParts * part - 1};
    return {(kFirstGroupParts + static_cast<std::uint32_t>(group) - 1) * part, part - 1};
}

std::uint32_t table_entries(std::uint32_t sets) {
    return std::bit_ceil(std::max(sets, kFirstGroupParts)) / kFirstGroupParts * kTableParts;
}

std::vector<KernelPlanProblem> check_kernel_policy(const KernelPolicy& policy,
                                                   const SourcePrefix& source_prefix) {
    std::vector<KernelPlanProblem> problems;
    const auto problem = [&](std::string path, std::string message) {
        problems.push_back({std::move(path), std::move(message)});
    };
    const auto check_limits = [&](const std::vector<PacketLimit>& limits, const std::string& list) {
        std::array<std::size_t, 2> used{};
        for (std::size_t i = 0; i < limits.size(); ++i) {
            const PacketLimit& limit = limits[i];
            const std::string path = list + "[" + std::to_string(i) + "]";
            if (++used[scope_of(limit)] == SLUICE_LIMITS_USER + 1)
                problem(path, "is one too many: the kernel holds " + std::to_string(SLUICE_LIMITS_USER) +
                                  " limits per " + (scope_of(limit) == 0 ? "source" : "prefix"));
            check_limit(limit, path, problem);
        }
    };
    check_limits(policy.limits, "kernel.limits");
    for (const PortGroup& group : policy.port_groups)
        check_limits(group.limits, "kernel.ports[" + group.name + "].limits");
    if (policy.port_groups.size() >= SLUICE_GROUPS)
        problem("kernel.ports", "holds more than " + std::to_string(SLUICE_GROUPS - 1) + " groups");
    if (policy.newcomers && (policy.newcomers->count == 0 || policy.newcomers->window <= 0))
        problem("kernel.newcomers", "must be at least 1 in a positive time");
    if (policy.ban) {
        if (policy.ban->after == 0 || policy.ban->after > kMostDrops)
            problem("kernel.ban.after", "must be 1 to " + std::to_string(kMostDrops));
        if (policy.ban->within < kMillisecond || policy.ban->within > kLongestBurst)
            problem("kernel.ban.within", "must be one millisecond to 200 days");
        if (policy.ban->duration <= 0) problem("kernel.ban.for", "must be above zero");
    }
    if (source_prefix.ipv4 < 1 || source_prefix.ipv4 > 32) problem("source_prefix.ipv4", "must be 1 to 32");
    if (source_prefix.ipv6 < 1 || source_prefix.ipv6 > 128) problem("source_prefix.ipv6", "must be 1 to 128");
    if (policy.prefix.ipv4 > 32) problem("kernel.prefix.ipv4", "must be 0 to 32");
    if (policy.prefix.ipv6 > 128) problem("kernel.prefix.ipv6", "must be 0 to 128");
    for (const auto& [path, list] : {std::pair{"kernel.allow", &policy.allow}, {"kernel.deny", &policy.deny}})
        if (2 * list->prefixes.size() + 1 > kMaxBoundaries)
            problem(path, "holds more than " + std::to_string(kMaxBoundaries / 2) + " prefixes");
    return problems;
}

KernelPlan make_kernel_plan(const KernelPolicy& policy, const KernelPlanContext& context) {
    KernelPlan plan;
    sluice_policy& image = plan.policy;

    image.generation = context.generation;
    if (policy.mode != KernelMode::kOff) image.flags |= SLUICE_POLICY_JUDGE;
    if (policy.mode == KernelMode::kShadow) image.flags |= SLUICE_POLICY_SHADOW;
    if (policy.syn_cookies != SynCookies::kOff) image.flags |= SLUICE_POLICY_COOKIES;
    image.newcomers = newcomers_in_a_tick(policy.newcomers, context.coarse_tick);
    for (const bool ipv4 : {true, false}) {
        const std::size_t family = ipv4 ? SLUICE_IPV4 : SLUICE_IPV6;
        image.source_length[family] = ipv4 ? context.source_prefix.ipv4 : context.source_prefix.ipv6;
        image.source_mask[family] = mask_of(ipv4, image.source_length[family]);
        image.prefix_mask[family] = mask_of(ipv4, ipv4 ? policy.prefix.ipv4 : policy.prefix.ipv6);
    }
    plan_groups(policy, context, plan);
    plan_ban(policy, context, image);

    // A ban falls on a whole source, so what must not be banned is every source that holds such an address.
    for (const IpPrefix& prefix : context.never_ban) {
        const IpPrefix source = context.source_prefix.of(prefix.address());
        plan.never_ban.push_back(prefix.length() > source.length() ? source : prefix);
    }
    for (const bool ipv4 : {true, false}) {
        const std::size_t family = ipv4 ? SLUICE_IPV4 : SLUICE_IPV6;
        const auto place = [&](const std::vector<IpPrefix>& prefixes) {
            return append_prefix_set(prefix_boundaries(prefixes, ipv4), plan.blocks);
        };
        image.allow[family] = place(policy.allow.prefixes);
        image.deny[family] = place(policy.deny.prefixes);
        image.never_ban[family] = place(plan.never_ban);
    }
    return plan;
}

}  // namespace sluice
