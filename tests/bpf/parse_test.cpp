// What each packet is taken for: verdict, counter, and the same packet cut at every length.
#include <gtest/gtest.h>

#include "bpf/program_under_test.hpp"

namespace sluice::test {
namespace {

struct Row {
    const char* name;
    Bytes frame;
    const char* reason;
    std::uint32_t action;
};

std::vector<Row> rows() {
    return {
        {"arp", Ethernet{.type = 0x0806} / Payload{46}, "not_ip", XDP_PASS},
        {"lldp", Ethernet{.type = 0x88cc} / Payload{46}, "not_ip", XDP_PASS},
        {"ipv4_tcp", Ethernet{} / IPv4{} / Tcp{}, "passed", XDP_PASS},
        {"ipv4_tcp_other_port", Ethernet{} / IPv4{} / Tcp{.destination = 22}, "unprotected", XDP_PASS},
        {"ipv4_udp", Ethernet{} / IPv4{} / Udp{} / Payload{32}, "passed", XDP_PASS},
        {"ipv4_udp_other_port", Ethernet{} / IPv4{} / Udp{.destination = 53}, "unprotected", XDP_PASS},
        {"ipv4_udp_highest_port", Ethernet{} / IPv4{} / Udp{.destination = 65535}, "passed", XDP_PASS},
        {"ipv4_icmp", Ethernet{} / IPv4{} / Icmp{}, "passed", XDP_PASS},
        {"ipv4_gre", Ethernet{} / IPv4{.protocol = 47} / Payload{24}, "unprotected", XDP_PASS},
        {"ipv4_options", Ethernet{} / IPv4{.options_words = 10} / Tcp{}, "passed", XDP_PASS},
        {"ipv4_first_fragment", Ethernet{} / IPv4{.fragment = 0x2000} / Udp{.length = 3000} / Payload{64},
         "passed", XDP_PASS},
        {"ipv4_later_fragment", Ethernet{} / IPv4{.fragment = 0x2010, .protocol = 17} / Payload{64}, "passed",
         XDP_PASS},
        {"ipv4_last_fragment_tiny", Ethernet{} / IPv4{.fragment = 0x0010, .protocol = 6} / Payload{1},
         "passed", XDP_PASS},
        {"vlan", Ethernet{} / Vlan{} / IPv4{} / Tcp{}, "passed", XDP_PASS},
        {"qinq", Ethernet{} / Vlan{.tag_type = 0x88a8} / Vlan{} / IPv6{} / Tcp{}, "passed", XDP_PASS},
        {"vlan_arp", Ethernet{} / Vlan{.type = 0x0806} / Payload{46}, "not_ip", XDP_PASS},
        {"ipv6_tcp", Ethernet{} / IPv6{} / Tcp{}, "passed", XDP_PASS},
        {"ipv6_udp_other_port", Ethernet{} / IPv6{} / Udp{.destination = 53}, "unprotected", XDP_PASS},
        {"ipv6_icmp", Ethernet{} / IPv6{} / Icmp6{}, "passed", XDP_PASS},
        {"ipv6_neighbour_solicitation", Ethernet{} / IPv6{.hop_limit = 255} / Icmp6{.type = 135},
         "unprotected", XDP_PASS},
        {"ipv6_forged_neighbour_solicitation", Ethernet{} / IPv6{.hop_limit = 64} / Icmp6{.type = 135},
         "passed", XDP_PASS},
        {"ipv6_extensions",
         Ethernet{} / IPv6{} / Extension{.type = 0} / Extension{.type = 43, .extra_words = 2} /
             Extension{.type = 60} / Tcp{},
         "passed", XDP_PASS},
        {"ipv6_authentication_header", Ethernet{} / IPv6{} / Extension{.type = 51, .extra_words = 4} / Tcp{},
         "passed", XDP_PASS},
        {"ipv6_six_extensions",
         Ethernet{} / IPv6{} / Extension{} / Extension{.type = 60} / Extension{.type = 43} /
             Extension{.type = 60} / Extension{.type = 60} / Extension{.type = 60} / Udp{.destination = 53},
         "unprotected", XDP_PASS},
        {"ipv6_first_fragment", Ethernet{} / IPv6{} / Fragment6{.offset_flags = 1} / Tcp{}, "passed",
         XDP_PASS},
        {"ipv6_later_fragment",
         Ethernet{} / IPv6{} / Fragment6{.offset_flags = 0x81, .next = 17} / Payload{16}, "passed", XDP_PASS},
        {"ipv6_no_next_header", Ethernet{} / IPv6{.next = 59} / Payload{8}, "unprotected", XDP_PASS},
        {"jumbo", Ethernet{} / IPv4{} / Udp{} / Payload{3000}, "passed", XDP_PASS},
    };
}

std::vector<Row> malformed_rows() {
    return {
        {"three_vlans", Ethernet{} / Vlan{} / Vlan{} / Vlan{} / IPv4{} / Tcp{}, "malformed", XDP_DROP},
        {"ipv4_version", Ethernet{} / IPv4{.version_ihl = 0x65} / Tcp{}, "malformed", XDP_DROP},
        {"ipv4_short_header", Ethernet{} / IPv4{.version_ihl = 0x44} / Tcp{}, "malformed", XDP_DROP},
        {"ipv4_total_below_header", Ethernet{} / IPv4{.total_length = 19} / Tcp{}, "malformed", XDP_DROP},
        {"ipv4_total_above_frame", Ethernet{} / IPv4{.total_length = 41} / Tcp{}, "malformed", XDP_DROP},
        {"ipv4_tiny_first_fragment", Ethernet{} / IPv4{.fragment = 0x2000, .protocol = 6} / Payload{8},
         "malformed", XDP_DROP},
        {"tcp_header_in_padding", Ethernet{} / IPv4{.total_length = 30} / Tcp{}, "malformed", XDP_DROP},
        {"tcp_header_length", Ethernet{} / IPv4{} / Tcp{.header_words = 4}, "malformed", XDP_DROP},
        {"tcp_header_longer_than_packet", Ethernet{} / IPv4{} / Tcp{.header_words = 6}, "malformed",
         XDP_DROP},
        {"udp_length_short", Ethernet{} / IPv4{} / Udp{.length = 7}, "malformed", XDP_DROP},
        {"udp_length_long", Ethernet{} / IPv4{} / Udp{.length = 9}, "malformed", XDP_DROP},
        {"ipv6_payload_above_frame", Ethernet{} / IPv6{.payload_length = 21} / Tcp{}, "malformed", XDP_DROP},
        {"ipv6_mapped_ipv4_source", Ethernet{} / IPv6{.source = "::ffff:192.0.2.1"} / Tcp{}, "malformed",
         XDP_DROP},
        {"ipv6_extension_past_end", Ethernet{} / IPv6{.next = 60} / Payload{8}, "malformed", XDP_DROP},
        {"ipv6_seven_extensions",
         Ethernet{} / IPv6{} / Extension{} / Extension{.type = 60} / Extension{.type = 60} /
             Extension{.type = 60} / Extension{.type = 60} / Extension{.type = 60} / Extension{.type = 60} /
             Tcp{},
         "malformed", XDP_DROP},
        {"ipv6_tiny_first_fragment",
         Ethernet{} / IPv6{} / Fragment6{.offset_flags = 1, .next = 6} / Payload{8}, "malformed", XDP_DROP},
    };
}

class Parse : public BpfTest {
  protected:
    void SetUp() override {
        BpfTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        KernelPolicy policy = enforcing();
        policy.ports = {8080, 65535};
        apply(policy);
    }
};

TEST_F(Parse, EveryKindOfPacket) {
    for (const Row& row : rows()) {
        SCOPED_TRACE(row.name);
        expect(row.frame, row.reason, row.action);
    }
}

TEST_F(Parse, MalformedIsDropped) {
    for (const Row& row : malformed_rows()) {
        SCOPED_TRACE(row.name);
        expect(row.frame, row.reason, row.action);
    }
}

// The kernel's test run takes frames of 14 bytes and more; the parser alone is cut further in unit_kernel.
TEST_F(Parse, CutAtEveryLength) {
    for (const auto& table : {rows(), malformed_rows()})
        for (const Row& row : table)
            for (std::size_t length = 14; length < std::min<std::size_t>(row.frame.size(), 160); ++length) {
                SCOPED_TRACE(std::string{row.name} + " cut at " + std::to_string(length));
                const Outcome outcome = program_->run(
                    Bytes(row.frame.begin(), row.frame.begin() + static_cast<std::ptrdiff_t>(length)));
                EXPECT_EQ(outcome.bytes, length);
                EXPECT_TRUE(outcome.reason == "malformed" || outcome.reason == "not_ip") << outcome.reason;
                EXPECT_EQ(outcome.action, outcome.reason == "malformed" ? XDP_DROP : XDP_PASS);
            }
}

TEST_F(Parse, PaddingBelongsToNoPacket) {
    expect_pass(Ethernet{} / IPv4{.total_length = 40} / Tcp{} / Payload{6}, "passed");
}

TEST_F(Parse, NoPolicyPassesEverything) {
    auto fresh = ProgramUnderTest::open(sizes());
    ASSERT_TRUE(fresh);
    const Outcome outcome = (*fresh)->run(Ethernet{} / IPv4{.version_ihl = 0x65} / Tcp{});
    EXPECT_EQ(outcome.reason, "unprotected");
    EXPECT_EQ(outcome.action, XDP_PASS);
}

TEST_F(Parse, ModeOffPassesEverything) {
    KernelPolicy off = enforcing();
    off.mode = KernelMode::kOff;
    off.deny.prefixes = {prefix("198.51.100.0/24")};
    apply(off);
    expect_pass(Ethernet{} / IPv4{} / Tcp{}, "unprotected");
}

}  // namespace
}  // namespace sluice::test
