// The bans that userspace decided (by an operator or by escalation), as the workers see them: immutable,
// replaced as a whole. The kernel drops a banned source's packets; the request enforcer asks here, for what
// reaches it all the same (through a trusted proxy, or with no kernel enforcer).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"

namespace sluice {

inline constexpr std::string_view kPeerOrigin = "peer";  // the origin of another host's bans

struct PlacedBan {
    IpPrefix source;
    std::string origin;  // "operator", "escalation" or "peer" here; the kernel's own have "kernel"
    std::string reason;  // an operator's words or a reason of the taxonomy
    Nanos expires = 0;   // ledger_now() clock: survives a restart
    std::string host{};  // of another host's ("peer"): which
};

class BanSet {
  public:
    BanSet() = default;
    explicit BanSet(std::vector<PlacedBan> bans);

    // The ban that holds for this address, the longest prefix first; nullptr if none or expired. One hash
    // look-up for each prefix length in use, usually one.
    const PlacedBan* find(const IpAddress& address, Nanos now) const;
    std::size_t size() const { return bans_.size(); }

  private:
    std::unordered_map<IpPrefix, PlacedBan> bans_;
    std::vector<std::uint8_t> v4_lengths_;  // descending
    std::vector<std::uint8_t> v6_lengths_;
};

}  // namespace sluice
