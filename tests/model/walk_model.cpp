#include "model/walk_model.hpp"

#include <algorithm>
#include <array>

namespace sluice::model {
namespace {

__extension__ using Wide = unsigned __int128;

struct CountWords {
    PacketCount count;
    std::string_view reason;
};
// Narrow to wide: what a narrow limit refuses is not charged to the wider ones.
constexpr std::array<CountWords, 5> kOrder = {{{PacketCount::kTcpSyn, "limit_tcp_syn"},
                                               {PacketCount::kUdp, "limit_udp"},
                                               {PacketCount::kIcmp, "limit_icmp"},
                                               {PacketCount::kBytes, "limit_bytes"},
                                               {PacketCount::kPackets, "limit_packets"}}};

bool counts(PacketCount count, const Packet& packet) {
    switch (count) {
        case PacketCount::kTcpSyn:
            return packet.tcp_syn;
        case PacketCount::kUdp:
            return packet.protocol == 17;
        case PacketCount::kIcmp:
            return packet.icmp;
        case PacketCount::kBytes:
        case PacketCount::kPackets:
            return true;
    }
    return false;
}

bool overlap(const IpPrefix& a, const IpPrefix& b) {
    return a.contains(b.address()) || b.contains(a.address());
}

}  // namespace

// As many bits of a fraction as the program's 64-bit arithmetic has room for.
Pace::Pace(std::uint64_t units, Nanos in) {
    const auto exact = [&](unsigned bits) {
        return (Wide{units} << (27 + bits)) / static_cast<std::uint64_t>(in);
    };
    while (shift < 60 && exact(shift + 1) >> (shift < 24 ? 37 : 32) == 0) ++shift;
    multiplier = static_cast<std::uint64_t>(exact(shift));
}

std::uint64_t Pace::at(Nanos now) const {
    return static_cast<std::uint64_t>(Wide{static_cast<std::uint64_t>(now)} * multiplier >> (27 + shift));
}

// A 256th of a packet where the burst leaves room for it and the rate is below one a nanosecond.
Gcra::Gcra(const PacketLimit& limit)
    : unit{limit.count != PacketCount::kBytes && limit.burst <= 1U << 20 &&
                   limit.rate.count <= static_cast<std::uint64_t>(limit.rate.window)
               ? 256U
               : 1U},
      pace{limit.rate.count * unit, limit.rate.window},
      depth{limit.burst * unit} {}

Walk::List::List(const std::vector<IpPrefix>& from) : prefixes(from.begin(), from.end()) {
    for (const IpPrefix& prefix : from) (prefix.is_v4() ? v4_lengths : v6_lengths).insert(prefix.length());
}

bool Walk::List::contains(const IpAddress& address) const {
    return std::ranges::any_of(address.is_v4() ? v4_lengths : v6_lengths, [&](unsigned length) {
        return prefixes.contains(IpPrefix{address, length});
    });
}

void Walk::apply(const Rules& rules) {
    rules_ = rules;
    allow_ = List{rules.kernel.allow.prefixes};
    deny_ = List{rules.kernel.deny.prefixes};
    ports_.clear();
    for (const std::uint16_t port : rules.kernel.ports) ports_[port] = "";
    limits_.clear();
    std::map<Identity, Limited> kept;
    const auto take = [&](const std::string& group, const std::vector<PacketLimit>& limits) {
        for (const CountWords& kind : kOrder)
            for (const PacketLimit& limit : limits) {
                if (limit.count != kind.count) continue;
                const SourcePrefix& by =
                    limit.per == PacketScope::kSource ? rules.source_prefix : rules.kernel.prefix;
                Identity identity{
                    group,   limit.count, limit.per, limit.rate.count, limit.rate.window, limit.burst,
                    by.ipv4, by.ipv6,     0};
                while (kept.contains(identity)) ++std::get<int>(identity);
                Limited& sources = kept.emplace(identity, std::move(tables_[identity])).first->second;
                limits_.push_back(
                    {group, limit, Gcra{limit}, &sources});  // nodes of a map stay where they are
            }
    };
    take("", rules.kernel.limits);
    for (const PortGroup& group : rules.kernel.port_groups) {
        for (const std::uint16_t port : group.ports) ports_[port] = group.name;
        take(group.name, group.limits);
    }
    tables_ = std::move(kept);
    // What a policy comes to allow or to trust is no longer banned.
    std::erase_if(bans_, [&](const auto& ban) {
        const auto holds = [&](const IpPrefix& prefix) { return overlap(prefix, ban.first); };
        return std::ranges::any_of(rules.kernel.allow.prefixes, holds) ||
               std::ranges::any_of(rules.never_ban, holds);
    });
}

void Walk::ban(const IpPrefix& source, Nanos expires) {
    bans_[source] = {expires, 0};
}

std::uint64_t Walk::packets_banned_until_after(Nanos then) const {
    std::uint64_t sum = 0;
    for (const auto& [source, standing] : bans_)
        if (standing.expires > then) sum += standing.packets;
    return sum;
}

Verdict Walk::judge(std::span<const std::uint8_t> frame, std::size_t linear_bytes, Nanos now) {
    would_drop_ = false;
    const std::string_view reason = rules_.kernel.mode == KernelMode::kOff
                                        ? "unprotected"
                                        : reason_of(read_packet(frame, linear_bytes), frame.size(), now);
    const bool drops =
        reason == "malformed" || reason == "denied" || reason == "banned" || reason.starts_with("limit_");
    if ((reason == "passed" && would_drop_) || (drops && rules_.kernel.mode == KernelMode::kShadow))
        return {"shadow", false, frame.size()};
    return {reason, drops, frame.size()};
}

std::string_view Walk::reason_of(const Packet& packet, std::uint64_t bytes, Nanos now) {
    if (packet.kind == Kind::kNotIp) return "not_ip";
    const bool allowed = packet.source && allow_.contains(*packet.source);
    if (packet.kind == Kind::kMalformed) return allowed ? "allowed" : "malformed";
    const auto group = group_of(packet);
    if (!group) return "unprotected";
    if (allowed) return "allowed";
    if (deny_.contains(*packet.source)) return "denied";
    if (is_banned(*packet.source, now)) return "banned";
    if (const auto reason = ask(PacketScope::kSource, *group, packet, bytes, now); reason != "passed") {
        if (rules_.kernel.ban && rules_.kernel.mode == KernelMode::kEnforce)
            count_drop(*group, rules_.source_prefix.of(*packet.source), now);
        return reason;
    }
    return ask(PacketScope::kPrefix, *group, packet, bytes, now);
}

std::optional<std::string> Walk::group_of(const Packet& packet) const {
    if (packet.neighbour_discovery) return std::nullopt;
    const KernelPolicy& kernel = rules_.kernel;
    if (packet.icmp || (kernel.ports.empty() && kernel.port_groups.empty())) return "";
    if (packet.protocol != 6 && packet.protocol != 17)
        return kernel.other_ports ? std::optional{""} : std::nullopt;
    if (packet.later_fragment) return "";
    if (const auto named = ports_.find(packet.destination_port); named != ports_.end()) return named->second;
    return kernel.other_ports ? std::optional{""} : std::nullopt;
}

bool Walk::is_banned(const IpAddress& source, Nanos now) {
    for (auto& [prefix, standing] : bans_)
        if (prefix.contains(source) && standing.expires > now) {
            ++standing.packets;
            return true;
        }
    return false;
}

std::string_view Walk::ask(PacketScope scope, const std::string& port_group, const Packet& packet,
                           std::uint64_t bytes, Nanos now) {
    for (const Limit& limit : limits_) {
        if (limit.rule.per != scope || limit.group != port_group || !counts(limit.rule.count, packet))
            continue;
        if (would_drop_ && limit.rule.mode == LimitMode::kShadow) continue;
        const SourcePrefix& group =
            scope == PacketScope::kSource ? rules_.source_prefix : rules_.kernel.prefix;
        std::uint64_t& arrival = (*limit.sources)[group.of(*packet.source)];
        const std::uint64_t cost = limit.gcra.unit * (limit.rule.count == PacketCount::kBytes ? bytes : 1);
        const std::uint64_t units_now = limit.gcra.pace.at(now);
        const std::uint64_t from = std::max(arrival, units_now);
        if (from + cost - units_now <= limit.gcra.depth) {
            arrival = from + cost;
            continue;
        }
        if (limit.rule.mode == LimitMode::kEnforce)
            return scope == PacketScope::kPrefix
                       ? "limit_prefix"
                       : std::ranges::find(kOrder, limit.rule.count, &CountWords::count)->reason;
        would_drop_ = true;
    }
    return "passed";
}

void Walk::count_drop(const std::string& group, const IpPrefix& source, Nanos now) {
    const BanRule& rule = *rules_.kernel.ban;
    Drops& drops = drops_[{group, rule.within, rules_.source_prefix.ipv4, rules_.source_prefix.ipv6}][source];
    // The span is told in 256ths; a finer clock is behind them.
    const std::uint64_t parts_now = Pace{1U << 28, rule.within}.at(now) >> 20;
    if (drops.window_ends <= parts_now) drops = {parts_now + 256, 0};
    if (++drops.count < rule.after) return;
    drops = {};
    const bool never =
        std::ranges::any_of(rules_.never_ban, [&](const IpPrefix& proxy) { return overlap(proxy, source); });
    if (!never) bans_[source] = {now + rule.duration, 0};
}

}  // namespace sluice::model
