// What the kernel tells of a network interface, as far as it matters to an XDP program on it. Asks and changes nothing;
// needs no rights.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace sluice {

// Bits of NETDEV_A_DEV_XDP_FEATURES (Documentation/netlink/specs/netdev.yaml), told since Linux 6.3.
inline constexpr std::uint64_t kXdpBasic = 1;            // native XDP: abort, drop, pass, tx
inline constexpr std::uint64_t kXdpSeveralBuffers = 32;  // frames larger than a page

struct InterfaceFacts {
    std::string name;
    unsigned ifindex = 0;
    std::string driver;  // empty: the interface has none that tells its name
    bool up = false;
    unsigned mtu = 0;
    unsigned receive_queues = 0;
    std::optional<std::uint64_t> xdp_features;  // nothing: a kernel before 6.3 can't be asked
    std::map<std::string, bool> offloads;       // by ethtool's names: "rx-lro", "rx-vlan-hw-parse"
    std::vector<std::string> vlans;             // VLAN devices on top of it
};

// kNotFound: there is no such interface in this network namespace.
Result<InterfaceFacts> read_interface_facts(const std::string& name);

// The VLAN devices on top of an interface, from the text of /proc/net/vlan/config.
std::vector<std::string> vlans_on(const std::string& name, const std::string& config);

// Names of all interfaces of this network namespace but the loopback.
std::vector<std::string> interface_names();

// Of the netdev family of generic netlink. nothing: the kernel does not have it.
std::optional<std::uint64_t> read_xdp_features(unsigned ifindex);

}  // namespace sluice
