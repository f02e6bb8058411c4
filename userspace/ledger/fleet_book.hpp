// What one host has to tell the others, what it has heard of them, and which of two decisions holds: the later one, by
// Redis's clock — but a person's before a machine's, and of two bans by machines the longer.
//
// Pure: the caller passes the time (a monotonic clock of this host) and carries the messages. Not thread-safe.
// docs/adr/0014 has the protocol and what bounds it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ledger/fleet_fact.hpp"

namespace sluice {

// As it stands in Redis.
struct FleetEntry {
    std::uint64_t version = 0;  // microseconds of Redis's clock, and of no other entry
    std::string subject;
    std::string bytes;
    std::optional<Nanos> lasts;
};

class FleetBook {
  public:
    // As many as the kernel's map of bans holds; Redis holds no more of all kinds together.
    static constexpr std::size_t kMostFacts = 1U << 16U;
    static constexpr std::size_t kBatch = 128;
    // Read again at each new connection: by so much may the clock of a replica that took over be behind.
    static constexpr std::uint64_t kOverlapUs = 60'000'000;

    explicit FleetBook(std::string host_id) : host_id_(std::move(host_id)) {}

    // --- telling. This host decided something. False: there is no room, it will not be told.
    bool decide(FleetFact fact, Nanos now);
    bool has_to_speak() const { return !queue_.empty() && on_way_.empty(); }
    // The next batch, as the script's arguments: subject, bytes, lasts (ms, 0: for ever) and age (µs) of each fact. It is on
    // its way until said() or lost(). Empty: there is nothing.
    std::vector<std::string> begin(Nanos now);
    // What became of each.
    enum class Outcome : std::int8_t {
        kSuperseded = -1,  // something else holds
        kFull = 0,         // there is no room in Redis
        kWritten = 1,
        kStands = 2,  // it was there already
    };
    void said(std::span<const Outcome> outcomes);
    // No answer came: the batch is told again.
    void lost();
    // A new connection, or a Redis that was emptied: everything of this host that still holds is offered again.
    void offer_again();

    // --- hearing
    void connected();
    // head: what Redis has under the head's key; nullopt: nothing. True: there is something to read after since().
    bool behind(std::optional<std::string_view> head);
    std::uint64_t since() const { return since_; }
    // Everything after since() was read, when `behind` had said so: what stood last may have ended since.
    void caught_up() { since_ = std::max(since_, head_); }
    enum class Heard : std::uint8_t { kNews, kKnown, kInvalid };
    // redis_us: Redis's clock when it answered. `fact` is set if it is news.
    Heard hear(const FleetEntry& entry, std::uint64_t redis_us, Nanos now, FleetFact& fact);

    // Now and then: forgets what has ended.
    void sweep(Nanos now);
    std::size_t own() const { return own_.size(); }

  private:
    struct Own {
        FleetFact fact;
        Nanos decided;
        std::optional<Nanos> ends;
        bool queued = false;
    };
    struct Known {
        std::uint64_t version;
        std::optional<Nanos> ends;
    };
    struct OnWay {
        std::string subject;
        Nanos decided;
    };

    void queue(const std::string& subject, Own& own);
    bool holds_ours(const FleetEntry& entry, const FleetFact& theirs, std::uint64_t redis_us,
                    Nanos now) const;

    const std::string host_id_;
    std::unordered_map<std::string, Own> own_;
    std::deque<std::string> queue_;
    std::vector<OnWay> on_way_;
    std::unordered_map<std::string, Known> known_;
    std::uint64_t since_ = 0;
    std::uint64_t head_ = 0;
    std::string epoch_;  // of the Redis that was read
};

}  // namespace sluice
