// Frames written as one reads them: Ethernet{} / Vlan{7} / IPv4{.source = "192.0.2.1"} / Tcp{.destination =
// 80, .syn = true}. Lengths and next-header fields are filled in from what follows, unless a layer names
// them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::test {

using Bytes = std::vector<std::uint8_t>;

struct Ethernet {
    std::optional<std::uint16_t> type = std::nullopt;
};
struct Vlan {
    std::uint16_t id = 1;
    std::uint16_t tag_type = 0x8100;
    std::optional<std::uint16_t> type = std::nullopt;
};
struct IPv4 {
    std::string source = "198.51.100.1";
    std::string destination = "203.0.113.1";
    std::uint8_t options_words = 0;
    std::uint16_t fragment = 0;  // flags and offset as on the wire: 0x2000 is "more fragments"
    std::optional<std::uint8_t> protocol = std::nullopt;
    std::optional<std::uint16_t> total_length = std::nullopt;
    std::optional<std::uint8_t> version_ihl = std::nullopt;
};
struct IPv6 {
    std::string source = "2001:db8::1";
    std::string destination = "2001:db8:ffff::1";
    std::uint8_t hop_limit = 64;
    std::optional<std::uint8_t> next = std::nullopt;
    std::optional<std::uint16_t> payload_length = std::nullopt;
};
struct Extension {
    std::uint8_t type = 0;  // 0 hop-by-hop, 43 routing, 51 AH, 60 destination options
    std::uint8_t extra_words = 0;
    std::optional<std::uint8_t> next = std::nullopt;
};
struct Fragment6 {
    std::uint16_t offset_flags = 0;  // as on the wire: offset × 8, lowest bit "more"
    std::optional<std::uint8_t> next = std::nullopt;
};
struct Tcp {
    std::uint16_t destination = 8080;
    bool syn = false;
    bool ack = true;
    std::uint8_t header_words = 5;
};
struct Udp {
    std::uint16_t destination = 8080;
    std::optional<std::uint16_t> length = std::nullopt;
};
struct Icmp {
    std::uint8_t type = 8;
};
struct Icmp6 {
    std::uint8_t type = 128;
};
struct Payload {
    std::size_t bytes = 0;
};

// Layers collected from left to right; a frame once converted to Bytes.
class Frame {
  public:
    struct Layer {
        Bytes bytes;
        int next_at = -1;  // offset of the field that names what follows; -1: none
        int next_bytes = 1;
        bool next_given = false;
        int length_at = -1;           // offset of a 16-bit length
        std::size_t length_less = 0;  // bytes of this layer that the length does not count
        bool length_given = false;
        std::uint16_t number = 0;  // EtherType or protocol by which the layer above names this one
    };
    Frame& add(Layer layer);
    operator Bytes() const;  // NOLINT: a frame is its bytes

  private:
    std::vector<Layer> layers_;
};

Frame::Layer layer_of(const Ethernet&);
Frame::Layer layer_of(const Vlan&);
Frame::Layer layer_of(const IPv4&);
Frame::Layer layer_of(const IPv6&);
Frame::Layer layer_of(const Extension&);
Frame::Layer layer_of(const Fragment6&);
Frame::Layer layer_of(const Tcp&);
Frame::Layer layer_of(const Udp&);
Frame::Layer layer_of(const Icmp&);
Frame::Layer layer_of(const Icmp6&);
Frame::Layer layer_of(const Payload&);

template <class T>
Frame operator/(const Ethernet& ethernet, const T& next) {
    Frame frame;
    frame.add(layer_of(ethernet));
    frame.add(layer_of(next));
    return frame;
}
template <class T>
Frame operator/(Frame frame, const T& next) {
    frame.add(layer_of(next));
    return frame;
}

}  // namespace sluice::test
