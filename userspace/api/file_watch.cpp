#include "api/file_watch.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

namespace sluice {

void FileWatch::watch(std::vector<std::string> files) {
    const std::vector<std::string> before = std::exchange(files_, std::move(files));
    const std::vector<Signature> looked_at = std::exchange(last_look_, look());
    for (std::size_t i = 0; i < files_.size(); ++i)
        if (const auto found = std::ranges::find(before, files_[i]); found != before.end())
            last_look_[i] = looked_at[static_cast<std::size_t>(found - before.begin())];
    known_ = last_look_;
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
