// What Sluice has pinned and attached, read from the kernel and bpffs alone: works with the daemon dead.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "kernel/kernel_enforcer.hpp"

namespace sluice {

struct XdpAttachment {
    InterfaceState state;
    std::uint32_t program_id = 0;
    std::string pin_directory;
    std::uint32_t abi_version = 0;  // of the pinned state; differs from SLUICE_ABI_VERSION after an upgrade
    std::uint64_t generation = 0;   // of the policy in force
    bool daemon_alive = false;      // a daemon holds the lock of this network namespace
    ReasonCounts reasons{};         // all zero if the ABI version is not ours
};

// Every interface of the caller's network namespace that Sluice has pinned state for. Needs root.
Result<std::vector<XdpAttachment>> show_xdp_attachments();

// Removes our programs and pins from this network namespace, or from one interface only. Programs of others
// stay. kConflict: a live daemon holds them and `force` is false. kNotFound: nothing of ours is there.
// Returns what was done, one line each.
Result<std::vector<std::string>> detach_xdp(const std::string& interface_or_empty, bool force);

}  // namespace sluice
