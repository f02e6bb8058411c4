// Whether this process may do what Sluice does with the kernel.
#pragma once

namespace sluice {

// CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, in effect.
bool has_bpf_rights();

}  // namespace sluice
