// The parser on the host: frames cut at every length from nothing on, each in memory of exactly its size, so that
// AddressSanitizer sees a read past the end.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "kernel/bpf_arithmetic.hpp"

namespace sluice {
namespace {

using Bytes = std::vector<std::uint8_t>;

sluice_parsed parse(const Bytes& frame, std::size_t length, sluice_packet& packet) {
    const std::unique_ptr<std::uint8_t[]> exact{new std::uint8_t[length]};
    if (length != 0) std::memcpy(exact.get(), frame.data(), length);
    packet = {};
    return sluice_parse(exact.get(), exact.get() + length, static_cast<std::uint32_t>(length), &packet);
}

Bytes ipv4_udp() {
    Bytes frame(14 + 20 + 8, 0);
    frame[12] = 0x08;
    frame[14] = 0x45;
    frame[17] = 28;
    frame[23] = 17;
    frame[26] = 192;
    frame[28] = 2;
    frame[29] = 1;
    frame[36] = 0x1f;
    frame[37] = 0x90;
    frame[39] = 8;
    return frame;
}

// VLAN, hop-by-hop, routing, first fragment, TCP SYN.
Bytes ipv6_chain() {
    Bytes frame(14 + 4 + 40 + 8 + 16 + 8 + 20, 0);
    frame[12] = 0x81;
    frame[16] = 0x86;
    frame[17] = 0xdd;
    std::uint8_t* ip = &frame[18];
    ip[0] = 0x60;
    ip[5] = 52;
    ip[7] = 64;
    ip[8] = 0x20;
    ip[9] = 0x01;
    std::uint8_t* extension = ip + 40;
    extension[0] = 43;
    extension[8] = 44;
    extension[9] = 1;
    extension[24] = 6;
    extension[27] = 1;  // more fragments
    std::uint8_t* tcp = extension + 32;
    tcp[2] = 0x1f;
    tcp[3] = 0x90;
    tcp[12] = 0x50;
    tcp[13] = 0x02;
    return frame;
}

TEST(Packet, ReadsWhatTheWalkNeeds) {
    sluice_packet packet{};
    Bytes frame = ipv4_udp();
    ASSERT_EQ(parse(frame, frame.size(), packet), SLUICE_PARSED_IP);
    EXPECT_EQ(packet.family, static_cast<unsigned>(SLUICE_IPV4));
    EXPECT_EQ(packet.source.lo, 0xffffc0000201ULL);
    EXPECT_EQ(packet.destination_port, 8080);
    EXPECT_EQ(packet.counts,
              static_cast<unsigned>(SLUICE_COUNT_PACKETS | SLUICE_COUNT_BYTES | SLUICE_COUNT_UDP));
    frame = ipv6_chain();
    ASSERT_EQ(parse(frame, frame.size(), packet), SLUICE_PARSED_IP);
    EXPECT_EQ(packet.family, static_cast<unsigned>(SLUICE_IPV6));
    EXPECT_EQ(packet.source.hi, 0x2001000000000000ULL);
    EXPECT_EQ(packet.destination_port, 8080);
    EXPECT_EQ(packet.counts,
              static_cast<unsigned>(SLUICE_COUNT_PACKETS | SLUICE_COUNT_BYTES | SLUICE_COUNT_TCP_SYN));
}

TEST(Packet, CutAtEveryLengthIsMalformed) {
    for (const Bytes& frame : {ipv4_udp(), ipv6_chain()})
        for (std::size_t length = 0; length < frame.size(); ++length) {
            sluice_packet packet{};
            EXPECT_EQ(parse(frame, length, packet), SLUICE_PARSED_MALFORMED) << length;
        }
}

TEST(Packet, RandomDamageNeverReadsPastTheEnd) {
    std::mt19937_64 random{5};
    std::size_t accepted = 0;
    for (int i = 0; i < 200'000; ++i) {
        Bytes frame = i % 2 == 0 ? ipv4_udp() : ipv6_chain();
        for (std::uint64_t changes = random() % 6; changes > 0; --changes)
            frame[12 + random() % (frame.size() - 12)] = static_cast<std::uint8_t>(random());
        sluice_packet packet{};
        accepted += parse(frame, random() % (frame.size() + 1), packet) == SLUICE_PARSED_IP;
    }
    EXPECT_GT(accepted, 100U);
}

}  // namespace
}  // namespace sluice
