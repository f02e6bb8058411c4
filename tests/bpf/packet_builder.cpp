#include "bpf/packet_builder.hpp"

#include <arpa/inet.h>

#include <stdexcept>

namespace sluice::test {
namespace {

void put16(Bytes& bytes, std::size_t at, std::size_t value) {
    bytes[at] = static_cast<std::uint8_t>(value >> 8);
    bytes[at + 1] = static_cast<std::uint8_t>(value);
}

void put_address(int family, const std::string& text, Bytes& bytes, std::size_t at) {
    if (::inet_pton(family, text.c_str(), &bytes[at]) != 1) throw std::invalid_argument("address " + text);
}

}  // namespace

Frame& Frame::add(Layer layer) {
    layers_.push_back(std::move(layer));
    return *this;
}

Frame::operator Bytes() const {
    Bytes frame;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        Layer layer = layers_[i];
        if (layer.next_at >= 0 && !layer.next_given && i + 1 < layers_.size()) {
            const std::uint16_t number = layers_[i + 1].number;
            if (layer.next_bytes == 2)
                put16(layer.bytes, static_cast<std::size_t>(layer.next_at), number);
            else
                layer.bytes[static_cast<std::size_t>(layer.next_at)] = static_cast<std::uint8_t>(number);
        }
        if (layer.length_at >= 0 && !layer.length_given) {
            std::size_t length = 0;
            for (std::size_t j = i; j < layers_.size(); ++j) length += layers_[j].bytes.size();
            put16(layer.bytes, static_cast<std::size_t>(layer.length_at), length - layer.length_less);
        }
        frame.insert(frame.end(), layer.bytes.begin(), layer.bytes.end());
    }
    return frame;
}

Frame::Layer layer_of(const Ethernet& ethernet) {
    Frame::Layer layer{.bytes = Bytes(14, 0x02), .next_at = 12, .next_bytes = 2};
    layer.next_given = ethernet.type.has_value();
    if (ethernet.type) put16(layer.bytes, 12, *ethernet.type);
    return layer;
}

Frame::Layer layer_of(const Vlan& vlan) {
    Frame::Layer layer{.bytes = Bytes(4), .next_at = 2, .next_bytes = 2};
    put16(layer.bytes, 0, vlan.id);
    layer.next_given = vlan.type.has_value();
    if (vlan.type) put16(layer.bytes, 2, *vlan.type);
    layer.number = vlan.tag_type;
    return layer;
}

Frame::Layer layer_of(const IPv4& ip) {
    Frame::Layer layer{.bytes = Bytes(20 + 4U * ip.options_words), .next_at = 9, .length_at = 2};
    layer.bytes[0] = ip.version_ihl.value_or(static_cast<std::uint8_t>(0x45 + ip.options_words));
    put16(layer.bytes, 6, ip.fragment);
    layer.bytes[8] = 64;
    layer.next_given = ip.protocol.has_value();
    layer.bytes[9] = ip.protocol.value_or(0);
    layer.length_given = ip.total_length.has_value();
    if (ip.total_length) put16(layer.bytes, 2, *ip.total_length);
    put_address(AF_INET, ip.source, layer.bytes, 12);
    put_address(AF_INET, ip.destination, layer.bytes, 16);
    layer.number = 0x0800;
    return layer;
}

Frame::Layer layer_of(const IPv6& ip) {
    Frame::Layer layer{.bytes = Bytes(40), .next_at = 6, .length_at = 4, .length_less = 40};
    layer.bytes[0] = 0x60;
    layer.bytes[7] = ip.hop_limit;
    layer.next_given = ip.next.has_value();
    layer.bytes[6] = ip.next.value_or(59);
    layer.length_given = ip.payload_length.has_value();
    if (ip.payload_length) put16(layer.bytes, 4, *ip.payload_length);
    put_address(AF_INET6, ip.source, layer.bytes, 8);
    put_address(AF_INET6, ip.destination, layer.bytes, 24);
    layer.number = 0x86dd;
    return layer;
}

Frame::Layer layer_of(const Extension& extension) {
    const bool authentication = extension.type == 51;
    const std::size_t unit = authentication ? 4 : 8;
    Frame::Layer layer{.bytes = Bytes(8 + unit * extension.extra_words), .next_at = 0};
    layer.bytes[1] = extension.extra_words;
    layer.next_given = extension.next.has_value();
    layer.bytes[0] = extension.next.value_or(59);
    layer.number = extension.type;
    return layer;
}

Frame::Layer layer_of(const Fragment6& fragment) {
    Frame::Layer layer{.bytes = Bytes(8), .next_at = 0};
    put16(layer.bytes, 2, fragment.offset_flags);
    layer.next_given = fragment.next.has_value();
    layer.bytes[0] = fragment.next.value_or(59);
    layer.number = 44;
    return layer;
}

Frame::Layer layer_of(const Tcp& tcp) {
    Frame::Layer layer{.bytes = Bytes(20)};
    put16(layer.bytes, 0, 40000);
    put16(layer.bytes, 2, tcp.destination);
    layer.bytes[12] = static_cast<std::uint8_t>(tcp.header_words << 4);
    layer.bytes[13] = static_cast<std::uint8_t>((tcp.syn ? 0x02 : 0) | (tcp.ack ? 0x10 : 0));
    layer.number = 6;
    return layer;
}

Frame::Layer layer_of(const Udp& udp) {
    Frame::Layer layer{.bytes = Bytes(8), .length_at = 4};
    put16(layer.bytes, 0, 40000);
    put16(layer.bytes, 2, udp.destination);
    layer.length_given = udp.length.has_value();
    if (udp.length) put16(layer.bytes, 4, *udp.length);
    layer.number = 17;
    return layer;
}

Frame::Layer layer_of(const Icmp& icmp) {
    Frame::Layer layer{.bytes = Bytes(8)};
    layer.bytes[0] = icmp.type;
    layer.number = 1;
    return layer;
}

Frame::Layer layer_of(const Icmp6& icmp) {
    Frame::Layer layer{.bytes = Bytes(8)};
    layer.bytes[0] = icmp.type;
    layer.number = 58;
    return layer;
}

Frame::Layer layer_of(const Payload& payload) {
    return {.bytes = Bytes(payload.bytes, 0xaa)};
}

}  // namespace sluice::test
