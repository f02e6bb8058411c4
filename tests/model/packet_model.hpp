// What a frame is, by the RFCs and docs/operations.md ("odd packets"): the model's own parser.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/ip_prefix.hpp"

namespace sluice::model {

enum class Kind { kIp, kNotIp, kMalformed };

struct Packet {
    Kind kind = Kind::kMalformed;
    std::optional<IpAddress> source;  // also of a malformed packet, if its IP header could be read that far
    std::uint8_t protocol = 0;        // the rest only of Kind::kIp
    bool later_fragment = false;
    bool icmp = false;  // ICMP over IPv4, ICMPv6 over IPv6
    bool tcp_syn = false;
    bool neighbour_discovery = false;
    std::uint16_t destination_port = 0;
};

// Headers must lie within the first linear_bytes of the frame: what is behind is in other buffers. Lengths are held
// against the whole frame.
Packet read_packet(std::span<const std::uint8_t> frame, std::size_t linear_bytes);

}  // namespace sluice::model
