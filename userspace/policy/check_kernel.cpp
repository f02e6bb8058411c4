#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <unordered_map>

#include "policy/check_rules.hpp"
#include "policy/policy_check.hpp"
#include "policy/policy_yaml.hpp"
#include "policy/units.hpp"
#include "policy/words.hpp"

namespace sluice {
namespace {

// What the rate grants in `span`, rounded up; no overflow for counts up to kMaxPacketRateCount.
std::uint64_t grant(const Rate& rate, Nanos span) {
    __extension__ using Wide = unsigned __int128;
    const Wide window = static_cast<Wide>(rate.window);
    return static_cast<std::uint64_t>((static_cast<Wide>(rate.count) * static_cast<Wide>(span) + window - 1) /
                                      window);
}

// What the coarse clock of the kernel needs: it may find all of a tick's traffic at once.
std::uint64_t tick_burst(const PacketLimit& limit) {
    return std::max<std::uint64_t>(1, grant(limit.rate, kKernelTick));
}

std::uint64_t smallest_burst(const PacketLimit& limit) {
    return limit.count == PacketCount::kBytes ? kMinByteBurst : 1;
}

// "192.0.2.1, 192.0.2.2 and 3 more"
std::string first_few(const std::vector<IpPrefix>& prefixes) {
    static constexpr std::size_t kShown = 3;
    std::string text;
    for (std::size_t i = 0; i < std::min(kShown, prefixes.size()); ++i)
        text += (i == 0 ? "" : ", ") + prefixes[i].to_string();
    if (prefixes.size() > kShown) text += " and " + std::to_string(prefixes.size() - kShown) + " more";
    return text;
}

std::vector<IpPrefix> sorted(std::vector<IpPrefix> prefixes) {
    if (!std::ranges::is_sorted(prefixes)) std::ranges::sort(prefixes);
    return prefixes;
}

// Those of `inner` that lie wholly within a prefix of `outer`, in order: one pass over both, because lists may hold a
// million. Prefixes are nested or disjoint, so only the last widest one that begins before can hold another.
std::vector<IpPrefix> covered(const std::vector<IpPrefix>& inner, const std::vector<IpPrefix>& outer) {
    if (inner.empty() || outer.empty()) return {};
    const std::vector<IpPrefix> holders = sorted(outer);
    std::array<const IpPrefix*, 2> widest{};  // by family: the bytes of IPv4 lie amid those of IPv6
    auto next = holders.begin();
    std::vector<IpPrefix> found;
    for (const IpPrefix& prefix : sorted(inner)) {
        for (; next != holders.end() && *next <= prefix; ++next) {
            const IpPrefix*& held = widest[next->is_v4()];
            if (held == nullptr || !held->contains(next->address())) held = &*next;
        }
        const IpPrefix* const holder = widest[prefix.is_v4()];
        if (holder != nullptr && holder->length() <= prefix.length() && holder->contains(prefix.address()))
            found.push_back(prefix);
    }
    return found;
}

bool is_everything(const IpPrefix& prefix) {
    return prefix.length() == 0;
}

}  // namespace

std::uint64_t default_burst(const PacketLimit& limit) {
    if (limit.rate.count == 0 || limit.rate.count > kMaxPacketRateCount || limit.rate.window <= 0) return 1;
    return std::max(smallest_burst(limit), grant(limit.rate, kSecond));
}

void RuleChecker::check_packet_limit(const PacketLimit& limit, const std::string& path) {
    const Rate& rate = limit.rate;
    if (rate.count == 0 || rate.count > kMaxPacketRateCount || rate.window <= 0 ||
        rate.window > kMaxPacketWindow)
        return error(path + ".rate", to_string(rate) + " is out of range",
                     "1 to " + std::to_string(kMaxPacketRateCount) + " in at most " +
                         format_duration(kMaxPacketWindow));
    if (limit.burst == 0 || limit.burst > kMaxBurst)
        return error(path + ".burst", "burst " + std::to_string(limit.burst) + " is out of range",
                     "1…" + std::to_string(kMaxBurst));
    if (limit.burst < smallest_burst(limit))
        error(path + ".burst", "burst " + std::to_string(limit.burst) + " is less than one full frame",
              std::to_string(smallest_burst(limit)) + " or more");
    else if (limit.burst < tick_burst(limit))
        warning(path + ".burst",
                "burst " + std::to_string(limit.burst) + " is less than " + to_string(rate) +
                    " grants in a tick of the kernel's coarse clock (4 ms): every packet will read the "
                    "exact, dearer clock",
                std::to_string(tick_burst(limit)) + " or more");
}

void RuleChecker::check_lists(const Policy& policy) {
    const KernelPolicy& kernel = policy.kernel;
    for (const auto& [path, list] :
         {std::pair{"$.kernel.allow", &kernel.allow}, {"$.kernel.deny", &kernel.deny}})
        if (list->prefixes.size() > kMaxPrefixes)
            return error(path,
                         std::to_string(list->prefixes.size()) + " prefixes, those of its files included",
                         "at most " + std::to_string(kMaxPrefixes));
    if (std::ranges::any_of(kernel.deny.prefixes, is_everything))
        warning("$.kernel.deny", "denies every address of a family: only the allow list gets through");
    if (std::ranges::any_of(kernel.allow.prefixes, is_everything))
        warning("$.kernel.allow", "allows every address of a family: none is limited, denied or banned");
    if (const auto idle = covered(kernel.deny.prefixes, kernel.allow.prefixes); !idle.empty())
        warning("$.kernel.deny", first_few(idle) + ": also allowed, and allow wins");
    if (const auto cut = covered(policy.trusted_proxies, kernel.deny.prefixes); !cut.empty())
        warning("$.kernel.deny", "denies trusted proxies, and with them everyone behind: " + first_few(cut));
}

void RuleChecker::check_packet_limits(const std::vector<PacketLimit>& limits, const std::string& path,
                                      const Policy& policy) {
    check_names(limits, path, kMaxKernelLimits);
    std::size_t per_prefix = 0;
    for (std::size_t i = 0; i < limits.size(); ++i) {
        check_packet_limit(limits[i], path + "[" + std::to_string(i) + "]");
        per_prefix += limits[i].per == PacketScope::kPrefix ? 1 : 0;
    }
    const std::size_t per_source = limits.size() - per_prefix;
    if (std::max(per_source, per_prefix) > kMaxKernelLimitsPerScope)
        error(
            path,
            std::to_string(per_source) + " limits per source, " + std::to_string(per_prefix) + " per prefix",
            "at most " + std::to_string(kMaxKernelLimitsPerScope) + " of each");
    const SourcePrefix& prefix = policy.kernel.prefix;
    if (per_prefix > 0 &&
        (prefix.ipv4 > policy.source_prefix.ipv4 || prefix.ipv6 > policy.source_prefix.ipv6))
        error("$.kernel.prefix", "is longer than source_prefix: a prefix must hold whole sources",
              "at most /" + std::to_string(policy.source_prefix.ipv4) + " and /" +
                  std::to_string(policy.source_prefix.ipv6));
}

void RuleChecker::check_newcomers(const Rate& rate) {
    if (rate.count == 0 || rate.count > kMaxPacketRateCount || rate.window <= 0 ||
        rate.window > kMaxPacketWindow)
        error("$.kernel.newcomers", to_string(rate) + " is out of range",
              "1 to " + std::to_string(kMaxPacketRateCount) + " in at most " +
                  format_duration(kMaxPacketWindow));
}

void RuleChecker::check_ports(const std::vector<std::uint16_t>& ports, const std::string& path) {
    if (ports.size() > kMaxPorts)
        error(path, std::to_string(ports.size()) + " ports", "at most " + std::to_string(kMaxPorts));
}

void RuleChecker::check_kernel(const Policy& policy) {
    const KernelPolicy& kernel = policy.kernel;
    check_packet_limits(kernel.limits, "$.kernel.limits", policy);
    check_ports(kernel.ports, "$.kernel.ports");
    bool limits = !kernel.limits.empty();
    if (kernel.port_groups.size() > kMaxPortGroups)
        error("$.kernel.ports", std::to_string(kernel.port_groups.size()) + " groups",
              "at most " + std::to_string(kMaxPortGroups));
    std::set<std::string_view> names;
    for (const PortGroup& group : kernel.port_groups) {
        const std::string path = "$.kernel.ports[" + std::to_string(group.item) + "]";
        if (!group.ports.empty()) check_name(group.name, path + ".name");  // else its lack of ports was told
        if (!names.insert(group.name).second)
            error(path, "two groups have the name " + in_quotes(group.name), "each name once");
        check_ports(group.ports, path + ".ports");
        check_packet_limits(group.limits, path + ".limits", policy);
        limits |= !group.limits.empty();
    }
    if (kernel.newcomers) check_newcomers(*kernel.newcomers);
    if (kernel.ban && !limits) warning("$.kernel.ban", "never happens: there are no kernel limits to exceed");
    check_lists(policy);
}

}  // namespace sluice
