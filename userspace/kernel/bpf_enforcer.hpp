// The kernel enforcer on real interfaces: loads the XDP program, attaches it, pins its state under
// /sys/fs/bpf/sluice/.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "kernel/kernel_enforcer.hpp"

namespace sluice {

struct BpfEnforcerOptions {
    std::vector<std::string> interfaces;  // at least one
    XdpMode mode = XdpMode::kAuto;
    unsigned priority = kUsualXdpPriority;  // among the programs of a dispatcher: lower runs first
    // Sizes of what is newly created; adopted maps keep theirs. Rounded up to a power of two.
    std::uint32_t source_sets =
        1U
        << 17;  // × 64 bytes, 8 arrival times each: 8 MiB hold a million; and half as much for groups of ports
    std::uint32_t prefix_sets = 1U << 14;  // × 64 bytes: 1 MiB holds 131,072
    std::uint32_t bans = 1U << 16;         // about 200 bytes each
};

// Mounts bpffs if it is not, takes this network namespace's lock (kConflict if another daemon holds it),
// adopts or replaces pinned state, attaches every interface or none. A foreign XDP program that no dispatcher
// runs is refused (kConflict). Needs CAP_BPF, CAP_NET_ADMIN and write access to /sys/fs/bpf; blocks for up to
// a few hundred ms.
Result<std::unique_ptr<KernelEnforcer>> open_bpf_enforcer(const BpfEnforcerOptions& options);

}  // namespace sluice
