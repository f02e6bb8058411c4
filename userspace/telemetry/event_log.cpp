#include "telemetry/event_log.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "telemetry/event_record.hpp"
#include "telemetry/event_stream.hpp"
#include "telemetry/rotating_file.hpp"

namespace sluice {
namespace {

constexpr std::size_t kBatch = 256;  // records taken at a time: what a more urgent category waits for
constexpr std::size_t kChunkBytes = 64 * 1024;  // lines given to one write()
constexpr auto kRetry = std::chrono::seconds{1};
constexpr auto kCloseTimeout = std::chrono::seconds{2};

using Clock = std::chrono::steady_clock;

struct Entry {
    Event event;
    Nanos wall = 0;
    std::uint64_t sequence = 0;
};

// Lines that belong together in the file: all of them are written or none.
struct Chunk {
    std::string lines;
    std::uint64_t records = 0;
};

std::vector<Chunk> in_chunks(const std::vector<std::string>& lines, std::size_t max_bytes) {
    std::vector<Chunk> chunks;
    for (const auto& line : lines) {
        if (chunks.empty() || chunks.back().lines.size() + line.size() + 1 > max_bytes) chunks.emplace_back();
        chunks.back().lines.append(line).push_back('\n');
        ++chunks.back().records;
    }
    return chunks;
}

}  // namespace

class EventLog::Impl {
  public:
    Impl(Options options, EventStream* stream) : options_(std::move(options)), stream_(stream) {
        for (std::size_t i = 0; i < kLogCategories; ++i) {
            const std::string name{to_string(static_cast<LogCategory>(i))};
            files_[i].emplace(options_.directory + '/' + name + ".log", options_.max_bytes, options_.files);
        }
    }

    Result<> open_files() {
        if (options_.directory.empty()) return {};
        if (::mkdir(options_.directory.c_str(), 0750) != 0 && errno != EEXIST)
            return system_error("make log directory", options_.directory, errno);
        for (auto& file : files_)
            if (auto opened = file->open(); !opened) return opened;
        return {};
    }

    void start() {
        writer_ = std::thread{[this] { run(); }};
    }

    void stop() {
        flush(kCloseTimeout);
        {
            const std::lock_guard lock{mutex_};
            stop_ = true;
        }
        wake_.notify_one();
        writer_.join();
    }

    void write(Event event) {
        bound_texts(event);
        const Nanos wall = wall_now();
        const auto category = static_cast<std::size_t>(category_of(event));
        bool wake = false;
        {
            const std::lock_guard lock{mutex_};
            Queue& queue = queues_[category];
            const std::uint64_t sequence = queue.next_sequence++;
            if (queue.entries.size() >= options_.queue) {
                if (queue.lost.count++ == 0) queue.lost.first_sequence = sequence;
                queue.lost.last_sequence = sequence;
                ++queue.stats.dropped;
                return;
            }
            queue.entries.push_back({std::move(event), wall, sequence});
            ++queue.accepted;
            wake = std::exchange(asleep_, false);
        }
        if (wake) wake_.notify_one();
    }

    bool flush(std::chrono::milliseconds timeout) {
        std::unique_lock lock{mutex_};
        std::array<std::uint64_t, kLogCategories> targets{};
        for (std::size_t i = 0; i < kLogCategories; ++i) targets[i] = queues_[i].accepted;
        return done_.wait_for(lock, timeout, [&] {
            for (std::size_t i = 0; i < kLogCategories; ++i)
                if (queues_[i].finished < targets[i] || queues_[i].lost.count) return false;
            return true;
        });
    }

    Stats stats() const {
        const std::lock_guard lock{mutex_};
        Stats stats;
        for (std::size_t i = 0; i < kLogCategories; ++i) stats[i] = queues_[i].stats;
        return stats;
    }

  private:
    struct Queue {
        std::deque<Entry> entries;
        std::uint64_t next_sequence = 1;
        std::uint64_t accepted = 0;  // put into entries
        std::uint64_t finished = 0;  // of these, written
        LogLoss lost;                // dropped, and not told in the log yet
        CategoryStats stats;
    };

    // The writing thread's, for a category whose file fails: what it could not write, tried again every
    // second.
    struct Held {
        std::vector<Chunk> chunks;
        Clock::time_point retry;
    };

    void run() {
        std::unique_lock lock{mutex_};
        while (true) {
            const auto category = next_category();
            if (category) {
                std::vector<Entry> entries = take(*category);
                lock.unlock();
                serve(*category, std::move(entries));
                lock.lock();
                continue;
            }
            if (stop_) break;
            asleep_ = true;
            const bool holding =
                std::any_of(held_.begin(), held_.end(), [](auto& h) { return !h.chunks.empty(); });
            if (holding)
                wake_.wait_for(lock, kRetry);
            else
                wake_.wait(lock, [this] { return !asleep_ || stop_; });
            asleep_ = false;
        }
        for (std::size_t i = 0; i < kLogCategories; ++i)
            queues_[i].stats.dropped += queues_[i].accepted - queues_[i].finished;
    }

