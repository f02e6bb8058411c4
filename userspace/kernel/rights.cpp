#include "kernel/rights.hpp"

#include <linux/capability.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

namespace sluice {

bool has_bpf_rights() {
    std::ifstream status{"/proc/self/status"};
    for (std::string line; std::getline(status, line);) {
        if (!line.starts_with("CapEff:")) continue;
        const std::uint64_t held = std::strtoull(line.c_str() + 7, nullptr, 16);
        const auto holds = [&](unsigned capability) { return (held >> capability & 1) != 0; };
        return holds(CAP_SYS_ADMIN) || (holds(CAP_BPF) && holds(CAP_NET_ADMIN));
    }
    return false;
}

}  // namespace sluice
