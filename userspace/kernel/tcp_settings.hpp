// What the kernel's TCP says of itself and may be told, in this network namespace: the few settings and counters that
// SYN cookies depend on.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace sluice {

struct TcpSettings {
    int syncookies = 0;  // 0 never, 1 when a listener's queue is full, 2 always
    int timestamps = 0;  // 0 none, 1 with an offset of each connection's own, 2 without
    bool sack = false;
    bool window_scaling = false;
    std::uint64_t receive_max = 0;  // bytes: the larger of tcp_rmem's maximum and rmem_max
};

struct TcpCounters {
    std::uint64_t opened = 0;        // connections accepted by listeners (PassiveOpens)
    std::uint64_t cookies_sent = 0;  // by the kernel itself (SyncookiesSent)
};

// The window scale Linux chooses for a socket of default size (tcp_select_initial_window()): 0…14.
unsigned window_scale_of(std::uint64_t receive_max);

class TcpControl {
  public:
    // Folders to read from, for tests.
    explicit TcpControl(std::string settings = "/proc/sys/net", std::string counters = "/proc/net")
        : settings_(std::move(settings)), counters_(std::move(counters)) {}

    Result<TcpSettings> settings() const;
    Result<TcpCounters> counters() const;
    // kNotPermitted: a container's read-only /proc/sys.
    Result<> set_syncookies(int value) const { return write("ipv4/tcp_syncookies", value); }
    Result<> set_timestamps(int value) const { return write("ipv4/tcp_timestamps", value); }

  private:
    Result<std::uint64_t> last_number(const std::string& name) const;
    Result<> write(const std::string& name, int value) const;

    std::string settings_, counters_;
};

}  // namespace sluice
