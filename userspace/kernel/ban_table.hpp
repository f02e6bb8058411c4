// The bans in the kernel: the ban map, its filter, and the list of prefix lengths the program looks bans up
// by.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"
#include "base/result.hpp"
#include "kernel/bpf_maps.hpp"
#include "kernel/kernel_enforcer.hpp"

namespace sluice {

// Control thread only; the program bans at the same time, see bpf/maps.bpf.h for who counts what when.
class BanTable {
  public:
    // The descriptors must outlive the table.
    static Result<BanTable> open(const SharedMaps& maps);

    // The lengths sources have under the policy: the program's own bans are looked up by them. Call before
    // the policy.
    Result<> set_source_lengths(const SourcePrefix& lengths);

    Result<> place(const BanRequest& request, Nanos now);  // now: CLOCK_MONOTONIC
    Result<> lift(const IpPrefix& source);
    Result<std::vector<Ban>> list(Nanos now) const;
    // The ban that an address is under, if any.
    std::optional<Ban> covering(const IpAddress& address, Nanos now) const;
    // Removes what has expired and returns it.
    std::vector<Ban> sweep(Nanos now);

    std::uint32_t entries() const;
    std::uint32_t capacity() const { return capacity_; }

  private:
    BanTable() = default;
    sluice_control& control() const { return control_.as<sluice_control>().front(); }
    std::uint64_t& filter_of(const sluice_ban_key& key) const;
    int put(const sluice_ban_key& key, const sluice_ban& value);  // 0 or -errno
    bool remove(const sluice_ban_key& key, sluice_ban& last);
    Result<std::vector<std::pair<sluice_ban_key, sluice_ban>>> read_all() const;
    Result<> look_up_length(const IpPrefix& source);
    Result<> publish_lengths(const std::set<std::pair<bool, unsigned>>& lengths);

    int bans_ = -1;
    std::uint32_t capacity_ = 0;
    MappedMemory control_;
    MappedMemory filter_;
    SourcePrefix source_lengths_;
    bool has_source_lengths_ = false;
};

}  // namespace sluice
