// Captures: which packets are copied, what stands in the copy, and where it ends.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "bpf/program_under_test.hpp"

namespace sluice::test {
namespace {

struct Copy {
    Nanos time;
    std::string interface, verdict, reason, would;
    std::uint32_t frame_bytes;
    Bytes bytes;
};

Bytes udp_from(const std::string& source, std::size_t payload = 400) {
    return Ethernet{} / IPv4{.source = source} / Udp{} / Payload{payload};
}

class Capture : public BpfTest {
  protected:
    PacketCapture& capture() { return program_->tables().capture(); }
    static CaptureRequest of(const std::string& source) {
        CaptureRequest request;
        request.source = prefix(source);
        request.duration = kMinute;
        return request;
    }
    void start(const CaptureRequest& request) {
        const auto started = capture().start(request);
        ASSERT_TRUE(started) << started.error().message;
    }
    std::vector<Copy> drain() {
        std::vector<Copy> copies;
        progress_ = capture().drain([&](const CapturedPacket& packet) {
            copies.push_back({packet.time, packet.interface, std::string{packet.verdict},
                              std::string{packet.reason}, std::string{packet.would}, packet.frame_bytes,
                              Bytes{packet.bytes.begin(), packet.bytes.end()}});
        });
        return copies;
    }
    bool asks_the_program() const {
        auto memory = MappedMemory::of_map(program_->tables().descriptors().control.get(),
                                           sizeof(sluice_control), "control");
        return memory && memory->as<sluice_control>().front().capturing != 0;
    }

