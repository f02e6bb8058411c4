// Tells when any of a set of files has changed and come to rest. By stat() and not by inotify: it sees
// symbolic-link swaps (of a parent folder too), network file systems and files that don't exist yet, and a
// dozen stat() calls twice a second cost nothing. Pure but for stat(); the caller asks at its own pace.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace sluice {

class FileWatch {
  public:
    // How often the control loop asks. A change is reported on the second look that sees the same new state,
    // so that an editor's half-written file is not read: within a second.
    static constexpr unsigned kPollMs = 400;

    // Replaces the set. A file that was watched before is known as it was at the last look, so that a change
    // made since, while its content was being read, is still reported; a new one is known as it is now.
    void watch(std::vector<std::string> files);

    // True once for each change: what stat() says differs from what was known, and has not moved since the
    // last call.
    bool changed();

  private:
    struct Signature {
        bool exists = false;
        dev_t device = 0;
        ino_t inode = 0;
        off_t size = 0;
        std::int64_t modified_ns = 0;
        bool operator==(const Signature&) const = default;
    };
    std::vector<Signature> look() const;

    std::vector<std::string> files_;
    std::vector<Signature> known_;
    std::vector<Signature> last_look_;
};

}  // namespace sluice
