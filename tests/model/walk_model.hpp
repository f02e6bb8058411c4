// The walk of a packet as docs/architecture.md tells it, in plain containers: no table is ever full, no clock is
// read, nothing is fast. Packet by packet it says what the XDP program must do.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"
#include "model/packet_model.hpp"
#include "policy/policy.hpp"

namespace sluice::model {

// What is in force.
struct Rules {
    KernelPolicy kernel;
    SourcePrefix source_prefix;
    std::vector<IpPrefix> never_ban;  // trusted proxies: sources that hold one are not banned by the kernel
};

struct Verdict {
    std::string_view reason;  // as in metrics: "passed", "limit_udp"
    bool dropped = false;
    std::uint64_t bytes = 0;

    bool operator==(const Verdict&) const = default;
};

// How many units of something have passed at a time, rounded down: a limit's own clock.
struct Pace {
    std::uint64_t multiplier = 0;  // units a nanosecond, times 2^(27 + shift), rounded down
    unsigned shift = 0;

    Pace(std::uint64_t units, Nanos in);
    std::uint64_t at(Nanos now) const;
};

// A limit in its own units: 256 or 1 a packet, 1 a byte.
struct Gcra {
    std::uint64_t unit;
    Pace pace;
    std::uint64_t depth;  // of a burst

    explicit Gcra(const PacketLimit& limit);
};

class Walk {
  public:
    // A limit that is the same in both policies keeps what it knows of its sources.
    void apply(const Rules& rules);
    // By an operator. Both times are of the clock that judge() is given.
    void ban(const IpPrefix& source, Nanos expires);
    // now: CLOCK_MONOTONIC as the program reads it; never less than before. linear_bytes: see read_packet().
    Verdict judge(std::span<const std::uint8_t> frame, std::size_t linear_bytes, Nanos now);
    // Packets dropped so far by the bans that end after `then`.
    std::uint64_t packets_banned_until_after(Nanos then) const;

  private:
    using Limited = std::unordered_map<IpPrefix, std::uint64_t>;  // arrival times, in the limit's units
    // Group of ports, count, scope, rate, window, burst, grouping, and the how many-th of those that are alike.
    using Identity = std::tuple<std::string, PacketCount, PacketScope, std::uint64_t, Nanos, std::uint64_t,
                                std::uint8_t, std::uint8_t, int>;
    struct Limit {
        std::string group;  // of ports; empty: those without one
        PacketLimit rule;
        Gcra gcra;
        Limited* sources;
    };
    struct Drops {
        std::uint64_t window_ends = 0;  // in 256ths of the rule's span
        std::uint64_t count = 0;
    };
    struct Standing {
        Nanos expires = 0;
        std::uint64_t packets = 0;
    };
    // Prefixes by length, asked length by length.
    struct List {
        std::set<unsigned> v4_lengths, v6_lengths;
        std::unordered_set<IpPrefix> prefixes;

        explicit List(const std::vector<IpPrefix>& from = {});
        bool contains(const IpAddress& address) const;
    };

    std::string_view reason_of(const Packet& packet, std::uint64_t bytes, Nanos now);
    // The group of ports that the packet goes to, empty for none of them; nothing: it is not judged.
    std::optional<std::string> group_of(const Packet& packet) const;
    bool is_banned(const IpAddress& source, Nanos now);
    // The reason of the first limit of the scope that refuses the packet, or "passed"; sets would_drop_.
    std::string_view ask(PacketScope scope, const std::string& group, const Packet& packet,
                         std::uint64_t bytes, Nanos now);
    void count_drop(const std::string& group, const IpPrefix& source, Nanos now);

    Rules rules_;
    List allow_, deny_;
    std::map<std::uint16_t, std::string> ports_;  // those named, and their groups
    std::vector<Limit> limits_;                   // narrow to wide
    std::map<Identity, Limited> tables_;
    std::map<std::tuple<std::string, Nanos, std::uint8_t, std::uint8_t>, std::unordered_map<IpPrefix, Drops>>
        drops_;
    std::map<IpPrefix, Standing> bans_;
    bool would_drop_ = false;  // a limit in shadow mode would have dropped the packet under judgement
};

}  // namespace sluice::model
