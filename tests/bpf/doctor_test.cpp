// The doctor on a veth pair of this kernel, in a network namespace of the test's own.
#include "kernel/doctor.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "kernel/bpf_enforcer.hpp"
#include "kernel/xdp_attachment.hpp"

namespace sluice::test {
namespace {

std::string value_of(const std::vector<DoctorCheck>& checks, const std::string& name) {
    const auto found = std::ranges::find(checks, name, &DoctorCheck::name);
    return found == checks.end() ? "no such check" : found->value;
}

class Doctor : public ::testing::Test {
  protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "making interfaces needs root";
        if (::unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "no network namespace of our own";
        ASSERT_EQ(std::system("ip link add out type veth peer name in && ip link set in up mtu 2000"), 0);
    }
    void TearDown() override { static_cast<void>(detach_xdp("", true)); }
};

TEST_F(Doctor, FindsWhatIsThere) {
    const auto report = examine({"in"});
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_TRUE(report->permitted);
    EXPECT_EQ(value_of(report->host, "xdp_program"), "loads");
    ASSERT_EQ(report->interfaces.size(), 1U);
    const InterfaceReport& in = report->interfaces.front();
    EXPECT_EQ(value_of(in.checks, "driver"), "veth");
    EXPECT_EQ(value_of(in.checks, "mtu"), "2000");
    EXPECT_EQ(value_of(in.checks, "link"), "up");
    EXPECT_EQ(value_of(in.checks, "attached"), "nothing");
    EXPECT_FALSE(report->has(Health::kBad));
    EXPECT_EQ(examine({})->interfaces.size(), 2U);
    EXPECT_EQ(examine({"in", "eth7"}).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(examine({"a_name_of_more_than_15_characters"}).error().code, ErrorCode::kNotFound);
    EXPECT_FALSE(read_interface_facts("in")->offloads.empty());
}

TEST_F(Doctor, ForeseesWhatAttachingDoes) {
    const auto foreseen = examine({"in"});
    ASSERT_TRUE(foreseen);
    BpfEnforcerOptions options;
    options.interfaces = {"in"};
    options.source_sets = options.prefix_sets = options.bans = 64;
    const auto enforcer = open_bpf_enforcer(options);
    ASSERT_TRUE(enforcer) << enforcer.error().message;
    const InterfaceState state = (*enforcer)->interfaces().front();
    const InterfaceReport& before = foreseen->interfaces.front();
    EXPECT_NE(before.mode.find(state.mode), std::string::npos) << before.mode;
    EXPECT_EQ(before.via, state.via);

    const auto report = examine({"in"});
    ASSERT_TRUE(report) << report.error().message;
    const InterfaceReport& now = report->interfaces.front();
    EXPECT_EQ(now.mode, state.mode);
    EXPECT_EQ(now.via, state.via);
    EXPECT_TRUE(value_of(now.checks, "attached").starts_with("sluice_xdp"));
    EXPECT_EQ(value_of(now.checks, "pins"), "generation 0");
}

}  // namespace
}  // namespace sluice::test
