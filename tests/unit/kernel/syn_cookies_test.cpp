#include "kernel/syn_cookies.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "unit/api/fakes.hpp"
#include "unit/policy/load.hpp"

namespace sluice {
namespace {

// One sample every quarter of a second.
bool feed(SynPressure& pressure, SynPressure::Sample& sample, Nanos time, std::uint64_t syns_per_s,
          std::uint64_t opened_per_s) {
    bool lasts = false;
    for (const Nanos end = sample.time + time; sample.time < end;) {
        sample.time += kSecond / 4;
        sample.syns += syns_per_s / 4;
        sample.opened += opened_per_s / 4;
        lasts = pressure.observe(sample);
    }
    return lasts;
}

TEST(SynPressure, BusyIsNoFlood) {
    SynPressure pressure;
    SynPressure::Sample sample{.time = kSecond};
    EXPECT_FALSE(feed(pressure, sample, kMinute, 40'000, 40'000));
    EXPECT_FALSE(feed(pressure, sample, kMinute, 40'000, 39'900));
    EXPECT_FALSE(feed(pressure, sample, kMinute, 1000, 40'000)) << "connections to ports that are not judged";
}

TEST(SynPressure, OnWithinTwoSecondsOffAfterThirtyOfQuiet) {
    SynPressure pressure;
    SynPressure::Sample sample{.time = kSecond};
    EXPECT_FALSE(feed(pressure, sample, 10 * kSecond, 1000, 1000));
    EXPECT_TRUE(feed(pressure, sample, 2 * kSecond, 1400, 1000));
    EXPECT_TRUE(feed(pressure, sample, 29 * kSecond, 1000, 1000)) << "not yet quiet for long enough";
    EXPECT_TRUE(feed(pressure, sample, 2 * kSecond, 1120, 1000)) << "between the bounds it stays as it is";
    EXPECT_TRUE(feed(pressure, sample, 29 * kSecond, 1000, 1000));
    EXPECT_FALSE(feed(pressure, sample, 3 * kSecond, 1000, 1000));
    EXPECT_FALSE(feed(pressure, sample, 10 * kSecond, 1120, 1000)) << "between the bounds it stays as it is";
}

TEST(SynPressure, TheKernelsOwnCookiesAreASignAtOnce) {
    SynPressure pressure;
    EXPECT_FALSE(pressure.observe({.time = 1, .syns = 5, .opened = 5, .kernel_cookies = 7}));
    EXPECT_TRUE(pressure.observe({.time = kSecond / 4, .syns = 9, .opened = 9, .kernel_cookies = 8}));
}

TEST(SynPressure, CountersThatStartAnewAreNoFlood) {
    SynPressure pressure;
    pressure.observe({.time = kSecond, .syns = 1000, .opened = 1'000'000});
    EXPECT_FALSE(pressure.observe({.time = 3 * kSecond, .syns = 900'000, .opened = 0}));
}

TEST(TcpSettings, WindowScaleIsTheKernels) {
    EXPECT_EQ(window_scale_of(6'291'456), 7U);  // Linux's default tcp_rmem
    EXPECT_EQ(window_scale_of(65'535), 0U);
    EXPECT_EQ(window_scale_of(65'536), 1U);
    EXPECT_EQ(window_scale_of(0), 0U);
    EXPECT_EQ(window_scale_of(~0ULL), 14U);
}

TEST(AnswersWouldStray, WhereTagsAreStrippedOffVlans) {
    const std::string config =
        "VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\n"
        "eth0.10        | 10  | eth0\nweb            | 20  | eth1\n";
    InterfaceFacts facts;
    facts.name = "eth0";
    facts.vlans = vlans_on("eth0", config);
    EXPECT_EQ(facts.vlans, std::vector<std::string>{"eth0.10"});
    EXPECT_EQ(answers_would_stray(facts), "") << "tags are not stripped";
    facts.offloads["rx-vlan-hw-parse"] = true;
    EXPECT_NE(answers_would_stray(facts).find("ethtool -K eth0 rxvlan off"), std::string::npos);
    facts.vlans = vlans_on("eth2", config);
    EXPECT_EQ(answers_would_stray(facts), "") << "no VLANs on it";
    EXPECT_TRUE(vlans_on("eth0", "").empty());
}

class SynCookieControlTest : public testing::Test {
  protected:
    SynCookieControlTest() {
        std::filesystem::create_directories(folder_.path() + "/ipv4");
        std::filesystem::create_directories(folder_.path() + "/core");
        set("syncookies", "1");
        set("timestamps", "1");
        set("sack", "1");
        set("window_scaling", "1");
        set("rmem", "4096\t131072\t6291456");
        folder_.write("core/rmem_max", "212992\n");
        counters(0, 0);
        policy_.mode = KernelMode::kEnforce;
        policy_.syn_cookies = SynCookies::kAuto;
    }
    void set(const std::string& name, const std::string& value) {
        folder_.write("ipv4/tcp_" + name, value + "\n");
    }
    int get(const char* name) {
        std::ifstream in{folder_.path() + "/ipv4/tcp_" + name};
        int value = -1;
        in >> value;
        return value;
    }
    void counters(std::uint64_t opened, std::uint64_t cookies) {
        folder_.write("snmp", "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: RtoMin PassiveOpens\nTcp: 200 " +
                                  std::to_string(opened) + "\n");
        folder_.write("netstat", "TcpExt: SyncookiesSent SyncookiesRecv\nTcpExt: " + std::to_string(cookies) +
                                     " 0\nIpExt: InNoRoutes\nIpExt: 0\n");
    }
    // Ticks for so long, with so many attempts a second that come to nothing.
    bool run(Nanos time, std::uint64_t unfinished_per_s) {
        bool told = false;
        for (const Nanos end = now_ + time; now_ < end;) {
            now_ += kSecond / 4;
            kernel_.counted.syns += unfinished_per_s / 4;
            told |= control_.tick(policy_, now_);
        }
        return told;
    }

    TemporaryFolder folder_;
    FakeKernel kernel_;
    KernelPolicy policy_;
    Nanos now_ = kMinute;
    SynCookieControl control_{kernel_, TcpControl{folder_.path(), folder_.path()}};
};

TEST_F(SynCookieControlTest, AnswersWhileAFloodLastsAndPutsTcpBack) {
    EXPECT_FALSE(run(5 * kSecond, 0));
    EXPECT_EQ(control_.state().state, "ready");
    EXPECT_EQ(get("syncookies"), 1);

    EXPECT_TRUE(run(3 * kSecond, 1000));
    EXPECT_EQ(control_.state().state, "answering");
    EXPECT_TRUE(control_.state().options_kept);
    EXPECT_TRUE(kernel_.answers.on && kernel_.answers.stamped);
    EXPECT_EQ(kernel_.answers.window_scale, 7U);
    EXPECT_EQ(kernel_.answers.mss_ipv4, 1460U);
    EXPECT_EQ(kernel_.answers.mss_ipv6, 1440U);
    EXPECT_EQ(get("syncookies"), 2);
    EXPECT_EQ(get("timestamps"), 2);

    EXPECT_TRUE(run(33 * kSecond, 0));
    EXPECT_EQ(control_.state().state, "ready");
    EXPECT_FALSE(kernel_.answers.on);
    EXPECT_EQ(get("timestamps"), 2) << "acknowledgements of the last answers are on their way";
    run(10 * kSecond, 0);
    EXPECT_EQ(get("syncookies"), 1);
    EXPECT_EQ(get("timestamps"), 1);
    EXPECT_FALSE(kernel_.answers.told);
}

TEST_F(SynCookieControlTest, AlwaysNeedsNoFloodAndOffEndsIt) {
    policy_.syn_cookies = SynCookies::kAlways;
    EXPECT_TRUE(run(kSecond / 4, 0));
    EXPECT_TRUE(kernel_.answers.on);
    policy_.syn_cookies = SynCookies::kOff;
    EXPECT_TRUE(run(kSecond / 4, 0));
    EXPECT_EQ(control_.state().state, "off");
    EXPECT_FALSE(kernel_.answers.on);
    run(10 * kSecond, 0);
    EXPECT_EQ(get("syncookies"), 1);
}

TEST_F(SynCookieControlTest, AnotherProcessEndsWhatThisOneBegan) {
    policy_.syn_cookies = SynCookies::kAlways;
    run(kSecond, 0);
    SynCookieControl next{kernel_, TcpControl{folder_.path(), folder_.path()}};
    next.tick(policy_, now_ + kSecond);
    EXPECT_EQ(next.state().state, "answering");
    next.stop();
    EXPECT_FALSE(kernel_.answers.on);
    EXPECT_EQ(get("syncookies"), 1);
    EXPECT_EQ(get("timestamps"), 1);
}

TEST_F(SynCookieControlTest, WhatTheOperatorSetIsLeftAlone) {
    policy_.syn_cookies = SynCookies::kAlways;
    set("timestamps", "0");
    run(kSecond, 0);
    EXPECT_TRUE(kernel_.answers.on);
    EXPECT_FALSE(kernel_.answers.stamped) << "the kernel would not read them";
    EXPECT_NE(control_.state().why, "");
    EXPECT_EQ(get("timestamps"), 0);

    set("syncookies", "1");  // somebody else's doing
    EXPECT_TRUE(run(kSecond / 4, 0));
    EXPECT_EQ(control_.state().state, "unavailable");
    EXPECT_FALSE(kernel_.answers.on) << "the kernel would refuse the cookies";
}

TEST_F(SynCookieControlTest, SaysWhyNot) {
    policy_.syn_cookies = SynCookies::kAlways;
    set("syncookies", "0");
    EXPECT_TRUE(run(kSecond / 4, 0));
    EXPECT_EQ(control_.state().state, "unavailable");
    EXPECT_NE(control_.state().why.find("tcp_syncookies is 0"), std::string::npos);
    EXPECT_FALSE(kernel_.answers.on);
    EXPECT_FALSE(run(5 * kSecond, 0)) << "told once";

    set("syncookies", "1");
    kernel_.has_cookies = false;
    run(kSecond, 0);
    EXPECT_FALSE(kernel_.answers.on);
    EXPECT_NE(control_.state().why.find("helpers"), std::string::npos);
}

TEST_F(SynCookieControlTest, ShadowAnswersNothing) {
    policy_.syn_cookies = SynCookies::kAlways;
    policy_.mode = KernelMode::kShadow;
    run(kSecond, 0);
    EXPECT_FALSE(kernel_.answers.on);
    EXPECT_EQ(control_.state().state, "off");
}

}  // namespace
}  // namespace sluice
