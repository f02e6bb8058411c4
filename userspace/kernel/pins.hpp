// Where Sluice's state lives in bpffs: /sys/fs/bpf/sluice/net-COOKIE/ for what all interfaces of one network
// namespace share, if-INDEX/ below it for an interface's own counters and program. The cookie is the kernel's
// number of the namespace, unique since boot, so that instances in different namespaces never meet.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "kernel/bpf_maps.hpp"

namespace sluice {

class Pins {
  public:
    // Of the caller's network namespace. Mounts bpffs if it is not mounted; creates nothing else.
    static Result<Pins> of_this_netns();

    const std::string& directory() const { return directory_; }
    std::string interface_directory(unsigned ifindex) const;
    // Ifindexes that have pinned state. Without the right to look there: an error, not none.
    Result<std::vector<unsigned>> interfaces() const;

    // The lock that a daemon holds while it lives; empty if another process does. Creates /run/sluice.
    Result<UniqueFd> try_lock() const;

    Result<> create_directory(const std::string& path) const;
    // Missing is success.
    Result<> remove_interface(unsigned ifindex) const;
    Result<> remove_shared() const;

    // -1 in the descriptor if there is no such pin.
    static Result<UniqueFd> get(const std::string& path);
    // Replaces what is pinned there.
    static Result<> put(int fd, const std::string& path);

  private:
    std::string directory_;
    std::string lock_path_;
};

}  // namespace sluice
