#include "kernel/doctor.hpp"

#include <algorithm>

#include "kernel/xdp_attachment.hpp"

namespace sluice {
namespace {

// What a page holds of a frame in one buffer, less Ethernet header and two VLAN tags: drivers refuse native mode above
// it unless they can spread a frame over several buffers.
constexpr unsigned kLargestPlainMtu = 3498;

bool is_on(const InterfaceFacts& facts, const char* offload) {
    const auto found = facts.offloads.find(offload);
    return found != facts.offloads.end() && found->second;
}

DoctorCheck check_native(const InterfaceFacts& facts) {
    if (!facts.xdp_features)
        return {"native_xdp", "unknown", Health::kUnknown,
                "a kernel before 6.3 can't be asked; it shows when Sluice attaches"};
    if ((*facts.xdp_features & kXdpBasic) == 0)
        return {"native_xdp", "no", Health::kNote,
                "the driver has none: generic mode runs after the kernel has made an skb, at several times "
                "the cost"};
    return {"native_xdp", "yes", Health::kGood, ""};
}

DoctorCheck check_mtu(const InterfaceFacts& facts) {
    DoctorCheck check{"mtu", std::to_string(facts.mtu), Health::kGood, ""};
    if (facts.mtu <= kLargestPlainMtu) return check;
    if (!facts.xdp_features)
        check.advice = "frames of several buffers need a driver that has them";
    else if ((*facts.xdp_features & kXdpSeveralBuffers) == 0)
        check = {"mtu", check.value, Health::kNote,
                 "the driver can't show XDP a frame of several buffers: native mode is refused above about " +
                     std::to_string(kLargestPlainMtu)};
    return check;
}

void check_offloads(const InterfaceFacts& facts, std::vector<DoctorCheck>& checks) {
    if (is_on(facts, "rx-vlan-hw-parse"))
        checks.push_back({"vlan_tags", "stripped by hardware", Health::kGood,
                          "the program does not see them, and need not: limits are by address"});
    for (const auto& [offload, name, command] :
         {std::tuple{"rx-lro", "lro", "lro"}, {"rx-gro-hw", "gro_hw", "rx-gro-hw"}})
        if (is_on(facts, offload))
            checks.push_back({name, "on", Health::kNote,
                              std::string{"several drivers refuse native mode with it: ethtool -K "} +
                                  facts.name + " " + command + " off"});
}

DoctorCheck check_attached(const std::optional<AttachedXdp>& attached) {
    if (!attached) return {"attached", "not asked", Health::kUnknown, "needs root"};
    if (attached->ours)
        return {"attached", "sluice_xdp (id " + std::to_string(attached->our_id) + ")", Health::kGood, ""};
    if (attached->program_id == 0) return {"attached", "nothing", Health::kGood, ""};
    const std::string who = attached->name + " (id " + std::to_string(attached->program_id) + ")";
    if (attached->dispatcher)
        return {"attached", who, Health::kGood, "Sluice can join the programs that it runs"};
    return {"attached", who, Health::kBad,
            "it runs without libxdp's dispatcher, so nothing can run beside it: detach it first"};
}

}  // namespace

std::string_view to_string(Health health) {
    switch (health) {
        case Health::kGood:
            return "ok";
        case Health::kNote:
            return "note";
        case Health::kBad:
            return "bad";
        case Health::kUnknown:
            return "unknown";
    }
    return "";
}

bool DoctorReport::has(Health health) const {
    const auto holds = [&](const std::vector<DoctorCheck>& checks) {
        return std::ranges::find(checks, health, &DoctorCheck::health) != checks.end();
    };
    return holds(host) ||
           std::ranges::any_of(interfaces, [&](const InterfaceReport& one) { return holds(one.checks); });
}

InterfaceReport judge_interface(const HostFacts& host, const InterfaceFacts& facts,
                                const std::optional<AttachedXdp>& attached, const PinnedFacts& pinned) {
    InterfaceReport report;
    report.name = facts.name;
    auto& checks = report.checks;
    checks.push_back({"driver", facts.driver.empty() ? "none" : facts.driver, Health::kGood, ""});
    checks.push_back({"link", facts.up ? "up" : "down", facts.up ? Health::kGood : Health::kNote,
                      facts.up ? "" : "no packet comes in: ip link set " + facts.name + " up"});
    checks.push_back(check_native(facts));
    checks.push_back(check_mtu(facts));
    if (facts.receive_queues != 0)
        checks.push_back({"receive_queues", std::to_string(facts.receive_queues), Health::kGood, ""});
    check_offloads(facts, checks);
    checks.push_back(check_attached(attached));
    if (pinned.pinned)
        checks.push_back(
            {"pins", "generation " + std::to_string(pinned.generation), Health::kGood,
             pinned.daemon_alive ? "a daemon holds them" : "no daemon: the kernel goes on with this policy"});

    if (attached && attached->ours) {
        report.mode = attached->generic ? "generic" : "native";
        report.via = attached->dispatcher ? "dispatcher" : "plain";
        return report;
    }
    if (checks.end() != std::ranges::find(checks, Health::kBad, &DoctorCheck::health) ||
        (host.program_loads && !*host.program_loads)) {
        report.mode = "none";
        return report;
    }
    const bool told = facts.xdp_features.has_value();
    const bool native = told && (*facts.xdp_features & kXdpBasic) != 0;
    report.mode = !told ? "native or generic" : native ? "native" : "generic";
    if (host.dispatcher) report.via = *host.dispatcher ? "dispatcher" : "plain";
    return report;
}

Result<DoctorReport> examine(const std::vector<std::string>& interfaces) {
    // Names first: a slip is told before anything is asked that takes long.
    std::vector<InterfaceFacts> found;
    for (const std::string& name : interfaces.empty() ? interface_names() : interfaces) {
        auto facts = read_interface_facts(name);
        if (!facts) return facts.error();
        found.push_back(std::move(*facts));
    }
    const HostFacts host = read_host_facts();
    DoctorReport report;
    report.permitted = host.permitted;
    report.host = judge_host(host);
    std::vector<XdpAttachment> pinned;
    if (host.permitted && host.bpffs) {
        auto shown = show_xdp_attachments();
        if (!shown) return shown.error();
        pinned = std::move(*shown);
    }
    for (const InterfaceFacts& facts : found) {
        std::optional<AttachedXdp> attached;
        if (host.permitted) {
            auto looked = look_at_interface(facts.ifindex, facts.name);
            if (!looked) return looked.error();
            attached = std::move(*looked);
        }
        PinnedFacts pins;
        for (const XdpAttachment& one : pinned)
            if (one.state.ifindex == facts.ifindex) pins = {true, one.daemon_alive, one.generation};
        report.interfaces.push_back(judge_interface(host, facts, attached, pins));
    }
    return report;
}

}  // namespace sluice
