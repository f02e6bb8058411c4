// Limits, lists, bans and shadow mode, packet by packet. Rates are so slow that the time a test takes changes
// nothing.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <sys/utsname.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "bpf/program_clock.hpp"
#include "bpf/program_under_test.hpp"

namespace sluice::test {
namespace {

using Counts = std::map<std::string, std::uint64_t>;

Bytes tcp_from(const std::string& source) {
    return Ethernet{} / IPv4{.source = source} / Tcp{};
}
Bytes syn_from(const std::string& source) {
    return Ethernet{} / IPv4{.source = source} / Tcp{.syn = true, .ack = false};
}
Bytes udp_from(const std::string& source) {
    return Ethernet{} / IPv4{.source = source} / Udp{};
}
Bytes tcp6_from(const std::string& source) {
    return Ethernet{} / IPv6{.source = source} / Tcp{};
}

class Limits : public BpfTest {
  protected:
    KernelTables& tables() { return program_->tables(); }
    void limited(std::vector<PacketLimit> limits) {
        KernelPolicy policy = enforcing();
        policy.limits = std::move(limits);
        apply(policy);
    }
};

TEST_F(Limits, TheVerifierNeedsAFractionOfWhatItMay) {
    bpf_prog_info info{};
    std::uint32_t bytes = sizeof info;
    ASSERT_EQ(bpf_obj_get_info_by_fd(program_->program(), &info, &bytes), 0);
    if (info.verified_insns == 0) GTEST_SKIP() << "this kernel does not say (before 5.16)";
    RecordProperty("verified_insns", static_cast<int>(info.verified_insns));
    // Older verifiers prune less and look at functions that are not called, too.
    utsname kernel{};
    ASSERT_EQ(::uname(&kernel), 0);
    int major = 0, minor = 0;
    ASSERT_EQ(std::sscanf(kernel.release, "%d.%d", &major, &minor), 2);
    EXPECT_LT(info.verified_insns, major * 100 + minor >= 608 ? 50'000U : 100'000U);  // of a million
}

TEST_F(Limits, PacketsToTheExactOne) {
    limited({limit(PacketCount::kPackets, 1, kHour, 1000)});
    EXPECT_EQ(program_->run_many(tcp_from("192.0.2.1"), 1000), (Counts{{"passed", 1000}}));
    expect_drop(tcp_from("192.0.2.1"), "limit_packets");
    EXPECT_EQ(program_->run_many(tcp_from("192.0.2.1"), 500), (Counts{{"limit_packets", 500}}));
    expect_pass(tcp_from("192.0.2.2"), "passed");
}

TEST_F(Limits, EveryKindCountsItsOwnPackets) {
    struct Kind {
        PacketCount count;
        Bytes counted;
        Bytes other;
        const char* reason;
    };
    const std::vector<Kind> kinds = {
        {PacketCount::kTcpSyn, syn_from("192.0.2.1"), tcp_from("192.0.2.1"), "limit_tcp_syn"},
        {PacketCount::kUdp, udp_from("192.0.2.1"), tcp_from("192.0.2.1"), "limit_udp"},
        {PacketCount::kIcmp, Ethernet{} / IPv4{.source = "192.0.2.1"} / Icmp{}, udp_from("192.0.2.1"),
         "limit_icmp"},
        {PacketCount::kIcmp, Ethernet{} / IPv6{} / Icmp6{}, tcp6_from("2001:db8::1"), "limit_icmp"},
        {PacketCount::kUdp,
         Ethernet{} / IPv4{.source = "192.0.2.1", .fragment = 0x2010, .protocol = 17} / Payload{64},
         tcp_from("192.0.2.1"), "limit_udp"},
    };
    std::uint64_t burst = 10;  // another one each time, so that every limit is new
    for (const Kind& kind : kinds) {
        SCOPED_TRACE(kind.reason);
        limited({limit(kind.count, 1, kHour, ++burst)});
        EXPECT_EQ(program_->run_many(kind.counted, static_cast<std::uint32_t>(burst)),
                  (Counts{{"passed", burst}}));
        expect_drop(kind.counted, kind.reason);
        EXPECT_EQ(program_->run_many(kind.other, 100), (Counts{{"passed", 100}}));
    }
}

TEST_F(Limits, BytesCountWholeFrames) {
    const Bytes frame = Ethernet{} / IPv4{} / Udp{} / Payload{958};
    ASSERT_EQ(frame.size(), 1000U);
    limited({limit(PacketCount::kBytes, 1, kMinute, 10'000)});
    EXPECT_EQ(program_->run_many(frame, 11), (Counts{{"passed", 10}, {"limit_bytes", 1}}));
}

TEST_F(Limits, AFrameLargerThanWhatIsLeftDoesNotConsumeIt) {
    limited({limit(PacketCount::kBytes, 1, kHour, 2000)});
    const Bytes large = Ethernet{} / IPv4{} / Udp{} / Payload{1458};
    const Bytes small = Ethernet{} / IPv4{} / Udp{} / Payload{358};
    expect_pass(large, "passed");
    expect_drop(large, "limit_bytes");
    expect_pass(small, "passed");
}

TEST_F(Limits, ANarrowLimitsDropsAreNotChargedToTheWideOne) {
    limited({limit(PacketCount::kPackets, 1, kHour, 20), limit(PacketCount::kUdp, 1, kHour, 5)});
    EXPECT_EQ(program_->run_many(udp_from("192.0.2.1"), 1000), (Counts{{"passed", 5}, {"limit_udp", 995}}));
    EXPECT_EQ(program_->run_many(tcp_from("192.0.2.1"), 20), (Counts{{"passed", 15}, {"limit_packets", 5}}));
}

// Back to back for about a tenth of a second, after the burst is gone: what passes is what the rate refills.
TEST_F(Limits, RefillsAtItsRateByTheCoarseAndTheExactClock) {
    constexpr std::uint64_t kRate = 100'000;
    struct Case {
        std::uint64_t burst;
        bool exact;  // shorter than two ticks of the coarse clock
    };
    for (const Case& one : {Case{20, true}, Case{20'000, false}}) {
        limited({limit(PacketCount::kPackets, kRate, kSecond, one.burst)});
        const Bytes frame = tcp_from("192.0.2.1");
        // The last packet of this run came at some time before it returned, so what refills counts from its start.
        const Nanos drained = monotonic_now();
        static_cast<void>(program_->run_many(frame, 200'000));
        const ReasonCounts before = program_->counts();
        LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                    .data_size_in = static_cast<std::uint32_t>(frame.size()), .repeat = 1'000'000);
        ASSERT_EQ(bpf_prog_test_run_opts(program_->program(), &options), 0);
        const auto passed =
            static_cast<double>(program_->counts()[SLUICE_PASSED].packets - before[SLUICE_PASSED].packets);
        // Refilled between the two runs as well, up to the burst; setting up a run takes the kernel up to 50
        // ms.
        const double running = static_cast<double>(options.duration) * 1e6 / 1e9 * kRate;
        const double since = static_cast<double>(monotonic_now() - drained) / 1e9 * kRate;
        const double slack = one.exact ? 0 : 800;  // two ticks
        EXPECT_LE(passed, since + slack) << one.burst;
        EXPECT_GE(passed, running - slack) << one.burst;
    }
}

TEST_F(Limits, SourcesAreMaskedAndPrefixesShareALimit) {
    PacketLimit by_prefix = limit(PacketCount::kPackets, 1, kHour, 10);
    by_prefix.per = PacketScope::kPrefix;
    limited({limit(PacketCount::kPackets, 1, kHour, 4), by_prefix});
    EXPECT_EQ(program_->run_many(tcp6_from("2001:db8:1:1::1"), 4), (Counts{{"passed", 4}}));
    expect_drop(tcp6_from("2001:db8:1:1:ffff::2"), "limit_packets");  // the same /64
    EXPECT_EQ(program_->run_many(tcp6_from("2001:db8:1:2::1"), 4), (Counts{{"passed", 4}}));
    EXPECT_EQ(program_->run_many(tcp6_from("2001:db8:1:3::1"), 4),
              (Counts{{"passed", 2}, {"limit_prefix", 2}}));
    EXPECT_EQ(program_->run_many(tcp6_from("2001:db8:2:1::1"), 4), (Counts{{"passed", 4}}));
}

TEST_F(Limits, AllowBeatsEverything) {
    KernelPolicy policy = enforcing();
    policy.limits = {limit(PacketCount::kPackets, 1, kHour, 1)};
    policy.allow.prefixes = {prefix("192.0.2.7"), prefix("2001:db8:5::/48")};
    policy.deny.prefixes = {prefix("192.0.2.0/24"), prefix("2001:db8::/32")};
    apply(policy);
    EXPECT_EQ(program_->run_many(tcp_from("192.0.2.7"), 50), (Counts{{"allowed", 50}}));
    EXPECT_EQ(program_->run_many(tcp6_from("2001:db8:5:ffff::1"), 50), (Counts{{"allowed", 50}}));
    expect_drop(tcp_from("192.0.2.8"), "denied");
    expect_drop(tcp6_from("2001:db8:6::1"), "denied");
    expect_pass(Ethernet{} / IPv4{.source = "192.0.2.7", .total_length = 19} / Tcp{}, "allowed");
    const auto refused = tables().ban({prefix("192.0.2.7"), kHour, "test", BanOrigin::kOperator});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
}

TEST_F(Limits, ShadowPolicyPassesAndCounts) {
    KernelPolicy policy = enforcing();
    policy.mode = KernelMode::kShadow;
    policy.limits = {limit(PacketCount::kPackets, 1, kHour, 3)};
    policy.deny.prefixes = {prefix("192.0.2.0/24")};
    policy.ban = BanRule{.after = 2, .within = kSecond, .duration = kHour};
    apply(policy);
    expect_pass(tcp_from("192.0.2.1"), "shadow");
    expect_pass(Ethernet{} / IPv4{.total_length = 19} / Tcp{}, "shadow");
    EXPECT_EQ(program_->run_many(tcp_from("198.51.100.1"), 10), (Counts{{"passed", 3}, {"shadow", 7}}));
    EXPECT_TRUE(tables().bans()->empty());
}

TEST_F(Limits, AShadowLimitSpeaksOnlyWhenNoOtherDrops) {
    PacketLimit shadow = limit(PacketCount::kUdp, 1, kHour, 2);
    shadow.mode = LimitMode::kShadow;
    limited({shadow, limit(PacketCount::kPackets, 1, kHour, 5)});
    EXPECT_EQ(program_->run_many(udp_from("192.0.2.1"), 10),
              (Counts{{"passed", 2}, {"shadow", 3}, {"limit_packets", 5}}));
}

TEST_F(Limits, TheKernelBansAtTheLastStrawWithOneEvent) {
    KernelPolicy policy = enforcing();
    policy.limits = {limit(PacketCount::kPackets, 1, kHour, 10)};
    policy.ban = BanRule{.after = 5, .within = 10 * kSecond, .duration = 300 * kMillisecond};
    apply(policy);
    EXPECT_EQ(program_->run_many(tcp_from("192.0.2.1"), 100),
              (Counts{{"passed", 10}, {"limit_packets", 5}, {"banned", 85}}));
    expect_pass(tcp_from("192.0.2.2"), "passed");

    const auto bans = tables().bans();
    ASSERT_EQ(bans->size(), 1U);
    EXPECT_EQ(bans->front().source, prefix("192.0.2.1"));
    EXPECT_EQ(bans->front().reason, "limit_packets");
    EXPECT_EQ(bans->front().origin, BanOrigin::kKernel);
    EXPECT_EQ(bans->front().packets, 85U);

    std::size_t began = 0, samples = 0;
    tables().drain([&](const KernelEvent& event) {
        EXPECT_EQ(event.address, prefix("192.0.2.1").address());
        if (event.kind == KernelEvent::Kind::kBanBegan) {
            ++began;
            EXPECT_EQ(event.source, prefix("192.0.2.1"));
            EXPECT_EQ(event.limit, "tested");
            EXPECT_EQ(event.ban_duration, 300 * kMillisecond);
        } else {
            ++samples;
            EXPECT_EQ(event.destination_port, 8080);
            EXPECT_EQ(event.protocol, 6);
        }
    });
    EXPECT_EQ(began, 1U);
    EXPECT_GE(samples, 1U);
    EXPECT_LE(samples, 32U);

    std::this_thread::sleep_for(std::chrono::milliseconds(320));
    expect_drop(tcp_from("192.0.2.1"), "limit_packets");  // expired by the kernel's clock, no one removed it
    EXPECT_TRUE(tables().bans()->empty());
    const auto expired = tables().tick();
    ASSERT_EQ(expired.size(), 1U);
    EXPECT_EQ(expired.front().packets, 85U);
    EXPECT_EQ(tables().maps().front().entries, 0U);
}

TEST_F(Limits, NeverBannedSourcesAreOnlyLimited) {
    KernelPolicy policy = enforcing();
    policy.limits = {limit(PacketCount::kPackets, 1, kHour, 1)};
    policy.ban = BanRule{.after = 1, .within = kSecond, .duration = kHour};
    apply(policy, {prefix("192.0.2.0/24"), prefix("2001:db8::5")});
    EXPECT_EQ(program_->run_many(tcp_from("192.0.2.9"), 20), (Counts{{"passed", 1}, {"limit_packets", 19}}));
    // The proxy's whole /64 is one source: banning a neighbour would ban the proxy.
    EXPECT_EQ(program_->run_many(tcp6_from("2001:db8::6"), 20),
              (Counts{{"passed", 1}, {"limit_packets", 19}}));
    EXPECT_EQ(program_->run_many(tcp6_from("2001:db8:0:1::6"), 20)["banned"], 18U);
    EXPECT_EQ(tables().ban({prefix("192.0.2.9"), kHour, "", BanOrigin::kEscalation}).error().code,
              ErrorCode::kConflict);
}

TEST_F(Limits, BansArePlacedListedExplainedAndLifted) {
    limited({});
    const IpPrefix host = prefix("192.0.2.1"), net = prefix("198.51.100.0/24"),
                   v6 = prefix("2001:db8:0:1::/64");
    for (const IpPrefix& source : {host, net, v6})
        ASSERT_TRUE(tables().ban({source, kHour, "too many tries", BanOrigin::kEscalation}));
    expect_drop(tcp_from("192.0.2.1"), "banned");
    expect_pass(tcp_from("192.0.2.2"), "passed");
    expect_drop(udp_from("198.51.100.77"), "banned");
    expect_drop(tcp6_from("2001:db8:0:1:ffff::9"), "banned");
    expect_pass(tcp6_from("2001:db8:0:2::9"), "passed");
    EXPECT_EQ(tables().bans()->size(), 3U);
    const auto explained = tables().explain(*IpAddress::parse("198.51.100.77"));
    EXPECT_EQ(explained->reason, "banned");
    ASSERT_TRUE(explained->ban);
    EXPECT_EQ(explained->ban->source, net);
    EXPECT_EQ(explained->ban->reason, "too many tries");

    ASSERT_TRUE(tables().lift(net));
    expect_pass(udp_from("198.51.100.77"), "passed");
    EXPECT_EQ(tables().lift(net).error().code, ErrorCode::kNotFound);
    // A ban against what a new policy allows is lifted by it.
    KernelPolicy policy = enforcing();
    policy.allow.prefixes = {host};
    apply(policy);
    EXPECT_EQ(tables().bans()->size(), 1U);
}

TEST_F(Limits, BanRequestsAreChecked) {
    limited({});
    const auto code = [&](const BanRequest& request) { return tables().ban(request).error().code; };
    EXPECT_EQ(code({IpPrefix{*IpAddress::parse("0.0.0.0"), 0}, kHour, "", BanOrigin::kOperator}),
              ErrorCode::kInvalid);
    EXPECT_EQ(code({prefix("192.0.2.1"), 0, "", BanOrigin::kOperator}), ErrorCode::kInvalid);
    EXPECT_EQ(code({prefix("192.0.2.1"), kHour, std::string(64, 'x'), BanOrigin::kOperator}),
              ErrorCode::kInvalid);
    for (const unsigned length : {8U, 16U, 24U})
        EXPECT_TRUE(tables().ban(
            {IpPrefix{*IpAddress::parse("192.0.2.1"), length}, kHour, "", BanOrigin::kOperator}));
    EXPECT_EQ(code({prefix("10.0.0.0/12"), kHour, "", BanOrigin::kOperator}), ErrorCode::kExhausted);
}

TEST_F(Limits, AFullBanMapIsCountedAndLimitsGoOn) {
    auto small = ProgramUnderTest::open({64, 64, 1});
    ASSERT_TRUE(small);
    program_ = std::move(*small);
    KernelPolicy policy = enforcing();
    policy.limits = {limit(PacketCount::kPackets, 1, kHour, 1)};
    policy.ban = BanRule{.after = 1, .within = kSecond, .duration = kHour};
    apply(policy);
    std::uint64_t banned = 0, limited_packets = 0;
    for (int i = 1; i <= 20; ++i) {
        auto counts = program_->run_many(tcp_from("192.0.2." + std::to_string(i)), 3);
        banned += counts["banned"];
        limited_packets += counts["limit_packets"];
    }
    EXPECT_GE(banned, 1U);
    EXPECT_EQ(banned + limited_packets, 40U);
    EXPECT_GT(program_->statistics().bans_refused, 0U);
    EXPECT_EQ(tables().maps().front().entries, tables().bans()->size());
}

TEST_F(Limits, OffendersStayWhenForgedSourcesFillTheTable) {
    auto small = ProgramUnderTest::open({16, 16, 64});  // 128 entries
    ASSERT_TRUE(small);
    program_ = std::move(*small);
    limited({limit(PacketCount::kPackets, 100, kHour, 100)});
    EXPECT_EQ(program_->run_many(tcp_from("192.0.2.1"), 200),
              (Counts{{"passed", 100}, {"limit_packets", 100}}));
    std::uint64_t forged_passed = 0;
    for (int i = 0; i < 2000; ++i)
        forged_passed +=
            program_->run(tcp_from("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250)))
                .reason == "passed";
    EXPECT_EQ(forged_passed, 2000U);  // no source pays for another
    expect_drop(tcp_from("192.0.2.1"), "limit_packets");
    EXPECT_GT(program_->statistics().sources_evicted, 1000U);
}

TEST_F(Limits, ASwapKeepsTheStateOfLimitsThatStayTheSame) {
    PacketLimit packets = limit(PacketCount::kPackets, 1, kHour, 10);
    limited({packets});
    EXPECT_EQ(program_->run_many(tcp_from("192.0.2.1"), 11)["passed"], 10U);
    const ReasonCounts before = program_->counts();
    packets.name = "renamed";
    limited({limit(PacketCount::kUdp, 1, kHour, 5), packets, limit(PacketCount::kTcpSyn, 1, kHour, 5)});
    EXPECT_EQ(program_->counts(), before);
    expect_drop(tcp_from("192.0.2.1"), "limit_packets");
    packets.burst = 20;  // another limit: it starts with a full allowance
    limited({packets});
    EXPECT_EQ(program_->run_many(tcp_from("192.0.2.1"), 30)["passed"], 20U);
}

TEST_F(Limits, ExplainTellsWhatIsLeft) {
    limited({limit(PacketCount::kPackets, 1, kHour, 10)});
    static_cast<void>(program_->run_many(tcp_from("192.0.2.1"), 4));
    auto explained = tables().explain(*IpAddress::parse("192.0.2.1"));
    ASSERT_EQ(explained->limits.size(), 1U);
    EXPECT_EQ(explained->limits[0].burst, 10U);
    EXPECT_EQ(explained->limits[0].available, 6U);
    EXPECT_EQ(explained->limits[0].key, "192.0.2.1");
    EXPECT_EQ(explained->verdict, "pass");
    static_cast<void>(program_->run_many(tcp_from("192.0.2.1"), 10));
    explained = tables().explain(*IpAddress::parse("192.0.2.1"));
    EXPECT_EQ(explained->verdict, "drop");
    EXPECT_EQ(explained->reason, "limit_packets");
}

TEST_F(Limits, TopSourcesAreEstimatedWithinTheBoundThatIsSaid) {
    limited({limit(PacketCount::kUdp, 1, kHour, 1)});
    static_cast<void>(program_->run_many(udp_from("192.0.2.1"), 100'000));
    static_cast<void>(program_->run_many(tcp_from("192.0.2.2"), 200'000));
    const auto top = tables().top(TopOf::kSources, TopBy::kPackets, 5);
    ASSERT_EQ(top.size(), 2U);
    // Chance may exceed two standard deviations, but not six.
    const auto near = [](std::uint64_t estimate, std::uint64_t truth, std::uint64_t error) {
        return estimate + 3 * error >= truth && estimate <= truth + 3 * error;
    };
    EXPECT_EQ(top[0].who.to_string(), "192.0.2.2");
    EXPECT_TRUE(near(top[0].packets, 200'000, top[0].error)) << top[0].packets << " ± " << top[0].error;
    EXPECT_LT(top[0].error, 10'000U);
    EXPECT_EQ(top[0].bytes, top[0].packets * tcp_from("192.0.2.2").size());
    EXPECT_EQ(top[0].drops, 0U);
    const auto drops = tables().top(TopOf::kSources, TopBy::kDrops, 5);
    ASSERT_EQ(drops.size(), 1U);
    EXPECT_EQ(drops[0].who.to_string(), "192.0.2.1");
    EXPECT_TRUE(near(drops[0].drops, 100'000, drops[0].error)) << drops[0].drops << " ± " << drops[0].error;
    const auto prefixes = tables().top(TopOf::kPrefixes, TopBy::kPackets, 5);
    ASSERT_EQ(prefixes.size(), 1U);
    EXPECT_EQ(prefixes[0].who.to_string(), "192.0.2.0/24");
    EXPECT_TRUE(near(prefixes[0].packets, 300'000, prefixes[0].error));
}

// Every source of the flood sends one packet; two others send a twenty-fifth of it each.
TEST_F(Limits, TopSourcesAreFoundAmongForgedOnes) {
    limited({limit(PacketCount::kPackets, 1000, kSecond, 1'000'000)});
    constexpr std::uint32_t kForged = 50'000, kHeavyEvery = 25;
    for (std::uint32_t i = 0; i < kForged; ++i) {
        static_cast<void>(
            program_->run(tcp_from("10." + std::to_string(i >> 16) + "." + std::to_string(i >> 8 & 255) +
                                   "." + std::to_string(i & 255))));
        if (i % kHeavyEvery == 0)
            for (const char* heavy : {"192.0.2.1", "198.51.100.1"})
                static_cast<void>(program_->run(tcp_from(heavy)));
    }
    const auto top = tables().top(TopOf::kSources, TopBy::kPackets, 2);
    ASSERT_EQ(top.size(), 2U);
    for (const TopTalker& talker : top) {
        EXPECT_TRUE(talker.who.to_string() == "192.0.2.1" || talker.who.to_string() == "198.51.100.1")
            << talker.who.to_string() << " " << talker.packets;
        EXPECT_GE(talker.packets + 3 * talker.error, kForged / kHeavyEvery);
        EXPECT_LE(talker.packets, kForged / kHeavyEvery + 3 * talker.error);
    }
}

TEST_F(Limits, PortGroupsHaveLimitsAndBansOfTheirOwn) {
    const auto to_port = [](std::uint16_t port) {
        return Ethernet{} / IPv4{.source = "192.0.2.1"} / Udp{.destination = port};
    };
    KernelPolicy policy = enforcing();
    policy.limits = {limit(PacketCount::kPackets, 1, kHour, 3)};
    policy.ports = {80};
    policy.port_groups = {{"dns", {53, 853}, {limit(PacketCount::kUdp, 1, kHour, 5)}, 0},
                          {"game", {27015}, {limit(PacketCount::kPackets, 1, kHour, 7)}, 0},
                          {"free", {9000}, {}, 0}};
    apply(policy);
    EXPECT_EQ(program_->run_many(to_port(53), 4), (Counts{{"passed", 4}}));
    EXPECT_EQ(program_->run_many(to_port(853), 4), (Counts{{"passed", 1}, {"limit_udp", 3}})) << "one group";
    EXPECT_EQ(program_->run_many(to_port(27015), 9), (Counts{{"passed", 7}, {"limit_packets", 2}}));
    EXPECT_EQ(program_->run_many(to_port(80), 9), (Counts{{"passed", 3}, {"limit_packets", 6}}));
    EXPECT_EQ(program_->run_many(to_port(9000), 50), (Counts{{"passed", 50}}));
    EXPECT_EQ(program_->run_many(to_port(443), 50), (Counts{{"unprotected", 50}}));
    const auto explained = tables().explain(*IpAddress::parse("192.0.2.1"));
    ASSERT_TRUE(explained);
    ASSERT_EQ(explained->limits.size(), 3U);
    EXPECT_EQ(explained->limits[1].name, "dns/tested");
    EXPECT_EQ(explained->limits[1].available, 0U);

    // What was spent stays with the group, whatever its place in the list and its ports.
    std::swap(policy.port_groups[0], policy.port_groups[2]);
    policy.port_groups[2].ports = {53};
    policy.port_groups.push_back({"late", {853}, {limit(PacketCount::kUdp, 1, kHour, 5)}, 0});
    policy.other_ports = true;
    apply(policy, {}, 2);
    EXPECT_EQ(program_->run_many(to_port(53), 1), (Counts{{"limit_udp", 1}}));
    EXPECT_EQ(program_->run_many(to_port(27015), 1), (Counts{{"limit_packets", 1}}));
    EXPECT_EQ(program_->run_many(to_port(853), 6), (Counts{{"passed", 5}, {"limit_udp", 1}}));
    EXPECT_EQ(program_->run_many(to_port(443), 1), (Counts{{"limit_packets", 1}})) << "as port 80";

    // A ban holds for all ports.
    policy.ban = BanRule{.after = 3, .within = kMinute, .duration = kMinute};
    apply(policy, {}, 3);
    EXPECT_EQ(program_->run_many(to_port(53), 5), (Counts{{"limit_udp", 3}, {"banned", 2}}));
    EXPECT_EQ(program_->run_many(to_port(9000), 5), (Counts{{"banned", 5}}));
}

class SmallTables : public Limits {
  protected:
    TableSizes sizes() const override { return {16, 16, 64}; }
    static Bytes forged(std::uint32_t i, std::uint16_t port) {
        return Ethernet{} /
               IPv4{.source = "10." + std::to_string(i >> 16) + "." + std::to_string(i >> 8 & 255) + "." +
                              std::to_string(i & 255)} /
               Udp{.destination = port};
    }
};

TEST_F(SmallTables, AFloodOnOneGroupEvictsNobodyFromAnother) {
    KernelPolicy policy = enforcing();
    policy.limits = {limit(PacketCount::kPackets, 1, kHour, 10)};
    policy.port_groups = {{"a", {1000}, policy.limits, 0}, {"b", {2000}, policy.limits, 0}};
    policy.other_ports = true;
    apply(policy);
    const auto of_source = [](std::uint16_t port) {
        return Ethernet{} / IPv4{.source = "192.0.2.1"} / Udp{.destination = port};
    };
    for (const std::uint16_t port : std::initializer_list<std::uint16_t>{1000, 2000, 80})
        EXPECT_EQ(program_->run_many(of_source(port), 2), (Counts{{"passed", 2}}));
    for (std::uint32_t i = 0; i < 6000; ++i)  // each thrice, so that they weigh more than those who sent two
        static_cast<void>(program_->run(forged(i / 3, 1000)));
    EXPECT_GT(program_->statistics().sources_evicted, 1000U);
    EXPECT_EQ(program_->run_many(of_source(2000), 10), (Counts{{"passed", 8}, {"limit_packets", 2}}));
    EXPECT_EQ(program_->run_many(of_source(80), 10), (Counts{{"passed", 8}, {"limit_packets", 2}}));
    EXPECT_EQ(program_->run_many(of_source(1000), 10), (Counts{{"passed", 10}})) << "it was evicted there";
}

TEST_F(SmallTables, TheGateKeepsThoseWhoAreInAndLeavesTheRestToTheirPrefix) {
    KernelPolicy policy = enforcing();
    policy.limits = {limit(PacketCount::kPackets, 1, kHour, 10), limit(PacketCount::kUdp, 1, kHour, 500)};
    policy.limits[1].per = PacketScope::kPrefix;
    policy.newcomers = Rate{1, kHour};  // one a tick
    apply(policy);
    auto clock = ProgramClock::of(*program_);
    ASSERT_TRUE(clock) << clock.error().message;
    ASSERT_TRUE(clock->set(kHour));
    const Bytes known = Ethernet{} / IPv4{.source = "192.0.2.1"} / Udp{};
    EXPECT_EQ(program_->run_many(known, 2), (Counts{{"passed", 2}}));
    unsigned passed = 0, refused = 0;
    for (std::uint32_t i = 0; i < 2000; ++i) {
        const std::string reason = program_->run(forged(i & 255, 80)).reason;
        passed += reason == "passed";
        refused += reason == "limit_prefix";
    }
    EXPECT_EQ(passed, 500U) << "of one /24";
    EXPECT_EQ(refused, 1500U);
    // Real ticks of this machine pass meanwhile, and each lets one in.
    EXPECT_GT(program_->statistics().newcomers_skipped, 1000U);
    EXPECT_EQ(program_->run_many(known, 10), (Counts{{"passed", 8}, {"limit_packets", 2}}));
}

TEST_F(Limits, AnInvalidPolicyIsRefusedAndTheOldOneStays) {
    limited({limit(PacketCount::kPackets, 1, kHour, 3)});
    KernelPolicy bad = enforcing();
    bad.limits = {limit(PacketCount::kBytes, 1, kHour, 100)};
    const auto refused = tables().apply(bad, SourcePrefix{}, {}, 2);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
    EXPECT_EQ(tables().generation(), 1U);
    EXPECT_EQ(program_->run_many(tcp_from("192.0.2.1"), 4), (Counts{{"passed", 3}, {"limit_packets", 1}}));
}

TEST_F(Limits, HundredThousandDenyPrefixesInTwoSeconds) {
    KernelPolicy policy = enforcing();
    for (unsigned i = 0; i < 100'000; ++i) {
        const auto byte = [i](unsigned shift) { return static_cast<std::uint8_t>(i >> shift); };
        policy.deny.prefixes.emplace_back(
            IpAddress::from_v4({static_cast<std::uint8_t>(11 + byte(16)), byte(8), byte(0), 64}), 26);
    }
    const Nanos start = monotonic_now();
    apply(policy);
    EXPECT_LT(monotonic_now() - start, 2 * kSecond);
    for (const auto& [address, reason] :
         std::vector<std::pair<const char*, const char*>>{{"11.0.0.63", "passed"},
                                                          {"11.0.0.64", "denied"},
                                                          {"11.0.0.127", "denied"},
                                                          {"11.0.0.128", "passed"},
                                                          {"12.5.7.100", "denied"},
                                                          {"12.5.7.200", "passed"},
                                                          {"12.134.159.64", "denied"},
                                                          {"12.134.160.64", "passed"},
                                                          {"10.255.255.255", "passed"},
                                                          {"223.0.0.1", "passed"}}) {
        SCOPED_TRACE(address);
        EXPECT_EQ(program_->run(tcp_from(address)).reason, reason);
    }
}

TEST_F(Limits, ExactAcrossProcessors) {
    limited({limit(PacketCount::kPackets, 1, kMinute, 100'000)});
    static_cast<void>(program_->run(tcp_from("192.0.2.1")));  // the entry is there before the race
    const auto flood = [&] {
        const Bytes frame = tcp_from("192.0.2.1");
        LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                    .data_size_in = static_cast<std::uint32_t>(frame.size()), .repeat = 150'000);
        EXPECT_EQ(bpf_prog_test_run_opts(program_->program(), &options), 0);
    };
    std::thread other{flood};
    flood();
    other.join();
    EXPECT_EQ(program_->counts()[SLUICE_PASSED].packets, 100'000U);
    EXPECT_EQ(program_->counts()[SLUICE_LIMIT_PACKETS].packets, 200'001U);
}

}  // namespace
}  // namespace sluice::test
