// Frames of the flood tool: Ethernet, none to two VLAN tags, IPv4 or IPv6, and one of a few payload kinds.
// Checksums are right, so that a frame that is let through is a frame the network stack takes seriously.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include "base/ip_prefix.hpp"
#include "base/result.hpp"

namespace sluice::flood {

enum class Kind : std::uint8_t { kUdp, kSyn, kAck, kIcmp, kFragment };

using MacAddress = std::array<std::uint8_t, 6>;

// "02:00:00:00:00:01".
Result<MacAddress> parse_mac(std::string_view text);

struct FrameSpec {
    Kind kind = Kind::kUdp;
    MacAddress from_mac{};
    MacAddress to_mac{};
    std::vector<std::uint16_t> vlans;  // outermost first, at most two; two: 802.1ad outside 802.1Q
    IpPrefix from;           // a host: always that source; wider: a random address of it for each frame
    IpAddress to;            // the same family as `from`
    std::uint16_t port = 0;  // destination port of udp, syn and ack
    std::uint16_t source_port = 0;  // 0: random for each frame
    std::size_t payload_bytes = 0;  // after the transport header
};

class FrameBuilder {
  public:
    FrameBuilder(FrameSpec spec, std::uint64_t seed);

    // Writes the next frame over `frame` and returns its length; at most kMaxFrame bytes.
    std::size_t next(std::uint8_t* frame);

    // 1500 bytes of MTU, the Ethernet header and two tags.
    static constexpr std::size_t kMaxFrame = 1500 + 14 + 8;

  private:
    IpAddress random_source();
    std::size_t write_ip(std::uint8_t* at, const IpAddress& source);
    std::size_t write_transport(std::uint8_t* at, const IpAddress& source);
    std::uint8_t protocol() const;

    FrameSpec spec_;
    std::mt19937_64 random_;
};

}  // namespace sluice::flood
