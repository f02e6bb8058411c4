#include "kernel/xdp_attachment.hpp"

#include <bpf/bpf.h>
#include <net/if.h>

#include <array>
#include <filesystem>

#include "kernel/abi_convert.hpp"
#include "kernel/pins.hpp"
#include "kernel/rights.hpp"
#include "kernel/syn_cookies.hpp"
#include "kernel/xdp_program.hpp"

namespace sluice {
namespace {

// Of the shared pins; zeros if they can't be read.
struct SharedFacts {
    std::uint32_t abi_version = 0;
    std::uint64_t generation = 0;
};

SharedFacts read_shared(const Pins& pins) {
    SharedFacts facts;
    const std::uint32_t first = 0;
    const auto control = Pins::get(pins.directory() + "/control");
    if (!control || !*control) return facts;
    const auto shape = shape_of(control->get(), "control");
    if (!shape || shape->value_bytes != sizeof(sluice_control)) return facts;
    sluice_control value{};
    if (bpf_map_lookup_elem(control->get(), &first, &value) != 0 || value.magic != SLUICE_ABI_MAGIC)
        return facts;
    facts.abi_version = value.abi_version;
    if (facts.abi_version != SLUICE_ABI_VERSION) return facts;

    const auto policies = Pins::get(pins.directory() + "/policies");
    if (!policies || !*policies) return facts;
    const auto policy = read_policy_in_force(control->get(), policies->get());
    if (policy && *policy) facts.generation = (*policy)->generation;
    return facts;
}

std::string name_of(unsigned ifindex) {
    std::array<char, IF_NAMESIZE> name{};
    return ::if_indextoname(ifindex, name.data()) != nullptr ? name.data() : "";
}

// What a daemon told TCP while it answered SYNs, and did not live to take back. True: there was something.
bool restore_tcp_of(const Pins& pins) {
    const auto map = Pins::get(pins.directory() + "/control");
    if (!map || !*map || read_shared(pins).abi_version != SLUICE_ABI_VERSION) return false;
    const std::uint32_t first = 0;
    sluice_control control{};
    if (bpf_map_lookup_elem(map->get(), &first, &control) != 0) return false;
    const CookieAnswers answers = cookie_answers_of(control);
    restore_tcp(answers, TcpControl{});
    return answers.told;
}

}  // namespace

Result<std::vector<XdpAttachment>> show_xdp_attachments() {
    // Without them some of it looks as if it were not there.
    if (!has_bpf_rights())
        return Error{ErrorCode::kNotPermitted,
                     "look at what is attached: not permitted without CAP_BPF and CAP_NET_ADMIN"};
    const auto pins = Pins::of_this_netns();
    if (!pins) return pins.error();
    std::vector<XdpAttachment> found;
    const auto interfaces = pins->interfaces();
    if (!interfaces) return interfaces.error();
    if (interfaces->empty()) return found;
    const auto lock = pins->try_lock();
    if (!lock) return lock.error();
    const SharedFacts facts = read_shared(*pins);
    for (const unsigned ifindex : *interfaces) {
        XdpAttachment& one = found.emplace_back();
        one.pin_directory = pins->interface_directory(ifindex);
        one.state.ifindex = ifindex;
        one.state.name = name_of(ifindex);
        one.abi_version = facts.abi_version;
        one.generation = facts.generation;
        one.daemon_alive = !*lock;
        if (one.state.name.empty()) {
            one.state.name = "(index " + std::to_string(ifindex) + ")";
            one.state.note = "the interface is gone; its pins go when Sluice starts again or detaches";
            continue;
        }
        const auto attached = look_at_interface(ifindex, one.state.name);
        if (!attached) return attached.error();
        one.state.attached = attached->ours;
        one.state.mode = attached->generic ? "generic" : "native";
        one.state.via = attached->dispatcher ? "dispatcher" : "plain";
        one.program_id = attached->our_id;
        if (!attached->ours)
            one.state.note = attached->program_id == 0
                                 ? "no program is attached"
                                 : "the program '" + attached->name + "' is attached instead";
        const auto counters = Pins::get(one.pin_directory + "/counters");
        if (!counters || !*counters || facts.abi_version != SLUICE_ABI_VERSION) continue;
        if (const auto sum = read_counters(counters->get()))
            for (std::size_t i = 0; i < kKernelReasons; ++i)
                one.reasons[i] = {sum->reason[i].packets, sum->reason[i].bytes};
    }
    return found;
}

Result<std::vector<std::string>> detach_xdp(const std::string& interface_or_empty, bool force) {
    const auto pins = Pins::of_this_netns();
    if (!pins) return pins.error();
    const auto lock = pins->try_lock();
    if (!lock) return lock.error();
    if (!*lock && !force)
        return Error{ErrorCode::kConflict,
                     "detach: a live sluiced holds the interfaces; stop it, or use force"};

    const auto interfaces = pins->interfaces();
    if (!interfaces) return interfaces.error();
    std::vector<std::string> done;
    for (const unsigned ifindex : *interfaces) {
        const std::string name = name_of(ifindex);
        if (!interface_or_empty.empty() && name != interface_or_empty) continue;
        if (!name.empty()) {
            const auto attached = look_at_interface(ifindex, name);
            if (!attached) return attached.error();
            if (const auto gone = detach_xdp_program(ifindex, name); !gone) return gone.error();
            done.push_back(attached->ours ? "detached from " + name : "nothing of ours ran on " + name);
        }
        if (const auto removed = pins->remove_interface(ifindex); !removed) return removed.error();
        done.push_back("removed the pins of " + (name.empty() ? "a vanished interface" : name));
    }
    if (done.empty() && !(interface_or_empty.empty() && std::filesystem::exists(pins->directory())))
        return Error{ErrorCode::kNotFound,
                     interface_or_empty.empty()
                         ? "detach: nothing of Sluice is pinned in this network namespace"
                         : "detach: nothing of Sluice is pinned for " + interface_or_empty};
    if (const auto left = pins->interfaces(); left && left->empty()) {
        if (restore_tcp_of(*pins)) done.push_back("restored net.ipv4.tcp_syncookies and tcp_timestamps");
        if (const auto removed = pins->remove_shared(); !removed) return removed.error();
        done.push_back("removed " + pins->directory());
    }
    return done;
}

}  // namespace sluice
