// The doors of the admin server: its listening sockets, and who is at the other end of a unix one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "http/endpoint.hpp"
#include "http/router.hpp"

namespace sluice::http {

// A listening unix socket and its file, which is removed with it (unless someone else's has taken its place).
class UnixDoor {
  public:
    // Mode 0660; `group` (a name; empty: leave it) may use it. A file that no one listens behind is replaced.
    static Result<UnixDoor> open(const std::string& path, const std::string& group);
    UnixDoor(UnixDoor&& other) noexcept;
    UnixDoor& operator=(UnixDoor&&) = delete;
    ~UnixDoor();

    // The listening socket, non-blocking; the caller closes it.
    int release() { return socket_.release(); }
    gid_t group() const { return group_; }

  private:
    UnixDoor() = default;

    std::string path_;
    UniqueFd socket_;
    dev_t device_ = 0;
    ino_t inode_ = 0;
    gid_t group_ = 0;
};

// A listening TCP socket, non-blocking, and the port it got.
Result<std::pair<UniqueFd, std::uint16_t>> open_tcp_door(const Endpoint& endpoint);

// The process behind a connected unix socket: an admin if it is root's, the daemon's own user's, or if its
// user is in `group`; else nobody (Role::kNone), whose name is known all the same.
Caller unix_caller(int socket, gid_t group);

}  // namespace sluice::http
