#include "model/traffic.hpp"

#include <algorithm>
#include <array>

namespace sluice::model {
namespace {

// Addresses close to one another, so that prefixes hold several of them.
IpAddress some_address(Random& random) {
    if (random.one_in(3)) {
        std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x0d, 0xb8};
        bytes[5] = static_cast<std::uint8_t>(random.below(2));
        bytes[7] = static_cast<std::uint8_t>(random.below(3));
        bytes[15] = static_cast<std::uint8_t>(random.below(4));
        return IpAddress::from_v6(bytes);
    }
    return IpAddress::from_v4({static_cast<std::uint8_t>(random.one_in(2) ? 198 : 10), 51,
                               static_cast<std::uint8_t>(random.below(4)),
                               static_cast<std::uint8_t>(random.below(64))});
}

IpPrefix some_prefix(Random& random, const IpAddress& address) {
    const unsigned full = address.is_v4() ? 32 : 128;
    if (random.one_in(2)) return {address, full};
    return {address, random.one_in(30) ? 0 : full - static_cast<unsigned>(random.below(full / 2))};
}

// A few near the sources; sometimes so many far from them that the search tree has two or three levels.
std::vector<IpPrefix> some_prefixes(Random& random, const std::vector<IpAddress>& sources) {
    std::vector<IpPrefix> prefixes;
    for (std::uint64_t n = random.one_in(2) ? 0 : random.below(5); n != 0; --n)
        prefixes.push_back(some_prefix(random, random.one_in(2) ? random.of(sources) : some_address(random)));
    const std::uint64_t far = random.one_in(6) ? random.one_in(10) ? 60'000 : 1'500 : 0;
    const bool v4 = random.one_in(2);
    for (std::uint64_t i = 0; i < far; ++i) {
        const std::uint64_t bits = random.next();
        const auto byte = [&](int n) { return static_cast<std::uint8_t>(bits >> 8 * n); };
        if (v4)
            prefixes.emplace_back(
                IpAddress::from_v4({static_cast<std::uint8_t>(10 + byte(0) % 2), 51, byte(1), byte(2)}),
                32 - byte(3) % 3);
        else
            prefixes.emplace_back(
                IpAddress::from_v6({0x20, 0x01, 0x0d, 0xb8, 1, byte(0), byte(1), byte(2), byte(3)}),
                64 + byte(4) % 65);
    }
    std::ranges::sort(prefixes);
    prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
    return prefixes;
}

PacketLimit some_limit(Random& random, Nanos shortest_burst) {
    constexpr Rate kRates[] = {{1, kHour},           {1, kDay},        {10, kSecond},   {100, kSecond},
                               {3, 7 * kSecond},     {7, kMinute},     {1000, kSecond}, {99'991, kSecond},
                               {1'000'003, kSecond}, {5, kMillisecond}};
    constexpr PacketCount kCounts[] = {PacketCount::kPackets, PacketCount::kBytes, PacketCount::kTcpSyn,
                                       PacketCount::kUdp, PacketCount::kIcmp};
    PacketLimit limit;
    limit.name = "limit";
    limit.count = random.of(kCounts);
    limit.per = random.one_in(3) ? PacketScope::kPrefix : PacketScope::kSource;
    limit.mode = random.one_in(6) ? LimitMode::kShadow : LimitMode::kEnforce;
    limit.rate = random.of(kRates);
    limit.burst = 1 + random.below(random.one_in(3) ? 400 : 12);
    if (limit.count == PacketCount::kBytes) {
        limit.rate.count *= random.one_in(2) ? 1 : 1499;
        limit.burst = 1514 + random.below(100'000);
    }
    const auto in_time = static_cast<std::uint64_t>(shortest_burst) * limit.rate.count /
                         static_cast<std::uint64_t>(limit.rate.window);
    limit.burst = std::max(limit.burst, in_time + 1);
    // The kernel takes bursts of up to 200 days.
    limit.burst =
        std::min(limit.burst, static_cast<std::uint64_t>(200 * kDay / limit.rate.window) * limit.rate.count);
    if (limit.count == PacketCount::kBytes && limit.burst < 1514) {
        limit.rate = {1000, kSecond};
        limit.burst = 4000;
    }
    return limit;
}

Rules some_rules(Random& random, const Scenario& scenario, std::uint64_t most_limits, Nanos shortest_burst) {
    constexpr SourcePrefix kSources[] = {{32, 64}, {32, 64}, {32, 128}, {28, 56}, {24, 48}, {1, 1}};
    constexpr SourcePrefix kGroups[] = {{24, 48}, {24, 48}, {16, 32}, {0, 0}, {32, 128}, {30, 57}};
    Rules rules;
    KernelPolicy& kernel = rules.kernel;
    kernel.mode = random.one_in(8) ? KernelMode::kShadow : KernelMode::kEnforce;
    if (random.one_in(40)) kernel.mode = KernelMode::kOff;
    if (random.one_in(2)) kernel.ports.assign(scenario.ports.begin(), scenario.ports.begin() + 2);
    std::ranges::sort(kernel.ports);
    rules.source_prefix = random.of(kSources);
    kernel.prefix = random.of(kGroups);
    kernel.allow.prefixes = some_prefixes(random, scenario.sources);
    kernel.deny.prefixes = some_prefixes(random, scenario.sources);
    for (std::uint64_t n = random.below(most_limits + 1); n != 0; --n)
        kernel.limits.push_back(some_limit(random, shortest_burst));
    // Ports 2 and 3 are free: `ports` names the first two.
    for (std::size_t i = 2; i < 4 && random.one_in(3); ++i) {
        PortGroup& group = kernel.port_groups.emplace_back();
        group.name = i == 2 ? "two" : "three";
        group.ports = {scenario.ports[i]};
        for (std::uint64_t n = random.below(most_limits + 1); n != 0; --n)
            group.limits.push_back(some_limit(random, shortest_burst));
    }
    kernel.other_ports = random.one_in(8);
    if (random.one_in(2)) {
        constexpr Nanos kTimes[] = {kMillisecond, 7 * kMillisecond, kSecond, kMinute, kHour};
        kernel.ban = BanRule{
            .after = 1 + random.below(20), .within = random.of(kTimes), .duration = random.of(kTimes)};
        if (random.one_in(2)) rules.never_ban.push_back(some_prefix(random, random.of(scenario.sources)));
    }
    return rules;
}

}  // namespace

std::uint64_t Random::next() {
    std::uint64_t x = state_ += 0x9e3779b97f4a7c15ULL;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

Scenario make_scenario(std::uint64_t seed, Nanos shortest_burst) {
    Random random{seed};
    Scenario scenario;
    scenario.seed = seed;
    // Many sources under few limits, or few under many.
    const bool few = random.one_in(2);
    const std::uint64_t sources = few ? 1 + random.below(6) : 20 + random.below(80);
    for (std::uint64_t i = 0; i < sources; ++i) scenario.sources.push_back(some_address(random));
    for (int i = 0; i < 4; ++i) scenario.ports.push_back(static_cast<std::uint16_t>(random.below(0x10000)));
    if (random.one_in(4)) scenario.ports[0] = random.one_in(2) ? 0 : 65535;
    if (scenario.ports[2] == scenario.ports[3]) ++scenario.ports[3];

    // A policy that follows keeps some of what was before: those limits go on, the new ones start afresh.
    const std::uint64_t most_limits = few ? 7 : 3;
    scenario.policies.push_back(some_rules(random, scenario, most_limits, shortest_burst));
    if (random.one_in(2)) {
        Rules next = some_rules(random, scenario, 1, shortest_burst);
        const Rules& first = scenario.policies.front();
        next.source_prefix = first.source_prefix;
        next.kernel.prefix = first.kernel.prefix;
        for (const PortGroup& group : first.kernel.port_groups)
            if (!random.one_in(3)) {
                std::erase_if(next.kernel.port_groups,
                              [&](const PortGroup& g) { return g.name == group.name; });
                next.kernel.port_groups.insert(next.kernel.port_groups.begin(), group);
            }
        for (const PacketLimit& limit : first.kernel.limits)
            if (!random.one_in(3) && next.kernel.limits.size() < 6)
                next.kernel.limits.insert(
                    next.kernel.limits.begin() +
                        static_cast<std::ptrdiff_t>(random.below(next.kernel.limits.size() + 1)),
                    limit);
        scenario.policies.push_back(next);
    }
    for (std::uint64_t n = random.below(4); n != 0; --n) {
        const IpAddress& source = random.of(scenario.sources);
        const unsigned length = source.is_v4() ? random.of({32U, 24U}) : random.of({64U, 128U});
        scenario.bans.push_back({IpPrefix{source, length}, random.of({kMinute, kHour})});
    }
    return scenario;
}

Nanos Scenario::gap_before(std::uint64_t i) const {
    Random random{seed + (i + 1) * 0xa0761d6478bd642fULL};
    if (!random.one_in(4)) return 0;
    if (!random.one_in(50)) return static_cast<Nanos>(random.below(100 * kMicrosecond));
    if (!random.one_in(20)) return static_cast<Nanos>(random.below(50 * kMillisecond));
    return static_cast<Nanos>(random.below(random.one_in(10) ? kMinute : 3 * kSecond));
}

}  // namespace sluice::model
