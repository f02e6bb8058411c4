#include "daemon/file_watch.hpp"

#include <sys/stat.h>

namespace sluice {

void FileWatch::watch(std::vector<std::string> files) {
    files_ = std::move(files);
    known_ = last_look_ = look();
}

bool FileWatch::changed() {
    std::vector<Signature> now = look();
    const bool at_rest = now == last_look_;
    last_look_ = now;
    if (!at_rest || now == known_) return false;
    known_ = std::move(now);
    return true;
}

std::vector<FileWatch::Signature> FileWatch::look() const {
    std::vector<Signature> signatures;
    signatures.reserve(files_.size());
    for (const std::string& file : files_) {
        struct stat status {};
        if (::stat(file.c_str(), &status) != 0) {
            signatures.emplace_back();
            continue;
        }
        signatures.push_back({true, status.st_dev, status.st_ino, status.st_size,
                              status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec});
    }
    return signatures;
}

}  // namespace sluice
