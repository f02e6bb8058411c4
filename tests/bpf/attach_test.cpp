// Interfaces, pins, restart and detach, in a network namespace of the test's own.
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include <cstdlib>
#include <filesystem>

#include "bpf/program_under_test.hpp"
#include "kernel/bpf_enforcer.hpp"
#include "kernel/pins.hpp"
#include "kernel/xdp_attachment.hpp"

namespace sluice::test {
namespace {

void shell(const std::string& command) {
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

// `out` sends to `in`; both in this namespace, `in` is protected.
class Attach : public ::testing::Test {
  protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "attaching XDP programs needs root";
        // Each test its own namespace: it vanishes with the interfaces when the next one is entered.
        if (::unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "no network namespace of our own";
        shell(
            "ip link add out type veth peer name in && ip link set out up && ip link set in up && ip link "
            "set lo up");
        shell("ip link set out address 02:00:00:00:00:01 && ip addr add 192.0.2.1/24 dev out");
        shell("ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev out");
    }
    void TearDown() override { static_cast<void>(detach_xdp("", true)); }

    static BpfEnforcerOptions options(XdpMode mode = XdpMode::kAuto) {
        BpfEnforcerOptions made;
        made.interfaces = {"in"};
        made.mode = mode;
        made.source_sets = 1U << 10;
        made.prefix_sets = 1U << 8;
        made.bans = 1U << 8;
        return made;
    }
    static std::unique_ptr<KernelEnforcer> open(const BpfEnforcerOptions& wanted = options()) {
        auto enforcer = open_bpf_enforcer(wanted);
        EXPECT_TRUE(enforcer) << enforcer.error().message;
        return enforcer ? std::move(*enforcer) : nullptr;
    }
    static void send(int datagrams) {
        const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(8080);
        to.sin_addr.s_addr = htonl(0xc0000202);
        for (int i = 0; i < datagrams; ++i)
            ::sendto(fd, "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
        ::close(fd);
        ::usleep(50'000);  // softirq of the peer
    }
    static std::uint64_t count(const KernelEnforcer& enforcer, sluice_reason reason) {
        const auto counters = enforcer.counters();
        return counters ? counters->front().reasons[reason].packets : 0;
    }
};

TEST_F(Attach, CountsDropsAndDetachesWithoutATrace) {
    auto enforcer = open();
    ASSERT_NE(enforcer, nullptr);
    const InterfaceState state = enforcer->interfaces().front();
    EXPECT_EQ(state.mode, "native");
    EXPECT_TRUE(state.attached);
    EXPECT_TRUE(state.via == "dispatcher" || (state.via == "plain" && !state.note.empty())) << state.via;
    EXPECT_FALSE(enforcer->adopted().maps_adopted);

    KernelPolicy policy = enforcing();
    policy.limits = {limit(PacketCount::kUdp, 1, kHour, 10)};
    ASSERT_TRUE(enforcer->apply(policy, SourcePrefix{}, {}, 7));
    send(50);
    EXPECT_EQ(count(*enforcer, SLUICE_LIMIT_UDP), 40U);
    EXPECT_TRUE(enforcer->tick().empty());
    EXPECT_TRUE(enforcer->interfaces().front().attached);

    ASSERT_TRUE(enforcer->detach());
    EXPECT_FALSE(std::filesystem::exists(Pins::of_this_netns()->directory()));
    EXPECT_EQ(std::system("ip link show dev in | grep -q xdp"), 256);
}

TEST_F(Attach, ACrashKeepsDroppingAndARestartAdopts) {
    auto enforcer = open();
    ASSERT_NE(enforcer, nullptr);
    KernelPolicy policy = enforcing();
    policy.deny.prefixes = {prefix("192.0.2.0/24")};
    ASSERT_TRUE(enforcer->apply(policy, SourcePrefix{}, {}, 9));
    send(5);
    EXPECT_EQ(count(*enforcer, SLUICE_DENIED), 5U);
    ASSERT_TRUE(enforcer->ban({prefix("198.51.100.1"), kHour, "kept", BanOrigin::kOperator}));
    {
        const auto second = open_bpf_enforcer(options());
        ASSERT_FALSE(second);
        EXPECT_EQ(second.error().code, ErrorCode::kConflict);
        EXPECT_EQ(detach_xdp("", false).error().code, ErrorCode::kConflict);
    }
    enforcer.reset();  // closes what a kill -9 closes

    send(5);
    auto shown = show_xdp_attachments();
    ASSERT_TRUE(shown) << shown.error().message;
    ASSERT_EQ(shown->size(), 1U);
    EXPECT_FALSE(shown->front().daemon_alive);
    EXPECT_TRUE(shown->front().state.attached);
    EXPECT_EQ(shown->front().generation, 9U);
    EXPECT_EQ(shown->front().reasons[SLUICE_DENIED].packets, 10U);
    const std::uint32_t program = shown->front().program_id;

    enforcer = open();
    ASSERT_NE(enforcer, nullptr);
    EXPECT_TRUE(enforcer->adopted().maps_adopted);
    EXPECT_EQ(enforcer->adopted().generation, 9U);
    EXPECT_EQ(enforcer->generation(), 9U);
    EXPECT_EQ(count(*enforcer, SLUICE_DENIED), 10U);
    EXPECT_EQ(enforcer->bans()->size(), 1U);
    EXPECT_EQ(show_xdp_attachments()->front().program_id, program);  // the same build runs on
    send(5);
    EXPECT_EQ(count(*enforcer, SLUICE_DENIED), 15U);
}

TEST_F(Attach, ADifferentBuildIsReplacedInPlace) {
    auto enforcer = open();
    ASSERT_NE(enforcer, nullptr);
    KernelPolicy policy = enforcing();
    policy.deny.prefixes = {prefix("192.0.2.0/24")};
    ASSERT_TRUE(enforcer->apply(policy, SourcePrefix{}, {}, 3));
    send(5);
    enforcer.reset();
    const std::uint32_t program = show_xdp_attachments()->front().program_id;
    {
        const auto control = Pins::get(Pins::of_this_netns()->directory() + "/control");
        auto memory = MappedMemory::of_map(control->get(), sizeof(sluice_control), "control");
        ASSERT_TRUE(memory);
        memory->as<sluice_control>().front().build = 1;
    }
    enforcer = open();
    ASSERT_NE(enforcer, nullptr);
    EXPECT_NE(show_xdp_attachments()->front().program_id, program);
    EXPECT_TRUE(enforcer->adopted().maps_adopted);
    send(5);
    EXPECT_EQ(count(*enforcer, SLUICE_DENIED), 10U);
}

TEST_F(Attach, AnotherAbiIsReplacedAndSaidSo) {
    auto enforcer = open();
    ASSERT_NE(enforcer, nullptr);
    enforcer.reset();
    {
        const auto control = Pins::get(Pins::of_this_netns()->directory() + "/control");
        auto memory = MappedMemory::of_map(control->get(), sizeof(sluice_control), "control");
        ASSERT_TRUE(memory);
        memory->as<sluice_control>().front().abi_version = SLUICE_ABI_VERSION + 1;
    }
    enforcer = open();
    ASSERT_NE(enforcer, nullptr);
    EXPECT_FALSE(enforcer->adopted().maps_adopted);
    ASSERT_FALSE(enforcer->adopted().notes.empty());
    EXPECT_NE(enforcer->adopted().notes.front().find("ABI version"), std::string::npos);
    EXPECT_TRUE(enforcer->interfaces().front().attached);
}

TEST_F(Attach, GenericModeOnlyWhenAsked) {
    auto generic = open(options(XdpMode::kGeneric));
    ASSERT_NE(generic, nullptr);
    EXPECT_EQ(generic->interfaces().front().mode, "generic");
    generic.reset();
    auto native = open(options(XdpMode::kNative));
    ASSERT_NE(native, nullptr);
    EXPECT_EQ(native->interfaces().front().mode, "native");
}

TEST_F(Attach, FallsBackToGenericAndSaysSo) {
    // A bridge has no native XDP.
    shell("ip link add name bridge0 type bridge && ip link set bridge0 up");
    BpfEnforcerOptions wanted = options();
    wanted.interfaces = {"bridge0"};
    {
        auto enforcer = open(wanted);
        ASSERT_NE(enforcer, nullptr);
        EXPECT_EQ(enforcer->interfaces().front().mode, "generic");
        EXPECT_NE(enforcer->interfaces().front().note.find("native"), std::string::npos);
        ASSERT_TRUE(enforcer->detach());
    }
    wanted.mode = XdpMode::kNative;
    EXPECT_FALSE(open_bpf_enforcer(wanted));
    EXPECT_FALSE(std::filesystem::exists(Pins::of_this_netns()->directory()));
}

TEST_F(Attach, AllInterfacesOrNone) {
    BpfEnforcerOptions wanted = options();
    wanted.interfaces = {"in", "nosuch0"};
    const auto refused = open_bpf_enforcer(wanted);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("nosuch0"), std::string::npos);
    EXPECT_EQ(std::system("ip link show dev in | grep -q xdp"), 256);
    EXPECT_TRUE(show_xdp_attachments()->empty());
}

// Only where the kernel takes libxdp's dispatcher.
TEST_F(Attach, RunsBesideAnotherProgram) {
    auto probe = open();
    ASSERT_NE(probe, nullptr);
    const std::string via = probe->interfaces().front().via;
    const std::string note = probe->interfaces().front().note;
    ASSERT_TRUE(probe->detach());
    probe.reset();
    if (via != "dispatcher") GTEST_SKIP() << note;

    const std::unique_ptr<xdp_program, decltype(&xdp_program__close)> other{
        xdp_program__find_file("xdpfilt_alw_ip.o", nullptr, nullptr), xdp_program__close};
    ASSERT_EQ(libxdp_get_error(other.get()), 0);
    ASSERT_EQ(xdp_program__attach(other.get(), static_cast<int>(::if_nametoindex("in")), XDP_MODE_NATIVE, 0),
              0);
    auto enforcer = open();
    ASSERT_NE(enforcer, nullptr);
    EXPECT_EQ(enforcer->interfaces().front().via, "dispatcher");
    KernelPolicy policy = enforcing();
    policy.deny.prefixes = {prefix("192.0.2.0/24")};
    ASSERT_TRUE(enforcer->apply(policy, SourcePrefix{}, {}, 1));
    send(5);
    EXPECT_EQ(count(*enforcer, SLUICE_DENIED), 5U);
    ASSERT_TRUE(enforcer->detach());
    EXPECT_EQ(xdp_program__detach(other.get(), static_cast<int>(::if_nametoindex("in")), XDP_MODE_NATIVE, 0),
              0)
        << "the other program went with ours";
}

TEST_F(Attach, AForeignProgramIsRefused) {
    // A program of libxdp itself stands for somebody else's, attached without a dispatcher.
    const char* object = "/usr/lib/x86_64-linux-gnu/bpf/xsk_def_xdp_prog.o";
    if (!std::filesystem::exists(object)) GTEST_SKIP() << "no foreign program at hand";
    shell(std::string{"ip link set dev in xdpdrv obj "} + object + " sec xdp >/dev/null 2>&1");
    const auto refused = open_bpf_enforcer(options());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
    EXPECT_NE(refused.error().message.find("xsk_def_prog"), std::string::npos) << refused.error().message;
}

TEST_F(Attach, AnInterfaceNoLongerNamedIsLeft) {
    BpfEnforcerOptions both = options();
    both.interfaces = {"in", "out"};
    open(both).reset();
    auto one = open();
    ASSERT_NE(one, nullptr);
    EXPECT_EQ(std::system("ip link show dev out | grep -q xdp"), 256);
    EXPECT_EQ(show_xdp_attachments()->size(), 1U);
}

}  // namespace
}  // namespace sluice::test
