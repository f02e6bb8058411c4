#include "support/flood_packet.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

namespace sluice::flood {
namespace {

constexpr std::uint8_t kProtocolIcmp = 1;
constexpr std::uint8_t kProtocolTcp = 6;
constexpr std::uint8_t kProtocolUdp = 17;
constexpr std::uint8_t kProtocolFragment = 44;
constexpr std::uint8_t kProtocolIcmp6 = 58;
constexpr std::uint8_t kHopLimit = 64;
// The second fragment of a datagram cut at an MTU of 1500 starts at 1480 bytes, in units of eight.
constexpr std::uint16_t kFragmentOffset = 1480 / 8;

void put16(std::uint8_t* at, unsigned value) {
    at[0] = static_cast<std::uint8_t>(value >> 8);
    at[1] = static_cast<std::uint8_t>(value);
}

void put32(std::uint8_t* at, std::uint32_t value) {
    put16(at, value >> 16);
    put16(at + 2, value & 0xffffU);
}

// RFC 1071, big-endian words; `sum` carries in a pseudo header.
std::uint32_t add_words(const std::uint8_t* data, std::size_t size, std::uint32_t sum) {
    for (std::size_t i = 0; i + 1 < size; i += 2)
        sum += static_cast<std::uint32_t>(data[i] << 8 | data[i + 1]);
    if (size % 2 != 0) sum += static_cast<std::uint32_t>(data[size - 1] << 8);
    return sum;
}

std::uint16_t fold(std::uint32_t sum) {
    while (sum >> 16 != 0) sum = (sum & 0xffffU) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

// Copies the address in the family's own size and returns that size.
std::size_t put_address(std::uint8_t* at, const IpAddress& address) {
    if (address.is_v4()) {
        const auto bytes = address.v4_bytes();
        std::memcpy(at, bytes.data(), bytes.size());
        return bytes.size();
    }
    std::memcpy(at, address.bytes().data(), address.bytes().size());
    return address.bytes().size();
}

}  // namespace

Result<MacAddress> parse_mac(std::string_view text) {
    MacAddress mac{};
    std::array<unsigned, 6> octets{};
    int used = 0;
    const std::string copy{text};
    const int fields = std::sscanf(copy.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%n", &octets[0], &octets[1],
                                   &octets[2], &octets[3], &octets[4], &octets[5], &used);
    if (fields != 6 || static_cast<std::size_t>(used) != text.size()) {
        return Error{ErrorCode::kInvalid,
                     "MAC address " + copy + ": six hexadecimal octets with colons expected"};
    }
    std::transform(octets.begin(), octets.end(), mac.begin(),
                   [](unsigned octet) { return static_cast<std::uint8_t>(octet); });
    return mac;
}

FrameBuilder::FrameBuilder(FrameSpec spec, std::uint64_t seed) : spec_(std::move(spec)), random_(seed) {}

std::uint8_t FrameBuilder::protocol() const {
    switch (spec_.kind) {
        case Kind::kUdp:
        case Kind::kFragment:
            return kProtocolUdp;
        case Kind::kSyn:
        case Kind::kAck:
            return kProtocolTcp;
        case Kind::kIcmp:
            return spec_.to.is_v4() ? kProtocolIcmp : kProtocolIcmp6;
    }
    return 0;
}

IpAddress FrameBuilder::random_source() {
    if (spec_.from.is_host()) return spec_.from.address();
    auto bytes = spec_.from.address().bytes();
    const unsigned fixed_bits = spec_.from.length() + (spec_.from.is_v4() ? 96U : 0U);
    for (unsigned i = fixed_bits / 8; i < bytes.size(); ++i) {
        const unsigned kept_bits = i == fixed_bits / 8 ? fixed_bits % 8 : 0;
        const auto host_mask = static_cast<std::uint8_t>(0xffU >> kept_bits);
        const auto random_bits = static_cast<std::uint8_t>(random_());
        bytes[i] = static_cast<std::uint8_t>((bytes[i] & ~host_mask) | (random_bits & host_mask));
    }
    return IpAddress::from_v6(bytes);
}

// Returns the transport's length. Its checksum covers the pseudo header of either family alike: addresses,
// length, protocol.
std::size_t FrameBuilder::write_transport(std::uint8_t* at, const IpAddress& source) {
    const auto random_bits = random_();
    const auto source_port =
        spec_.source_port != 0 ? spec_.source_port : static_cast<std::uint16_t>(1024 + random_bits % 64000);
    std::size_t header = 8;
    std::size_t checksum_at = 6;
    bool pseudo_header = true;
    switch (spec_.kind) {
        case Kind::kUdp:
            put16(at, source_port);
            put16(at + 2, spec_.port);
            put16(at + 4, static_cast<unsigned>(8 + spec_.payload_bytes));
            put16(at + 6, 0);
            break;
        case Kind::kSyn:
        case Kind::kAck:
            header = 20;
            checksum_at = 16;
            std::memset(at, 0, header);
            put16(at, source_port);
            put16(at + 2, spec_.port);
            put32(at + 4, static_cast<std::uint32_t>(random_bits >> 32));
            at[12] = 5 << 4;
            at[13] = spec_.kind == Kind::kSyn ? 0x02 : 0x10;
            if (spec_.kind == Kind::kAck) put32(at + 8, static_cast<std::uint32_t>(random_bits));
            put16(at + 14, 64240);
            break;
        case Kind::kIcmp:
            checksum_at = 2;
            pseudo_header = !spec_.to.is_v4();
            std::memset(at, 0, header);
            at[0] = spec_.to.is_v4() ? 8 : 128;  // echo request
            put32(at + 4, static_cast<std::uint32_t>(random_bits));
            break;
        case Kind::kFragment:  // the middle of a datagram: no header at all
            std::memset(at, 0xa5, header + spec_.payload_bytes);
            return header + spec_.payload_bytes;
    }
    std::memset(at + header, 0xa5, spec_.payload_bytes);
    const std::size_t length = header + spec_.payload_bytes;
    std::uint32_t sum = 0;
    if (pseudo_header) {
        std::array<std::uint8_t, 32> addresses{};
        const std::size_t size = put_address(addresses.data(), source);
        put_address(addresses.data() + size, spec_.to);
        sum = add_words(addresses.data(), 2 * size, static_cast<std::uint32_t>(length) + protocol());
    }
    const std::uint16_t checksum = fold(add_words(at, length, sum));
    // UDP sends 0 as "no checksum", so the value 0 is written as its other form.
    put16(at + checksum_at, spec_.kind == Kind::kUdp && checksum == 0 ? 0xffffU : checksum);
    return length;
}

std::size_t FrameBuilder::write_ip(std::uint8_t* at, const IpAddress& source) {
    const bool fragment = spec_.kind == Kind::kFragment;
    const auto id = static_cast<std::uint32_t>(random_());
    if (spec_.to.is_v4()) {
        const std::size_t length = 20 + write_transport(at + 20, source);
        std::memset(at, 0, 20);
        at[0] = 0x45;
        put16(at + 2, static_cast<unsigned>(length));
        put16(at + 4, id & 0xffffU);
        put16(at + 6, fragment ? kFragmentOffset : 0x4000U);
        at[8] = kHopLimit;
        at[9] = protocol();
        put_address(at + 12, source);
        put_address(at + 16, spec_.to);
        put16(at + 10, fold(add_words(at, 20, 0)));
        return length;
    }
    const std::size_t extension = fragment ? 8 : 0;
    const std::size_t length = extension + write_transport(at + 40 + extension, source);
    std::memset(at, 0, 40 + extension);
    at[0] = 0x60;
    put16(at + 4, static_cast<unsigned>(length));
    at[6] = fragment ? kProtocolFragment : protocol();
    at[7] = kHopLimit;
    put_address(at + 8, source);
    put_address(at + 24, spec_.to);
    if (fragment) {
        at[40] = protocol();
        put16(at + 42, kFragmentOffset << 3);
        put32(at + 44, id);
    }
    return 40 + length;
}

std::size_t FrameBuilder::next(std::uint8_t* frame) {
    std::uint8_t* at = std::copy(spec_.to_mac.begin(), spec_.to_mac.end(), frame);
    at = std::copy(spec_.from_mac.begin(), spec_.from_mac.end(), at);
    for (std::size_t i = 0; i < spec_.vlans.size(); ++i) {
        put16(at, i == 0 && spec_.vlans.size() == 2 ? 0x88a8U : 0x8100U);
        put16(at + 2, spec_.vlans[i]);
        at += 4;
    }
    put16(at, spec_.to.is_v4() ? 0x0800U : 0x86ddU);
    at += 2;
    at += write_ip(at, random_source());
    return static_cast<std::size_t>(at - frame);
}

}  // namespace sluice::flood
