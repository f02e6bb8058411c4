// The parser of the XDP program on frames of any bytes, against the model's: no byte read past the end, and both see
// the same packet. The first two bytes say how much of the frame lies in other buffers.
#include <array>
#include <cstdint>
#include <vector>

#include "fuzz/expect.hpp"
#include "kernel/bpf_arithmetic.hpp"
#include "model/packet_model.hpp"

namespace {

using sluice::model::Kind;
using sluice::model::Packet;

Kind kind_of(sluice_parsed parsed) {
    if (parsed == SLUICE_PARSED_IP) return Kind::kIp;
    return parsed == SLUICE_PARSED_NOT_IP ? Kind::kNotIp : Kind::kMalformed;
}

sluice::IpAddress to_address(const sluice_address& number) {
    std::array<std::uint8_t, 16> bytes{};
    for (unsigned i = 0; i < 8; ++i) {
        bytes[i] = static_cast<std::uint8_t>(number.hi >> (56 - 8 * i));
        bytes[8 + i] = static_cast<std::uint8_t>(number.lo >> (56 - 8 * i));
    }
    return sluice::IpAddress::from_v6(bytes);
}

std::uint32_t counts_of(const Packet& packet) {
    std::uint32_t counts = SLUICE_COUNT_PACKETS | SLUICE_COUNT_BYTES;
    if (packet.tcp_syn) counts |= SLUICE_COUNT_TCP_SYN;
    if (packet.protocol == 17) counts |= SLUICE_COUNT_UDP;
    if (packet.icmp) counts |= SLUICE_COUNT_ICMP;
    return counts;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::size_t elsewhere = (data[0] & 0x80U) == 0 ? 0 : (data[0] & 0x0fU) << 8 | data[1];
    data += 2;
    size -= 2;
    sluice_packet packet{};
    const sluice_parsed parsed =
        sluice_parse(data, data + size, static_cast<std::uint32_t>(size + elsewhere), &packet);
    std::vector<std::uint8_t> whole(data, data + size);
    whole.resize(size + elsewhere);
    const Packet model = sluice::model::read_packet(whole, size);

    SLUICE_EXPECT(kind_of(parsed) == model.kind);
    SLUICE_EXPECT((packet.has_source != 0) == model.source.has_value());
    if (model.source) {
        SLUICE_EXPECT(to_address(packet.source) == *model.source);
        SLUICE_EXPECT((packet.family == SLUICE_IPV4) == model.source->is_v4());
    }
    if (model.kind != Kind::kIp) return 0;
    SLUICE_EXPECT(packet.protocol == model.protocol);
    SLUICE_EXPECT(packet.counts == counts_of(model));
    SLUICE_EXPECT(packet.destination_port == model.destination_port);
    SLUICE_EXPECT((packet.keeps_link != 0) == model.neighbour_discovery);
    const bool has_ports = model.protocol == 6 || model.protocol == 17;
    SLUICE_EXPECT((packet.portless != 0) == (model.later_fragment && has_ports));
    return 0;
}
