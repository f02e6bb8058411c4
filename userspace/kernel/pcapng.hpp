// Packets as a pcapng file (draft-ietf-opsawg-pcapng): what Wireshark and tcpdump read. Pure; appends to text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"

namespace sluice {

struct PcapngPacket {
    std::string_view interface;  // empty: not known any more
    Nanos time = 0;              // since 1970
    std::uint32_t frame_bytes = 0;
    std::span<const std::uint8_t> bytes;  // what was captured of them
    std::string_view comment;             // UTF-8, at most 65535 bytes
};

// One section. Call begin() first and end() last.
class PcapngWriter {
  public:
    // At least one interface: tcpdump takes no file without.
    void begin(std::string& out, std::string_view application, std::uint32_t snap_bytes,
               const std::vector<std::string>& interfaces);
    // An interface that begin() did not name is described first.
    void packet(std::string& out, const PcapngPacket& packet);
    // How many packets were lost, as statistics of the first interface.
    void end(std::string& out, Nanos time, std::uint64_t lost) const;

  private:
    void describe(std::string& out, std::string_view interface);

    std::uint32_t snap_bytes_ = 0;
    std::vector<std::string> interfaces_;  // by number
};

// What stands in a piece of a file that begins with a block, as it is written here.
struct PcapngTally {
    std::uint64_t packets = 0;
    std::uint64_t lost = 0;       // by the statistics
    bool ended = false;           // statistics were seen: the section is whole
    std::size_t whole_bytes = 0;  // of the blocks that are there to their end
};
PcapngTally tally_pcapng(std::string_view piece);

}  // namespace sluice
