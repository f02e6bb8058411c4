// What this kernel, its drivers and its interfaces can do for Sluice, and what will be used. Works with the daemon dead;
// changes nothing and attaches nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "kernel/interface_facts.hpp"
#include "kernel/xdp_program.hpp"

namespace sluice {

enum class Health : std::uint8_t {
    kGood,
    kNote,     // works, but not as well as it could, or there is something to know
    kBad,      // Sluice can't protect this host, or this interface, as it is
    kUnknown,  // can't be found out, mostly for want of rights
};
std::string_view to_string(Health health);  // "ok", "note", "bad", "unknown"

struct DoctorCheck {
    std::string name;   // snake_case: "dispatcher"
    std::string value;  // what was found
    Health health = Health::kGood;
    std::string advice;  // what follows from it or what to do; empty: nothing
};

struct HostFacts {
    std::string kernel;      // "6.1.0-13-amd64"
    unsigned version = 0;    // 6.1 is 601
    bool permitted = false;  // CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN
    bool btf = false;
    std::optional<int> jit;  // net.core.bpf_jit_enable
    bool bpffs = false;
    std::uint64_t memlock_bytes = 0;  // RLIMIT_MEMLOCK
    // Nothing: not asked for want of rights.
    std::optional<bool> program_loads;
    std::string load_error;
    std::optional<bool> dispatcher;   // BPF_PROG_TYPE_EXT
    std::optional<bool> syn_cookies;  // helpers that make and check them in XDP
};
HostFacts read_host_facts();

struct PinnedFacts {
    bool pinned = false;
    bool daemon_alive = false;
    std::uint64_t generation = 0;  // of the policy in force; 0: none
};

struct InterfaceReport {
    std::string name;
    std::string mode;  // that is used or will be: "native", "generic", "native or generic", "none"
    std::string via;   // "dispatcher", "plain"; empty: unknown
    std::vector<DoctorCheck> checks;
};

struct DoctorReport {
    bool permitted = false;
    std::vector<DoctorCheck> host;
    std::vector<InterfaceReport> interfaces;

    bool has(Health health) const;
};

// Pure: facts in, findings out. attached: nothing if it could not be asked.
std::vector<DoctorCheck> judge_host(const HostFacts& host);
InterfaceReport judge_interface(const HostFacts& host, const InterfaceFacts& facts,
                                const std::optional<AttachedXdp>& attached, const PinnedFacts& pinned);

// Of all interfaces but the loopback if none is named. kNotFound: one is not there.
Result<DoctorReport> examine(const std::vector<std::string>& interfaces);

}  // namespace sluice
