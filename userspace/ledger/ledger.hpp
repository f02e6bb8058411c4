// Where what was spent survives this process. The limiter never waits for it: a flush thread carries changed
// keys over (flusher.hpp), so a ledger that is slow, full or gone costs durability, not requests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "limiter/limiter.hpp"

namespace sluice {

// What a start found.
struct LedgerRecovery {
    std::uint64_t restored = 0;  // keys
    std::uint64_t expired = 0;   // keys whose window has passed
    std::uint64_t damaged = 0;   // keys dropped because their record failed its checksum
    std::uint64_t full = 0;      // keys the limiter had no room for
    std::optional<Nanos>
        last_flush;     // ledger clock of the process that wrote it; none: nothing was stored yet
    bool clean = true;  // the last process closed the ledger, or there was none
    // By how much stored times were moved because the clock does not agree with the last flush (0: it does).
    Nanos clock_shift = 0;
    // What an operator should read, empty if nothing: a file moved aside, a clock that stepped, a read-only
    // disk.
    std::string notice;
};

struct LedgerHealth {
    bool up = false;
    std::string error;                // the last one; empty while up
    std::string notice;               // what was moved aside since start, and where to; empty: nothing
    std::optional<Nanos> last_flush;  // ledger clock
    std::uint64_t failures = 0;       // since start
};

// A master of a Redis Cluster.
struct SharedLedgerNode {
    std::string address;
    bool up = false;
    unsigned slots = 0;
    std::string error;  // empty while up
};

// What is known of the part that hosts share.
struct SharedLedgerState {
    bool up = false;
    std::string node;                       // in use, or tried last
    unsigned hosts = 1;                     // seen within ten seconds, this one included
    std::uint64_t messages = 0;             // sent for leases
    std::uint64_t waited = 0;               // requests that waited for an answer
    std::uint64_t late = 0;                 // of them, those whose answer did not come in time
    std::uint64_t unleased = 0;             // requests admitted by on_ledger_loss
    std::uint64_t forgotten = 0;            // keys of which it knew less than it had acknowledged
    std::uint64_t losses = 0;               // times it went away
    Nanos round_trip = 0;                   // smoothed
    std::string fleet_error{};              // what Redis answers instead of what hosts ask of one another
    Nanos alone = 0;                        // for how long hosts have not heard of one another; 0: they do
    std::vector<SharedLedgerNode> nodes{};  // of a Redis Cluster; up: all its slots are served
    std::uint64_t redirects = 0;            // commands that another master had to be asked
};

class Ledger {
  public:
    virtual ~Ledger() = default;

    // Gives every stored key to the limiter. Once, before traffic.
    virtual Result<LedgerRecovery> recover(Limiter& limiter, Nanos now) = 0;
    // All of the batch or, with an error, none of it.
    virtual Result<> store(const KeyBatch& batch, Nanos now) = 0;
    // Removes some of the expired keys; called now and then.
    virtual Result<> sweep(Nanos now) = 0;
    // Small named documents (overrides, the key secret, policy history, bans), replaced atomically and
    // durable on return. names: 1…64 bytes. May wait for the disk.
    virtual Result<std::optional<std::string>> get_document(std::string_view name) = 0;
    virtual Result<> put_document(std::string_view name, std::string_view bytes) = 0;
    // Marks a clean end. Called last.
    virtual Result<> close(Nanos now) = 0;

    virtual LedgerHealth health() const = 0;    // any thread
    virtual std::string_view kind() const = 0;  // "embedded" or "redis"
    // nullopt: nothing is shared. Any thread.
    virtual std::optional<SharedLedgerState> shared() const { return std::nullopt; }
};

// The secret of this ledger's keys: the stored one, or a new one that is stored first. kUnavailable if
// neither can be.
Result<KeySecret> key_secret(Ledger& ledger);

}  // namespace sluice
