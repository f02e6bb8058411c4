// One append-only file of bounded size and its predecessors: auth.log, auth.1.log, … auth.4.log.
//
// Not spdlog's rotating_file_sink: that one buffers, so a full disk shows up records later, and truncates the
// file when a rename fails. Here a failed write leaves the file as it was, and the caller knows exactly what
// is not in it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace sluice {

// One thread at a time.
class RotatingFile {
  public:
    // `files` counts the current one. Nothing is opened yet.
    RotatingFile(std::string path, std::uint64_t max_bytes, unsigned files);

    // Opens (made with mode 0640) if it is not open or no longer stands under its name; a torn last line, left by a crash, is ended first.
    Result<> open();
    // Appends all of `lines` (whole lines) or nothing; rotates first if they would not fit.
    Result<> append(std::string_view lines);
    // fdatasync.
    Result<> sync();

  private:
    bool is_open_under_its_name() const;
    std::string numbered(unsigned index) const;
    Result<> rotate();

    std::string path_;
    std::uint64_t max_bytes_;
    unsigned files_;
    UniqueFd file_;
    std::uint64_t size_ = 0;
};

}  // namespace sluice
