// Making a difference small enough to be understood.
#include <algorithm>
#include <functional>
#include <sstream>

#include "bpf/replay.hpp"

namespace sluice::test {
namespace {

using Packets = std::vector<std::uint64_t>;

bool differs(Replay& replay, const model::Scenario& scenario, const Packets& packets) {
    const auto found = replay.run(scenario, packets);
    return found && *found;
}

// Takes halves, quarters, … away for as long as the rest still differs. The last packet stays.
Packets fewest_packets(Replay& replay, const model::Scenario& scenario, Packets packets) {
    for (std::size_t chunk = packets.size() / 2; chunk != 0; chunk /= 2)
        for (std::size_t at = 0; at + chunk < packets.size();) {
            Packets fewer = packets;
            fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(at),
                        fewer.begin() + static_cast<std::ptrdiff_t>(at + chunk));
            if (differs(replay, scenario, fewer))
                packets = std::move(fewer);
            else
                at += chunk;
        }
    return packets;
}

// Tries the change on the scenario, and keeps it if it still differs.
void try_change(Replay& replay, model::Scenario& scenario, const Packets& packets,
                const std::function<void(model::Scenario&)>& change) {
    model::Scenario changed = scenario;
    change(changed);
    if (differs(replay, changed, packets)) scenario = std::move(changed);
}

void simplest_policies(Replay& replay, model::Scenario& scenario, const Packets& packets) {
    const auto attempt = [&](const auto& change) { try_change(replay, scenario, packets, change); };
    attempt([](model::Scenario& s) { s.bans.clear(); });
    for (std::size_t p = 0; p < scenario.policies.size(); ++p) {
        const auto kernel = [&](const auto& change) {
            attempt([&](model::Scenario& s) { change(s.policies[p].kernel); });
        };
        kernel([](KernelPolicy& k) { k.allow.prefixes.clear(); });
        kernel([](KernelPolicy& k) { k.deny.prefixes.clear(); });
        kernel([](KernelPolicy& k) { k.ban.reset(); });
        kernel([](KernelPolicy& k) { k.ports.clear(); });
        kernel([](KernelPolicy& k) { k.port_groups.clear(); });
        attempt([&](model::Scenario& s) { s.policies[p].never_ban.clear(); });
        for (std::size_t i = scenario.policies[p].kernel.limits.size(); i-- != 0;)
            kernel(
                [&](KernelPolicy& k) { k.limits.erase(k.limits.begin() + static_cast<std::ptrdiff_t>(i)); });
    }
}

void print(std::ostream& out, const std::vector<IpPrefix>& prefixes, const char* name) {
    if (prefixes.empty()) return;
    out << "  " << name << ":";
    for (std::size_t i = 0; i < std::min<std::size_t>(prefixes.size(), 16); ++i)
        out << " " << prefixes[i].to_string();
    if (prefixes.size() > 16) out << " … of " << prefixes.size();
    out << "\n";
}

void print(std::ostream& out, const model::Rules& rules) {
    constexpr const char* kCounts[] = {"packets", "bytes", "tcp_syn", "udp", "icmp"};
    const KernelPolicy& kernel = rules.kernel;
    out << "policy: mode " << (kernel.mode == KernelMode::kEnforce ? "enforce" : "shadow or off")
        << ", source_prefix " << +rules.source_prefix.ipv4 << " " << +rules.source_prefix.ipv6 << ", prefix "
        << +kernel.prefix.ipv4 << " " << +kernel.prefix.ipv6 << ", ports";
    for (const std::uint16_t port : kernel.ports) out << " " << port;
    out << (kernel.other_ports ? " others\n" : "\n");
    print(out, kernel.allow.prefixes, "allow");
    print(out, kernel.deny.prefixes, "deny");
    print(out, rules.never_ban, "never banned");
    const auto print_limits = [&](const std::vector<PacketLimit>& limits) {
        for (const PacketLimit& limit : limits)
            out << "  {count: " << kCounts[static_cast<int>(limit.count)]
                << ", per: " << (limit.per == PacketScope::kSource ? "source" : "prefix")
                << ", rate: " << limit.rate.count << " in " << limit.rate.window
                << " ns, burst: " << limit.burst << (limit.mode == LimitMode::kShadow ? ", mode: shadow" : "")
                << "}\n";
    };
    print_limits(kernel.limits);
    for (const PortGroup& group : kernel.port_groups) {
        out << "  group " << group.name << ":";
        for (const std::uint16_t port : group.ports) out << " " << port;
        out << "\n";
        print_limits(group.limits);
    }
    if (kernel.ban)
        out << "  ban: after " << kernel.ban->after << " within " << kernel.ban->within << " ns for "
            << kernel.ban->duration << " ns\n";
}

void print(std::ostream& out, const Bytes& bytes) {
    constexpr std::size_t kMost = 160;
    constexpr char kDigits[] = "0123456789abcdef";
    for (std::size_t i = 0; i < std::min(bytes.size(), kMost); ++i)
        out << kDigits[bytes[i] >> 4] << kDigits[bytes[i] & 15];
    if (bytes.size() > kMost) out << "… of " << bytes.size() << " bytes";
}

}  // namespace

std::string minimal_reproduction(Replay& replay, model::Scenario scenario, const Difference& difference) {
    std::ostringstream out;
    out << "seed " << scenario.seed << ", packet " << difference.packet << ": " << difference.what << "\n";
    Packets packets(difference.packet + 1);
    for (std::uint64_t i = 0; i <= difference.packet; ++i) packets[i] = i;
    if (!differs(replay, scenario, packets)) {
        out << "It did not come again.\n";
        return out.str();
    }
    packets = fewest_packets(replay, scenario, std::move(packets));
    simplest_policies(replay, scenario, packets);
    packets = fewest_packets(replay, scenario, std::move(packets));
    for (const model::Rules& rules : scenario.policies) print(out, rules);
    for (const model::OperatorBan& ban : scenario.bans) out << "ban: " << ban.source.to_string() << "\n";
    constexpr std::size_t kMostShown = 40;
    Nanos at = 0;
    std::uint64_t next = 0;
    for (std::size_t i = 0; i < packets.size(); ++i) {
        for (; next <= packets[i]; ++next) at += scenario.gap_before(next);
        if (packets.size() - i > kMostShown) continue;
        out << "packet " << packets[i] << " at " << at << " ns under policy "
            << scenario.policy_of(packets[i]) << ": ";
        print(out, scenario.frame(packets[i]));
        out << "\n";
    }
    if (const auto found = replay.run(scenario, packets); found && *found) out << (*found)->what << "\n";
    return out.str();
}

}  // namespace sluice::test
