#include "model/packet_model.hpp"

#include <algorithm>
#include <array>

namespace sluice::model {
namespace {

constexpr std::uint8_t kHopByHop = 0, kIcmp = 1, kTcp = 6, kUdp = 17, kRouting = 43, kFragment = 44,
                       kAuthentication = 51, kIcmpV6 = 58, kDestinationOptions = 60;
constexpr std::size_t kEthernetBytes = 14, kTagBytes = 4, kIpv4Bytes = 20, kIpv6Bytes = 40;

// Bytes of a frame by their offset.
class Bytes {
  public:
    Bytes(std::span<const std::uint8_t> frame, std::size_t linear_bytes)
        : linear_{frame.first(std::min(frame.size(), linear_bytes))}, whole_{frame.size()} {}
    // Whether `count` bytes from `at` on can be read; the reads below ask no more.
    bool hold(std::size_t at, std::size_t count) const {
        return at <= linear_.size() && count <= linear_.size() - at;
    }
    unsigned byte(std::size_t at) const { return linear_[at]; }
    unsigned word(std::size_t at) const { return byte(at) << 8 | byte(at + 1); }
    template <std::size_t N>
    std::array<std::uint8_t, N> copy(std::size_t at) const {
        std::array<std::uint8_t, N> out{};
        std::ranges::copy(linear_.subspan(at, N), out.begin());
        return out;
    }
    std::size_t whole() const { return whole_; }

  private:
    std::span<const std::uint8_t> linear_;
    std::size_t whole_;
};

// The payload of an IP packet, headers taken off so far.
struct Payload {
    std::size_t at = 0;
    std::size_t bytes = 0;       // by the IP header's length: padding is not counted
    bool first_of_many = false;  // a fragment, whose transport header may speak of bytes in later ones
    unsigned hop_limit = 0;
};

// Each returns false for what is cut off or contradicts itself.

bool read_ipv4(const Bytes& bytes, Payload& payload, Packet& packet) {
    const std::size_t at = payload.at;
    if (!bytes.hold(at, kIpv4Bytes)) return false;
    packet.source = IpAddress::from_v4(bytes.copy<4>(at + 12));
    const std::size_t header = (bytes.byte(at) & 15) * std::size_t{4};
    const std::size_t total = bytes.word(at + 2);
    if (bytes.byte(at) >> 4 != 4 || header < kIpv4Bytes || total < header || total > bytes.whole() - at)
        return false;
    if (!bytes.hold(at, header)) return false;
    const unsigned offset = bytes.word(at + 6) & 0x1fff;
    const bool more = (bytes.word(at + 6) & 0x2000) != 0;
    packet.protocol = static_cast<std::uint8_t>(bytes.byte(at + 9));
    packet.later_fragment = offset != 0;
    payload = {at + header, total - header, more && offset == 0, 0};
    return true;
}

bool read_ipv6(const Bytes& bytes, Payload& payload, Packet& packet) {
    constexpr std::array kExtensions = {kHopByHop, kRouting, kFragment, kAuthentication, kDestinationOptions};
    constexpr int kMostExtensions = 6;

    const std::size_t at = payload.at;
    if (!bytes.hold(at, kIpv6Bytes)) return false;
    const IpAddress source = IpAddress::from_v6(bytes.copy<16>(at + 8));
    if (source.is_v4()) return false;  // mapped: not an address that may stand on a wire
    packet.source = source;
    if (bytes.byte(at) >> 4 != 6 || bytes.word(at + 4) > bytes.whole() - at - kIpv6Bytes) return false;
    payload = {at + kIpv6Bytes, bytes.word(at + 4), false, bytes.byte(at + 7)};
    unsigned next = bytes.byte(at + 6);
    for (int seen = 0; std::ranges::find(kExtensions, next) != kExtensions.end(); ++seen) {
        if (seen == kMostExtensions) return false;
        if (!bytes.hold(payload.at, 8)) return false;
        std::size_t length = (bytes.byte(payload.at + 1) + std::size_t{1}) * 8;
        if (next == kFragment) length = 8;
        if (next == kAuthentication) length = (bytes.byte(payload.at + 1) + std::size_t{2}) * 4;
        if (length > payload.bytes) return false;
        if (!bytes.hold(payload.at, length)) return false;
        const bool is_fragment_header = next == kFragment;
        next = bytes.byte(payload.at);
        if (is_fragment_header) {
            const unsigned field = bytes.word(payload.at + 2);
            payload.first_of_many = (field & 1) != 0;
            packet.later_fragment = field >> 3 != 0;
        }
        payload.at += length;
        payload.bytes -= length;
        if (packet.later_fragment) break;  // data from here on
    }
    packet.protocol = static_cast<std::uint8_t>(next);
    return true;
}

bool read_transport(const Bytes& bytes, const Payload& payload, Packet& packet) {
    if (packet.protocol == kTcp) {
        if (!bytes.hold(payload.at, 20)) return false;
        const std::size_t header = (bytes.byte(payload.at + 12) >> 4) * std::size_t{4};
        if (header < 20 || header > payload.bytes) return false;
        const unsigned flags = bytes.byte(payload.at + 13);
        packet.tcp_syn = (flags & 0x12) == 0x02;  // SYN without ACK
        packet.destination_port = static_cast<std::uint16_t>(bytes.word(payload.at + 2));
    } else if (packet.protocol == kUdp) {
        if (!bytes.hold(payload.at, 8)) return false;
        const std::size_t length = bytes.word(payload.at + 4);
        if (payload.bytes < 8 || length < 8) return false;
        if (length > payload.bytes && !payload.first_of_many) return false;
        packet.destination_port = static_cast<std::uint16_t>(bytes.word(payload.at + 2));
    } else if (packet.icmp) {
        if (!bytes.hold(payload.at, 8)) return false;
        if (payload.bytes < 8) return false;
        const unsigned type = bytes.byte(payload.at);
        packet.neighbour_discovery =
            packet.protocol == kIcmpV6 && payload.hop_limit == 255 && type >= 133 && type <= 137;
    }
    return true;
}

Kind read(const Bytes& bytes, Packet& packet) {
    if (!bytes.hold(0, kEthernetBytes)) return Kind::kMalformed;
    std::size_t at = kEthernetBytes;
    unsigned type = bytes.word(at - 2);
    for (int tags = 0; type == 0x8100 || type == 0x88a8; ++tags) {
        if (tags == 2) return Kind::kMalformed;
        if (!bytes.hold(at, kTagBytes)) return Kind::kMalformed;
        type = bytes.word(at + 2);
        at += kTagBytes;
    }
    if (type != 0x0800 && type != 0x86dd) return Kind::kNotIp;
    const bool ipv4 = type == 0x0800;
    Payload payload;
    payload.at = at;
    if (!(ipv4 ? read_ipv4(bytes, payload, packet) : read_ipv6(bytes, payload, packet)))
        return Kind::kMalformed;
    packet.icmp = packet.protocol == (ipv4 ? kIcmp : kIcmpV6);
    if (!packet.later_fragment && !read_transport(bytes, payload, packet)) return Kind::kMalformed;
    return Kind::kIp;
}

}  // namespace

Packet read_packet(std::span<const std::uint8_t> frame, std::size_t linear_bytes) {
    Packet packet;
    packet.kind = read({frame, linear_bytes}, packet);
    return packet;
}

}  // namespace sluice::model
