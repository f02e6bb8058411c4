// Addresses and prefixes between userspace's form and the kernel contract's (bpf/sluice_abi.h).
#pragma once

#include "base/ip_prefix.hpp"
#include "bpf/sluice_abi.h"
#include "kernel/kernel_enforcer.hpp"

namespace sluice {

sluice_address to_abi(const IpAddress& address);
IpAddress from_abi(const sluice_address& address);

// The mask of a prefix length in the family's own bits (0…32 or 0…128). The upper 96 bits of IPv4 are kept.
sluice_address mask_of(bool ipv4, unsigned length);
sluice_address masked(const sluice_address& address, const sluice_address& mask);

sluice_ban_key ban_key(const IpPrefix& prefix);
IpPrefix from_ban_key(const sluice_ban_key& key);

CookieAnswers cookie_answers_of(const sluice_control& control);

}  // namespace sluice