    CaptureProgress progress_;
};

TEST_F(Capture, CopiesTheFirstBytesAndSaysWhy) {
    KernelPolicy policy = enforcing();
    policy.deny.prefixes = {prefix("192.0.2.1")};
    apply(policy);
    CaptureRequest request = of("192.0.2.0/24");
    request.snap_bytes = 60;
    start(request);
    const Bytes denied = udp_from("192.0.2.1"), passed = udp_from("192.0.2.2", 0);
    const Nanos before = monotonic_now();
    expect_drop(denied, "denied");
    expect_pass(passed, "passed");
    const std::vector<Copy> copies = drain();
    ASSERT_EQ(copies.size(), 2U);
    EXPECT_EQ(copies[0].bytes, (Bytes{denied.begin(), denied.begin() + 60}));
    EXPECT_EQ(copies[0].frame_bytes, denied.size());
    EXPECT_EQ(copies[0].verdict, "drop");
    EXPECT_EQ(copies[0].reason, "denied");
    EXPECT_EQ(copies[0].interface, "lo");  // where a test run's packets come from
    EXPECT_GE(copies[0].time, before);
    EXPECT_LE(copies[0].time, copies[1].time);
    EXPECT_LE(copies[1].time, monotonic_now());
    EXPECT_EQ(copies[1].bytes, passed);  // shorter than what was asked for
    EXPECT_EQ(copies[1].verdict, "pass");
    EXPECT_EQ(copies[1].reason, "passed");
    EXPECT_FALSE(progress_.over);
    EXPECT_EQ(progress_.lost, 0U);
}

TEST_F(Capture, TellsWhatShadowModeWouldHaveDroppedFor) {
    KernelPolicy policy = enforcing();
    policy.mode = KernelMode::kShadow;
    policy.deny.prefixes = {prefix("2001:db8::/32")};
    apply(policy);
    start(of("2001:db8::1"));
    expect_pass(Ethernet{} / IPv6{} / Tcp{}, "shadow");
    const std::vector<Copy> copies = drain();
    ASSERT_EQ(copies.size(), 1U);
    EXPECT_EQ(copies[0].verdict, "pass");
    EXPECT_EQ(copies[0].reason, "shadow");
    EXPECT_EQ(copies[0].would, "denied");
}

TEST_F(Capture, NoOtherSourceAndNoOtherFamily) {
    apply(enforcing());
    start(of("192.0.2.1"));
    expect_pass(udp_from("192.0.2.2"), "passed");
    expect_pass(Ethernet{} / IPv6{} / Tcp{}, "passed");
    expect_pass(Ethernet{.type = 0x0806} / Payload{46}, "not_ip");
    EXPECT_TRUE(drain().empty());
    start(of("::/0"));
    expect_pass(udp_from("192.0.2.1"), "passed");
    EXPECT_TRUE(drain().empty());
    expect_pass(Ethernet{} / IPv6{} / Tcp{}, "passed");
    EXPECT_EQ(drain().size(), 1U);
}

TEST_F(Capture, OnlyTheVerdictAskedFor) {
    KernelPolicy policy = enforcing();
    policy.limits = {limit(PacketCount::kUdp, 1, kHour, 3)};
    apply(policy);
    for (const auto verdicts : {CapturedVerdicts::kDropped, CapturedVerdicts::kPassed}) {
        const bool dropped = verdicts == CapturedVerdicts::kDropped;
        CaptureRequest request = of("198.51.100.0/24");
        request.verdicts = verdicts;
        start(request);
        program_->run_many(udp_from(dropped ? "198.51.100.1" : "198.51.100.2"), 10);
        const std::vector<Copy> copies = drain();
        EXPECT_EQ(copies.size(), dropped ? 7U : 3U);
        for (const Copy& copy : copies) EXPECT_EQ(copy.reason, dropped ? "limit_udp" : "passed");
    }
}

TEST_F(Capture, EndsWithItsBudgetAndAsksTheProgramNoMore) {
    apply(enforcing());
    CaptureRequest request = of("192.0.2.1");
    request.packets = 10;
    start(request);
    EXPECT_TRUE(asks_the_program());
    program_->run_many(udp_from("192.0.2.1"), 50);
    EXPECT_EQ(drain().size(), 10U);
    EXPECT_TRUE(progress_.over);
    EXPECT_EQ(progress_.lost, 0U);
    EXPECT_FALSE(asks_the_program());
}

TEST_F(Capture, EndsWithItsTime) {
    apply(enforcing());
    CaptureRequest request = of("192.0.2.1");
    request.duration = 1;
    start(request);
    expect_pass(udp_from("192.0.2.1"), "passed");
    EXPECT_TRUE(drain().empty());
    EXPECT_TRUE(progress_.over);
    EXPECT_FALSE(asks_the_program());
}

TEST_F(Capture, AFullRingIsCounted) {
    apply(enforcing());
    CaptureRequest request = of("192.0.2.1");
    request.packets = CaptureRequest::kMostPackets;
    start(request);
    constexpr std::uint32_t kSent = 3000;
    program_->run_many(udp_from("192.0.2.1"), kSent);
    const std::size_t first = drain().size();
    EXPECT_GT(progress_.lost, 0U);
    EXPECT_EQ(first + progress_.lost, kSent);
    EXPECT_FALSE(progress_.over);
    const std::uint64_t lost = progress_.lost;
    program_->run_many(udp_from("192.0.2.1"), 100);  // there is room again
    EXPECT_EQ(drain().size(), 100U);
    EXPECT_EQ(progress_.lost, lost);
}

TEST_F(Capture, ANewOneDoesNotSeeThePacketsOfTheOneBefore) {
    apply(enforcing());
    start(of("192.0.2.1"));
    expect_pass(udp_from("192.0.2.1"), "passed");
    capture().stop();
    expect_pass(udp_from("192.0.2.1"), "passed");
    start(of("192.0.2.2"));
    expect_pass(udp_from("192.0.2.1"), "passed");
    EXPECT_TRUE(drain().empty());
}

TEST_F(Capture, RefusesWhatIsOutOfRange) {
    for (const auto& [change, named] : std::vector<std::pair<void (*)(CaptureRequest&), std::string>>{
             {[](CaptureRequest& request) { request.packets = 0; }, "packets"},
             {[](CaptureRequest& request) { request.packets = 10'001; }, "packets"},
             {[](CaptureRequest& request) { request.duration = 0; }, "seconds"},
             {[](CaptureRequest& request) { request.duration = 301 * kSecond; }, "301 seconds"},
             {[](CaptureRequest& request) { request.snap_bytes = 0; }, "bytes"},
             {[](CaptureRequest& request) { request.snap_bytes = 257; }, "257 bytes"}}) {
        CaptureRequest request = of("192.0.2.1");
        change(request);
        const auto refused = capture().start(request);
        ASSERT_FALSE(refused) << named;
        EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
        EXPECT_NE(refused.error().message.find(named), std::string::npos) << refused.error().message;
    }
    EXPECT_FALSE(asks_the_program());
}

}  // namespace
}  // namespace sluice::test
