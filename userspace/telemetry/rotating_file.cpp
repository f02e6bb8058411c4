#include "telemetry/rotating_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace sluice {

RotatingFile::RotatingFile(std::string path, std::uint64_t max_bytes, unsigned files)
    : path_(std::move(path)), max_bytes_(max_bytes), files_(files) {}

// Not if someone removed or renamed it: what is appended to it then, nobody finds.
bool RotatingFile::is_open_under_its_name() const {
    struct stat opened {};
    struct stat named {};
    return file_ && ::fstat(file_.get(), &opened) == 0 && ::lstat(path_.c_str(), &named) == 0 &&
           opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

Result<> RotatingFile::open() {
    if (is_open_under_its_name()) return {};
    file_.reset();
    UniqueFd file{::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640)};
    if (!file) return system_error("open", path_, errno);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) return system_error("stat", path_, errno);
    if (!S_ISREG(status.st_mode)) return Error{ErrorCode::kInvalid, "open " + path_ + ": not a regular file"};
    size_ = static_cast<std::uint64_t>(status.st_size);
    char last = '\n';
    if (size_ > 0 && ::pread(file.get(), &last, 1, status.st_size - 1) != 1)
        return system_error("read", path_, errno);
    if (last != '\n') {
        if (::write(file.get(), "\n", 1) != 1) return system_error("write", path_, errno);
        ++size_;
    }
    file_ = std::move(file);
    return {};
}

Result<> RotatingFile::append(std::string_view lines) {
    if (auto opened = open(); !opened) return opened;
    if (size_ > 0 && size_ + lines.size() > max_bytes_)
        if (auto rotated = rotate(); !rotated) return rotated;
    std::size_t done = 0;
    while (done < lines.size()) {
        const ssize_t n = ::write(file_.get(), lines.data() + done, lines.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            const int saved_errno = n < 0 ? errno : ENOSPC;
            // Take back what was written of a line. Should even that fail, open() ends the torn line later.
            if (done > 0 && ::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) file_.reset();
            return system_error("write", path_, saved_errno);
        }
        done += static_cast<std::size_t>(n);
    }
    size_ += lines.size();
    return {};
}

Result<> RotatingFile::sync() {
    if (file_ && ::fdatasync(file_.get()) != 0) return system_error("sync", path_, errno);
    return {};
}

std::string RotatingFile::numbered(unsigned index) const {
    if (index == 0) return path_;
    const auto dot = path_.rfind('.');
    return path_.substr(0, dot) + '.' + std::to_string(index) + path_.substr(dot);
}

Result<> RotatingFile::rotate() {
    if (files_ == 1) {
        if (::ftruncate(file_.get(), 0) != 0) return system_error("truncate", path_, errno);
        size_ = 0;
        return {};
    }
    // From the oldest on, each onto the next: a failure on the way loses nothing but the file that was due to
    // go.
    for (unsigned i = files_ - 1; i > 0; --i)
        if (::rename(numbered(i - 1).c_str(), numbered(i).c_str()) != 0 && errno != ENOENT)
            return system_error("rename", numbered(i - 1), errno);
    file_.reset();
    return open();
}

}  // namespace sluice
