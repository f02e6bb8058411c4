// The structured log: events in, JSON lines in rotating files out, by a thread of its own.
//
// Every record is written or counted as dropped: a queue that is full drops the newest record, counts it, and
// says so in the same file as soon as it can be written (event.action log-loss; event.sequence shows the
// gap). A disk that is full or read-only holds the queues back; writing resumes by itself.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "telemetry/events.hpp"

namespace sluice {

class EventStream;

class EventLog {
  public:
    struct Options {
        std::string directory;                 // made if missing (0750); empty: no files
        std::uint64_t max_bytes = 10'485'760;  // of one file
        unsigned files = 5;                    // kept of each category, the current one included; at least 1
        bool to_stdout = false;
        std::size_t queue = 8192;  // records that wait, of each category
    };
    struct CategoryStats {
        std::uint64_t written = 0;
        std::uint64_t dropped = 0;
        std::string error;  // why its file cannot be written now; empty: it can
    };
    using Stats = std::array<CategoryStats, kLogCategories>;

    // Opens every file, so that a wrong directory is known at start, and starts the writing thread. `stream`,
    // if any, gets every record too and outlives the log.
    static Result<std::unique_ptr<EventLog>> open(Options options, EventStream* stream = nullptr);
    // Flushes for at most two seconds, then stops.
    ~EventLog();

    // Any thread; never waits for the disk.
    void write(Event event);
    // Any thread: waits until everything written before is in its file (and, for audit, on the disk). False:
    // it was not within `timeout`.
    bool flush(std::chrono::milliseconds timeout);
    // Any thread; the index is the LogCategory.
    Stats stats() const;

  private:
    class Impl;
    explicit EventLog(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
