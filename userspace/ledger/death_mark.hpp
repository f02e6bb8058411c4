// Leaves a mark if the process dies of what it reads: a byte is appended to a file by the signals that a damaged,
// mapped file ends in (SIGSEGV, SIGBUS, and SIGABRT of LMDB's assertions). Whoever is killed from outside leaves none.
//
// One mark at a time in a process; a second one marks nothing. Created and destroyed by one thread.
#pragma once

#include <string>

namespace sluice {

class DeathMark {
  public:
    explicit DeathMark(const std::string& file);
    ~DeathMark();
    DeathMark(const DeathMark&) = delete;
    DeathMark& operator=(const DeathMark&) = delete;

  private:
    bool watching_ = false;
};

}  // namespace sluice
