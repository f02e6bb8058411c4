#include "kernel/pcapng.hpp"

#include <algorithm>
#include <cstring>

namespace sluice {
namespace {

// Blocks and options, by their numbers in the draft. Numbers are in the writer's own byte order, which the
// section's header tells.
constexpr std::uint32_t kSection = 0x0a0d0d0a;
constexpr std::uint32_t kInterface = 1;
constexpr std::uint32_t kStatistics = 5;
constexpr std::uint32_t kEnhancedPacket = 6;
constexpr std::uint32_t kByteOrder = 0x1a2b3c4d;
constexpr std::uint16_t kEndOfOptions = 0;
constexpr std::uint16_t kComment = 1;
constexpr std::uint16_t kPacketFlags = 2;
constexpr std::uint16_t kInterfaceName = 2;
constexpr std::uint16_t kApplication = 4;
constexpr std::uint16_t kDroppedBySystem = 7;
constexpr std::uint16_t kTimeResolution = 9;
constexpr std::uint16_t kEthernet = 1;
constexpr std::uint32_t kInbound = 1;
constexpr std::size_t kLargestOption = 65'535;
constexpr std::size_t kStatisticsLostAt = 24;  // bytes into the one block of statistics that is written here
constexpr std::size_t kSmallestBlock = 12;

template <class Number>
std::string_view bytes_of(const Number& number) {
    return {reinterpret_cast<const char*>(&number), sizeof number};
}

template <class Number>
Number number_at(std::string_view bytes, std::size_t at) {
    Number number = 0;
    std::memcpy(&number, bytes.data() + at, sizeof number);
    return number;
}

// One block, written from its type on; its length, which stands at both ends, is filled in at the end.
class Block {
  public:
    Block(std::string& out, std::uint32_t type) : out_(out), begin_(out.size()) { number(type).number(0U); }

    template <class Number>
    Block& number(Number value) {
        out_.append(bytes_of(value));
        return *this;
    }
    Block& bytes(std::string_view data) {
        out_.append(data).append((4 - data.size() % 4) % 4, '\0');
        return *this;
    }
    Block& time(Nanos time) {
        const auto ns = static_cast<std::uint64_t>(time);
        return number(static_cast<std::uint32_t>(ns >> 32)).number(static_cast<std::uint32_t>(ns));
    }
    Block& option(std::uint16_t code, std::string_view value) {
        value = value.substr(0, kLargestOption);
        return number(code).number(static_cast<std::uint16_t>(value.size())).bytes(value);
    }
    void end() {
        option(kEndOfOptions, {});
        const auto length = static_cast<std::uint32_t>(out_.size() - begin_ + sizeof(std::uint32_t));
        number(length);
        out_.replace(begin_ + sizeof length, sizeof length, bytes_of(length));
    }

  private:
    std::string& out_;
    std::size_t begin_;
};

}  // namespace

void PcapngWriter::begin(std::string& out, std::string_view application, std::uint32_t snap_bytes,
                         const std::vector<std::string>& interfaces) {
    Block section{out, kSection};
    section.number(kByteOrder).number(std::uint16_t{1}).number(std::uint16_t{0});
    section.number(std::int64_t{-1}).option(kApplication, application).end();
    snap_bytes_ = snap_bytes;
    interfaces_.clear();
    for (const std::string& interface : interfaces) describe(out, interface);
}

void PcapngWriter::describe(std::string& out, std::string_view interface) {
    constexpr std::uint8_t kNanoseconds = 9;  // ten to the minus ninth
    Block block{out, kInterface};
    block.number(kEthernet).number(std::uint16_t{0}).number(snap_bytes_);
    block.option(kInterfaceName, interface).option(kTimeResolution, bytes_of(kNanoseconds)).end();
    interfaces_.emplace_back(interface);
}

void PcapngWriter::packet(std::string& out, const PcapngPacket& packet) {
    auto known = std::ranges::find(interfaces_, packet.interface);
    if (known == interfaces_.end()) {
        describe(out, packet.interface);
        known = interfaces_.end() - 1;
    }
    Block block{out, kEnhancedPacket};
    block.number(static_cast<std::uint32_t>(known - interfaces_.begin())).time(packet.time);
    block.number(static_cast<std::uint32_t>(packet.bytes.size())).number(packet.frame_bytes);
    block.bytes({reinterpret_cast<const char*>(packet.bytes.data()), packet.bytes.size()});
    block.option(kComment, packet.comment).option(kPacketFlags, bytes_of(kInbound)).end();
}

void PcapngWriter::end(std::string& out, Nanos time, std::uint64_t lost) const {
    Block block{out, kStatistics};
    block.number(0U).time(time).option(kDroppedBySystem, bytes_of(lost)).end();
}

PcapngTally tally_pcapng(std::string_view piece) {
    PcapngTally tally;
    while (piece.size() - tally.whole_bytes >= kSmallestBlock) {
        const std::string_view rest = piece.substr(tally.whole_bytes);
        const auto type = number_at<std::uint32_t>(rest, 0);
        const auto length = number_at<std::uint32_t>(rest, 4);
        if (length < kSmallestBlock || length > rest.size()) break;
        if (type == kEnhancedPacket) ++tally.packets;
        if (type == kStatistics && length >= kStatisticsLostAt + sizeof tally.lost) {
            tally.lost += number_at<std::uint64_t>(rest, kStatisticsLostAt);
            tally.ended = true;
        }
        tally.whole_bytes += length;
    }
    return tally;
}

}  // namespace sluice
