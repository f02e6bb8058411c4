// Holding the trees that stand in a map against the lists they were made of, by the program's own search.
#pragma once

#include <span>
#include <vector>

#include "base/ip_prefix.hpp"
#include "base/result.hpp"
#include "bpf/sluice_abi.h"

namespace sluice {

// As the XDP program searches it; the host has the same arithmetic.
bool in_prefix_set(const sluice_prefix_set& set, std::span<const sluice_fences> blocks,
                   sluice_address address, bool ipv4);

// Looks the edges of every prefix up, and what lies next to them: both ends must be in, the addresses between two ranges
// out. kInternal names the first prefix for which it is not so. `list` is for the message ("kernel.deny"). The prefixes of
// the other family are passed over. A million takes some tenths of a second.
Result<> verify_prefix_set(const sluice_prefix_set& set, std::span<const sluice_fences> blocks,
                           const std::vector<IpPrefix>& prefixes, bool ipv4, const char* list);

}  // namespace sluice
