#include "cli/whole_file.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/unique_fd.hpp"

namespace sluice {
namespace {

Result<> write_all(int fd, std::string_view bytes, const std::string& path) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(fd, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return system_error("write", path, errno);
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    // A disk that is full may say so only here.
    if (::fsync(fd) != 0) return system_error("write", path, errno);
    return {};
}

}  // namespace

Result<> check_can_write(const std::string& path) {
    struct stat there {};
    if (::lstat(path.c_str(), &there) == 0) {
        // To rename a file to /dev/null would be the end of /dev/null.
        if (!S_ISREG(there.st_mode))
            return Error{ErrorCode::kInvalid, "write " + path + ": it is there and no ordinary file"};
    } else if (errno != ENOENT) {
        return system_error("write", path, errno);
    }
    const std::filesystem::path folder = std::filesystem::path{path}.parent_path();
    const std::string name = folder.empty() ? "." : folder.string();
    if (std::filesystem::path{path}.filename().empty())
        return Error{ErrorCode::kInvalid, "write \"" + path + "\": a file's name is needed"};
    if (::access(name.c_str(), W_OK | X_OK) != 0) return system_error("write into", name, errno);
    return {};
}

Result<> write_whole_file(const std::string& path, std::string_view bytes) {
    std::string fresh = path + ".XXXXXX";
    const UniqueFd file{::mkostemp(fresh.data(), O_CLOEXEC)};
    if (!file) return system_error("write", path, errno);
    auto written = write_all(file.get(), bytes, path);
    if (written && ::rename(fresh.c_str(), path.c_str()) != 0) written = system_error("write", path, errno);
    if (!written) ::unlink(fresh.c_str());
    return written;
}

}  // namespace sluice