    // The most urgent category that has something to write and whose file is not known to fail. Under the
    // lock.
    std::optional<std::size_t> next_category() const {
        for (std::size_t i = 0; i < kLogCategories; ++i) {
            const Held& held = held_[i];
            if (!held.chunks.empty()) {
                if (Clock::now() >= held.retry && !stop_) return i;
                continue;
            }
            if (!queues_[i].entries.empty() || queues_[i].lost.count) return i;
        }
        return std::nullopt;
    }

    // Under the lock. Nothing while the category is held: what waits is bounded by its queue.
    std::vector<Entry> take(std::size_t category) {
        std::vector<Entry> taken;
        if (!held_[category].chunks.empty()) return taken;
        Queue& queue = queues_[category];
        const std::size_t count = std::min(queue.entries.size(), kBatch);
        std::move(queue.entries.begin(), queue.entries.begin() + static_cast<std::ptrdiff_t>(count),
                  std::back_inserter(taken));
        queue.entries.erase(queue.entries.begin(),
                            queue.entries.begin() + static_cast<std::ptrdiff_t>(count));
        // What was lost came after all that was queued; told here, the sequence in the file ascends.
        if (queue.entries.empty() && queue.lost.count) {
            queue.lost.category = static_cast<LogCategory>(category);
            taken.push_back({std::exchange(queue.lost, LogLoss{}), wall_now(), queue.next_sequence++});
            ++queue.accepted;
        }
        return taken;
    }

    // Renders, hands to the stream and writes; on failure holds what is left. Without the lock.
    void serve(std::size_t category, std::vector<Entry> entries) {
        std::vector<std::string> lines;
        const std::string dataset = "sluice." + std::string{to_string(static_cast<LogCategory>(category))};
        for (const auto& entry : entries) {
            lines.push_back(render(entry.event, entry.wall, entry.sequence));
            if (stream_) stream_->publish(dataset, lines.back());
        }
        Held& held = held_[category];
        if (held.chunks.empty())
            held.chunks = in_chunks(lines, std::min<std::size_t>(kChunkBytes, options_.max_bytes));
        if (options_.to_stdout && !entries.empty()) print(held.chunks);
        std::uint64_t written = 0;
        std::size_t done = 0;
        std::string error;
        for (; done < held.chunks.size() && error.empty(); ++done) {
            if (auto result = append(category, held.chunks[done].lines); !result) {
                error = result.error().message;
                break;
            }
            written += held.chunks[done].records;
        }
        held.chunks.erase(held.chunks.begin(), held.chunks.begin() + static_cast<std::ptrdiff_t>(done));
        held.retry = Clock::now() + kRetry;
        // An audit record counts as written when it is on the disk.
        if (error.empty() && static_cast<LogCategory>(category) == LogCategory::kAudit)
            if (auto synced = files_[category]->sync(); !synced) error = synced.error().message;
        const std::lock_guard lock{mutex_};
        queues_[category].finished += written;
        queues_[category].stats.written += written;
        queues_[category].stats.error = std::move(error);
        done_.notify_all();
    }

    Result<> append(std::size_t category, std::string_view lines) {
        if (options_.directory.empty()) return {};
        return files_[category]->append(lines);
    }

    // Best effort: the files are the record.
    static void print(const std::vector<Chunk>& chunks) {
        for (const auto& chunk : chunks) std::fwrite(chunk.lines.data(), 1, chunk.lines.size(), stdout);
        std::fflush(stdout);
    }

    const Options options_;
    EventStream* const stream_;

    mutable std::mutex mutex_;  // the members down to stop_
    std::condition_variable wake_;
    std::condition_variable done_;
    std::array<Queue, kLogCategories> queues_;
    bool asleep_ = false;
    bool stop_ = false;

    // The writing thread's.
    std::array<std::optional<RotatingFile>, kLogCategories> files_;
    std::array<Held, kLogCategories> held_;
    std::thread writer_;
};

Result<std::unique_ptr<EventLog>> EventLog::open(Options options, EventStream* stream) {
    if (options.files == 0) return Error{ErrorCode::kInvalid, "open logs: files is 0; at least 1 is kept"};
    auto impl = std::make_unique<Impl>(std::move(options), stream);
    if (auto opened = impl->open_files(); !opened) return opened.error();
    impl->start();
    return std::unique_ptr<EventLog>(new EventLog(std::move(impl)));
}

EventLog::EventLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EventLog::~EventLog() {
    impl_->stop();
}

void EventLog::write(Event event) {
    impl_->write(std::move(event));
}
bool EventLog::flush(std::chrono::milliseconds timeout) {
    return impl_->flush(timeout);
}
EventLog::Stats EventLog::stats() const {
    return impl_->stats();
}

}  // namespace sluice
