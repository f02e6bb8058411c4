#include "kernel/pins.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <system_error>

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBpffs = "/sys/fs/bpf";
constexpr const char* kLockDirectory = "/run/sluice";
constexpr const char* kInterfacePrefix = "if-";

Result<> ensure_bpffs() {
    struct statfs status {};
    if (::statfs(kBpffs, &status) != 0) return system_error("look at", kBpffs, errno);
    if (status.f_type == BPF_FS_MAGIC) return {};
    if (::mount("bpf", kBpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0)
        return system_error("mount bpffs on", kBpffs, errno);
    return {};
}

Result<std::uint64_t> netns_cookie() {
    const UniqueFd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (!socket) return system_error("open", "socket", errno);
    std::uint64_t cookie = 0;
    socklen_t bytes = sizeof cookie;
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &bytes) != 0)
        return system_error("ask for", "network namespace cookie (Linux 5.14)", errno);
    return cookie;
}

Result<> remove_tree(const std::string& path) {
    std::error_code error;
    fs::remove_all(path, error);
    if (error) return system_error("remove", path, error.value());
    return {};
}

}  // namespace

Result<Pins> Pins::of_this_netns() {
    if (const auto mounted = ensure_bpffs(); !mounted) return mounted.error();
    const auto cookie = netns_cookie();
    if (!cookie) return cookie.error();
    Pins pins;
    pins.directory_ = std::string{kBpffs} + "/sluice/net-" + std::to_string(*cookie);
    pins.lock_path_ = std::string{kLockDirectory} + "/net-" + std::to_string(*cookie) + ".lock";
    return pins;
}

std::string Pins::interface_directory(unsigned ifindex) const {
    return directory_ + "/" + kInterfacePrefix + std::to_string(ifindex);
}

Result<std::vector<unsigned>> Pins::interfaces() const {
    std::vector<unsigned> found;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator{directory_, error}) {
        const std::string name = entry.path().filename();
        if (!name.starts_with(kInterfacePrefix)) continue;
        unsigned ifindex = 0;
        const char* const end = name.data() + name.size();
        if (std::from_chars(name.data() + std::string_view{kInterfacePrefix}.size(), end, ifindex).ptr == end)
            found.push_back(ifindex);
    }
    if (error && error != std::errc::no_such_file_or_directory)
        return system_error("read", directory_, error.value());
    return found;
}

Result<UniqueFd> Pins::try_lock() const {
    if (::mkdir(kLockDirectory, 0755) != 0 && errno != EEXIST)
        return system_error("create", kLockDirectory, errno);
    UniqueFd lock{::open(lock_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    if (!lock) return system_error("open", lock_path_, errno);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
    if (errno == EWOULDBLOCK) return UniqueFd{};
    return system_error("lock", lock_path_, errno);
}

Result<> Pins::create_directory(const std::string& path) const {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) return system_error("create", path, error.value());
    return {};
}

Result<> Pins::remove_interface(unsigned ifindex) const {
    return remove_tree(interface_directory(ifindex));
}

Result<> Pins::remove_shared() const {
    return remove_tree(directory_);
}

Result<UniqueFd> Pins::get(const std::string& path) {
    UniqueFd fd{bpf_obj_get(path.c_str())};
    if (!fd && errno != ENOENT) return system_error("open pin", path, errno);
    return fd;
}

Result<> Pins::put(int fd, const std::string& path) {
    // rename() over an old pin is one step: a crash leaves the one or the other.
    const std::string fresh = path + "_new";
    std::error_code error;
    fs::remove(fresh, error);
    if (bpf_obj_pin(fd, fresh.c_str()) != 0) return system_error("pin", path, errno);
    fs::rename(fresh, path, error);
    if (error) return system_error("pin", path, error.value());
    return {};
}

}  // namespace sluice
