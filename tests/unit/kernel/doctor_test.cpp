// What the doctor makes of facts; that it finds them is tested on real interfaces (tests/bpf/doctor_test.cpp).
#include "kernel/doctor.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace sluice {
namespace {

HostFacts healthy_host() {
    HostFacts host;
    host.kernel = "6.1.0-13-amd64";
    host.version = 601;
    host.permitted = host.btf = host.bpffs = true;
    host.jit = 1;
    host.program_loads = host.dispatcher = host.syn_cookies = true;
    return host;
}

InterfaceFacts healthy_interface() {
    InterfaceFacts facts;
    facts.name = "eth0";
    facts.driver = "virtio_net";
    facts.up = true;
    facts.mtu = 1500;
    facts.receive_queues = 2;
    facts.xdp_features = kXdpBasic | kXdpSeveralBuffers;
    return facts;
}

AttachedXdp foreign(bool dispatcher) {
    AttachedXdp attached;
    attached.program_id = 7;
    attached.name = "theirs";
    attached.dispatcher = dispatcher;
    return attached;
}

Health health_of(const std::vector<DoctorCheck>& checks, const std::string& name) {
    const auto found = std::ranges::find(checks, name, &DoctorCheck::name);
    if (found == checks.end()) {
        ADD_FAILURE() << "no check " << name;
        return Health::kUnknown;
    }
    return found->health;
}

InterfaceReport judged(const InterfaceFacts& facts,
                       const std::optional<AttachedXdp>& attached = AttachedXdp{}) {
    return judge_interface(healthy_host(), facts, attached, PinnedFacts{});
}

TEST(Doctor, AHealthyHostHasNothingToSay) {
    for (const DoctorCheck& check : judge_host(healthy_host())) {
        EXPECT_EQ(check.health, Health::kGood) << check.name;
        EXPECT_TRUE(check.advice.empty()) << check.advice;
    }
    const InterfaceReport report = judged(healthy_interface());
    for (const DoctorCheck& check : report.checks) EXPECT_EQ(check.health, Health::kGood) << check.name;
    EXPECT_EQ(report.mode, "native");
    EXPECT_EQ(report.via, "dispatcher");
}

TEST(Doctor, EachFaultOfTheHostIsNamed) {
    struct Fault {
        const char* check;
        Health health;
        void (*make)(HostFacts&);
    };
    for (const auto& [name, health, make] :
         std::vector<Fault>{{"kernel", Health::kBad, [](HostFacts& h) { h.version = 515; }},
                            {"rights", Health::kUnknown, [](HostFacts& h) { h.permitted = false; }},
                            {"xdp_program", Health::kBad, [](HostFacts& h) { h.program_loads = false; }},
                            {"xdp_program", Health::kUnknown, [](HostFacts& h) { h.program_loads.reset(); }},
                            {"btf", Health::kNote, [](HostFacts& h) { h.btf = false; }},
                            {"jit", Health::kNote, [](HostFacts& h) { h.jit = 0; }},
                            {"bpffs", Health::kNote, [](HostFacts& h) { h.bpffs = false; }},
                            {"dispatcher", Health::kNote, [](HostFacts& h) { h.dispatcher = false; }},
                            {"syn_cookies", Health::kNote, [](HostFacts& h) { h.syn_cookies = false; }},
                            {"memlock", Health::kNote, [](HostFacts& h) { h.version = 510; }}}) {
        HostFacts host = healthy_host();
        make(host);
        EXPECT_EQ(health_of(judge_host(host), name), health) << name;
    }
}

TEST(Doctor, SaysWhatWillBeUsed) {
    InterfaceFacts facts = healthy_interface();
    facts.xdp_features = 0;
    EXPECT_EQ(judged(facts).mode, "generic");
    EXPECT_EQ(health_of(judged(facts).checks, "native_xdp"), Health::kNote);
    facts.xdp_features.reset();
    EXPECT_EQ(judged(facts).mode, "native or generic");
    EXPECT_EQ(health_of(judged(facts).checks, "native_xdp"), Health::kUnknown);

    HostFacts host = healthy_host();
    host.dispatcher = false;
    EXPECT_EQ(judge_interface(host, healthy_interface(), AttachedXdp{}, {}).via, "plain");
    host.program_loads = false;
    EXPECT_EQ(judge_interface(host, healthy_interface(), AttachedXdp{}, {}).mode, "none");
}

TEST(Doctor, LooksAtWhatIsInTheWay) {
    InterfaceFacts facts = healthy_interface();
    facts.mtu = 9000;
    EXPECT_EQ(health_of(judged(facts).checks, "mtu"), Health::kGood);
    facts.xdp_features = kXdpBasic;
    EXPECT_EQ(health_of(judged(facts).checks, "mtu"), Health::kNote);
    facts.offloads = {{"rx-lro", true}, {"rx-gro-hw", true}, {"rx-vlan-hw-parse", true}};
    EXPECT_EQ(health_of(judged(facts).checks, "lro"), Health::kNote);
    EXPECT_EQ(health_of(judged(facts).checks, "gro_hw"), Health::kNote);
    EXPECT_EQ(health_of(judged(facts).checks, "vlan_tags"), Health::kGood);
    facts.up = false;
    EXPECT_EQ(health_of(judged(facts).checks, "link"), Health::kNote);
}

TEST(Doctor, KnowsOursFromOthers) {
    const InterfaceReport refused = judged(healthy_interface(), foreign(false));
    EXPECT_EQ(health_of(refused.checks, "attached"), Health::kBad);
    EXPECT_EQ(refused.mode, "none");
    EXPECT_EQ(judged(healthy_interface(), foreign(true)).mode, "native");
    EXPECT_EQ(health_of(judged(healthy_interface(), std::nullopt).checks, "attached"), Health::kUnknown);

    AttachedXdp ours;
    ours.program_id = ours.our_id = 9;
    ours.ours = ours.generic = true;
    const InterfaceReport report =
        judge_interface(healthy_host(), healthy_interface(), ours, {true, false, 12});
    EXPECT_EQ(report.mode, "generic");
    EXPECT_EQ(report.via, "plain");
    const auto pins = std::ranges::find(report.checks, "pins", &DoctorCheck::name);
    ASSERT_NE(pins, report.checks.end());
    EXPECT_EQ(pins->value, "generation 12");
}

}  // namespace
}  // namespace sluice
