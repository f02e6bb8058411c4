#include "http/admin_socket.hpp"

#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <vector>

namespace sluice::http {
namespace {

constexpr int kBacklog = 64;
constexpr mode_t kMode = 0660;

UniqueFd new_socket(int family) {
    return UniqueFd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
}

// Removes a socket file that a dead daemon left behind.
Result<> make_room(const std::string& path, const sockaddr* address, socklen_t length) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) return {};
        return system_error("stat admin socket", path, errno);
    }
    if (!S_ISSOCK(status.st_mode))
        return Error{ErrorCode::kConflict,
                     "admin socket " + path + ": there is something there that is no socket"};
    const UniqueFd probe = new_socket(AF_UNIX);
    // EAGAIN: its backlog is full, so someone listens.
    if (::connect(probe.get(), address, length) == 0 || errno == EAGAIN)
        return Error{ErrorCode::kConflict, "admin socket " + path + ": another daemon answers there"};
    if (errno != ECONNREFUSED) return system_error("connect to admin socket", path, errno);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        return system_error("remove stale socket", path, errno);
    return {};
}

Result<std::optional<gid_t>> find_group(const std::string& name) {
    if (name.empty()) return std::optional<gid_t>{};
    std::vector<char> buffer(16'384);
    group entry{};
    group* found = nullptr;
    if (::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || !found)
        return Error{ErrorCode::kNotFound, "admin socket: there is no group " + name};
    return std::optional{found->gr_gid};
}

std::string user_name(uid_t uid) {
    std::vector<char> buffer(16'384);
    passwd entry{};
    passwd* found = nullptr;
    if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || !found)
        return "uid " + std::to_string(uid);
    return found->pw_name;
}

bool in_group(int socket, gid_t primary, gid_t group) {
    if (primary == group) return true;
    std::vector<gid_t> groups(256);
    auto length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length) != 0) return false;
    groups.resize(length / sizeof(gid_t));
    return std::find(groups.begin(), groups.end(), group) != groups.end();
}

}  // namespace

Result<UnixDoor> UnixDoor::open(const std::string& path, const std::string& group) {
    const auto endpoint = Endpoint::parse("unix:" + path);
    if (!endpoint) return endpoint.error();
    const auto gid = find_group(group);
    if (!gid) return gid.error();
    sockaddr_storage storage{};
    const socklen_t length = endpoint->to_sockaddr(storage);
    const auto* address = reinterpret_cast<const sockaddr*>(&storage);
    if (auto room = make_room(path, address, length); !room) return room.error();

    UnixDoor door;
    door.socket_ = new_socket(AF_UNIX);
    // Linux gives the file the mode of the socket's inode: so it is never more open than this, not even
    // between bind and chmod, which only takes back what the umask took.
    if (!door.socket_ || ::fchmod(door.socket_.get(), kMode) != 0 ||
        ::bind(door.socket_.get(), address, length) != 0)
        return system_error("bind admin socket", path, errno);
    door.path_ = path;
    struct stat status {};
    if ((*gid && ::lchown(path.c_str(), static_cast<uid_t>(-1), **gid) != 0) ||
        ::chmod(path.c_str(), kMode) != 0 || ::lstat(path.c_str(), &status) != 0)
        return system_error("set owner and mode of admin socket", path, errno);
    door.device_ = status.st_dev;
    door.inode_ = status.st_ino;
    door.group_ = status.st_gid;
    if (::listen(door.socket_.get(), kBacklog) != 0)
        return system_error("listen on admin socket", path, errno);
    return door;
}

UnixDoor::UnixDoor(UnixDoor&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      socket_(std::move(other.socket_)),
      device_(other.device_),
      inode_(other.inode_),
      group_(other.group_) {}

UnixDoor::~UnixDoor() {
    struct stat status {};
    if (path_.empty() || ::lstat(path_.c_str(), &status) != 0) return;
    if (status.st_dev == device_ && status.st_ino == inode_) ::unlink(path_.c_str());
}

Result<std::pair<UniqueFd, std::uint16_t>> open_tcp_door(const Endpoint& endpoint) {
    sockaddr_storage storage{};
    const socklen_t length = endpoint.to_sockaddr(storage);
    UniqueFd socket = new_socket(storage.ss_family);
    const int on = 1;
    if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (storage.ss_family == AF_INET6 &&
         ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&storage), length) != 0 ||
        ::listen(socket.get(), kBacklog) != 0)
        return system_error("listen on admin address", endpoint.to_string(), errno);
    socklen_t bound = sizeof storage;
    if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&storage), &bound) != 0)
        return system_error("read address of", endpoint.to_string(), errno);
    const std::uint16_t port = storage.ss_family == AF_INET
                                   ? reinterpret_cast<const sockaddr_in*>(&storage)->sin_port
                                   : reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port;
    return std::pair{std::move(socket), ntohs(port)};
}

Caller unix_caller(int socket, gid_t group) {
    Caller caller;
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return caller;
    caller.name = user_name(peer.uid);
    caller.how = "unix socket, uid " + std::to_string(peer.uid);
    if (peer.uid == 0 || peer.uid == ::geteuid() || in_group(socket, peer.gid, group))
        caller.role = Role::kAdmin;
    return caller;
}

}  // namespace sluice::http
