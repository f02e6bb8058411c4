// The file byte by byte against the draft; a reader of the test's own, so that writer and reader can't agree
// on a mistake.
#include "kernel/pcapng.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

namespace sluice {
namespace {

struct Read {
    std::uint32_t type;
    std::string body;  // between the two lengths
};

template <class Number>
Number at(const std::string& bytes, std::size_t offset) {
    Number number{};
    EXPECT_LE(offset + sizeof number, bytes.size());
    if (offset + sizeof number <= bytes.size()) std::memcpy(&number, bytes.data() + offset, sizeof number);
    return number;
}

std::vector<Read> blocks_of(const std::string& file) {
    std::vector<Read> blocks;
    for (std::size_t begin = 0; begin < file.size();) {
        const auto length = at<std::uint32_t>(file, begin + 4);
        EXPECT_EQ(length % 4, 0U);
        EXPECT_EQ(at<std::uint32_t>(file, begin + length - 4), length);
        if (length < 12 || begin + length > file.size()) {
            ADD_FAILURE() << "block of " << length << " bytes at " << begin;
            break;
        }
        blocks.push_back({at<std::uint32_t>(file, begin), file.substr(begin + 8, length - 12)});
        begin += length;
    }
    return blocks;
}

std::map<std::uint16_t, std::string> options_of(const std::string& body, std::size_t begin) {
    std::map<std::uint16_t, std::string> options;
    while (begin < body.size()) {
        const auto code = at<std::uint16_t>(body, begin);
        const auto length = at<std::uint16_t>(body, begin + 2);
        if (code == 0) {
            EXPECT_EQ(begin + 4, body.size()) << "the end of the options is the end of the block";
            return options;
        }
        options[code] = body.substr(begin + 4, length);
        begin += 4U + (length + 3U) / 4U * 4U;
    }
    ADD_FAILURE() << "the options have no end";
    return options;
}

const std::vector<std::uint8_t> kFrame{1, 2, 3, 4, 5, 6, 7};
constexpr Nanos kTime = 1'790'000'000 * kSecond + 123'456'789;

std::string written() {
    std::string file;
    PcapngWriter writer;
    writer.begin(file, "sluiced 1.2", 128, {"eth0", "eth1"});
    writer.packet(file, {"eth1", kTime, 1514, kFrame, "verdict=drop reason=denied"});
    writer.packet(file, {"veth7", kTime + 1, 7, kFrame, "verdict=pass reason=passed"});
    writer.packet(file, {"veth7", kTime + 2, 7, kFrame, ""});
    writer.end(file, kTime + 3, 5);
    return file;
}

TEST(Pcapng, TheSectionAndItsInterfacesComeFirst) {
    const std::string file = written();
    const auto blocks = blocks_of(file);
    ASSERT_EQ(blocks.size(), 8U);
    EXPECT_EQ(blocks[0].type, 0x0a0d0d0aU);
    EXPECT_EQ(at<std::uint32_t>(blocks[0].body, 0), 0x1a2b3c4dU);
    EXPECT_EQ(at<std::uint16_t>(blocks[0].body, 4), 1);
    EXPECT_EQ(at<std::uint16_t>(blocks[0].body, 6), 0);
    EXPECT_EQ(at<std::int64_t>(blocks[0].body, 8), -1);
    EXPECT_EQ(options_of(blocks[0].body, 16).at(4), "sluiced 1.2");
    for (const auto& [index, name] : {std::pair{1, "eth0"}, {2, "eth1"}, {4, "veth7"}}) {
        const Read& block = blocks[static_cast<std::size_t>(index)];
        EXPECT_EQ(block.type, 1U);
        EXPECT_EQ(at<std::uint16_t>(block.body, 0), 1) << "Ethernet";
        EXPECT_EQ(at<std::uint32_t>(block.body, 4), 128U);
        EXPECT_EQ(options_of(block.body, 8).at(2), name);
        EXPECT_EQ(options_of(block.body, 8).at(9), "\x09");
    }
}

TEST(Pcapng, APacketHasItsInterfaceTimeLengthsBytesAndComment) {
    const auto blocks = blocks_of(written());
    const std::string& packet = blocks[3].body;
    EXPECT_EQ(blocks[3].type, 6U);
    EXPECT_EQ(at<std::uint32_t>(packet, 0), 1U);
    EXPECT_EQ((std::uint64_t{at<std::uint32_t>(packet, 4)} << 32) + at<std::uint32_t>(packet, 8),
              static_cast<std::uint64_t>(kTime));
    EXPECT_EQ(at<std::uint32_t>(packet, 12), kFrame.size());
    EXPECT_EQ(at<std::uint32_t>(packet, 16), 1514U);
    EXPECT_EQ(packet.substr(20, 8), std::string("\1\2\3\4\5\6\7\0", 8));
    EXPECT_EQ(options_of(packet, 28).at(1), "verdict=drop reason=denied");
    EXPECT_EQ(options_of(packet, 28).at(2), std::string("\1\0\0\0", 4)) << "inbound";
    EXPECT_EQ(at<std::uint32_t>(blocks[5].body, 0), 2U) << "the interface described in between";
    EXPECT_EQ(at<std::uint32_t>(blocks[6].body, 0), 2U) << "and only once";
}

TEST(Pcapng, TheStatisticsSayWhatWasLost) {
    const Read last = blocks_of(written()).back();
    EXPECT_EQ(last.type, 5U);
    EXPECT_EQ(at<std::uint32_t>(last.body, 0), 0U);
    EXPECT_EQ(options_of(last.body, 12).at(7), std::string("\5\0\0\0\0\0\0\0", 8));
}

TEST(Pcapng, TheTallyCountsWholeBlocksOnly) {
    const std::string file = written();
    const PcapngTally whole = tally_pcapng(file);
    EXPECT_EQ(whole.packets, 3U);
    EXPECT_EQ(whole.lost, 5U);
    EXPECT_TRUE(whole.ended);
    EXPECT_EQ(whole.whole_bytes, file.size());
    std::size_t seen = 0;
    for (std::size_t cut = 0; cut < file.size(); ++cut) {
        const PcapngTally tally = tally_pcapng(std::string_view{file}.substr(0, cut));
        EXPECT_LE(tally.whole_bytes, cut);
        EXPECT_GE(tally.whole_bytes, seen);
        EXPECT_FALSE(tally.ended);
        seen = tally.whole_bytes;
    }
    EXPECT_EQ(tally_pcapng(std::string(64, '\0')).whole_bytes, 0U) << "a length of nothing ends it";
}

}  // namespace
}  // namespace sluice
