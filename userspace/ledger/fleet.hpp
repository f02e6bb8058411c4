// The hosts that share a Redis: what they tell one another (fleet_book.hpp) and who they are. Carries the messages over the ledger's
// connection; decides nothing.
//
// What this host decided is told at once, in batches, one at a time. What others decided is asked for ten times a second: one GET,
// and a script if it says that there is something new.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/guarded.hpp"
#include "ledger/fleet_policies.hpp"
#include "ledger/fleet_script.hpp"
#include "ledger/redis_nodes.hpp"

namespace sluice {

struct FleetNews {
    FleetFact fact;
    Nanos heard = 0;  // monotonic; what the fact lasts counts from here
};

struct FleetHost {
    enum class State : std::uint8_t { kUp, kLate, kGone };  // spoke within 3 s, within 10 s, not

    std::string id;  // of its process
    std::string name;
    std::string version;
    std::string policy_name;
    std::string policy_hash;
    std::string policy_of_fleet;  // "follows", "refuses" or "waits"; empty: it does not share its policy
    Nanos started_wall = 0;       // as it says
    Nanos ago = 0;                // since it spoke last, by Redis's clock
    State state = State::kGone;
    bool self = false;
};
std::string_view to_string(FleetHost::State state);  // "up", "late", "gone"

struct FleetStats {
    std::uint64_t sent = 0;        // written to Redis
    std::uint64_t superseded = 0;  // something else held there
    std::uint64_t full = 0;        // no room in Redis
    std::uint64_t received = 0;    // news
    std::uint64_t invalid = 0;     // not understood
    std::uint64_t lost = 0;        // no room here to keep them until they are told
    std::string error;             // what Redis answered last instead of what was asked; empty: all is well
};

class Fleet {
  public:
    // host_id: of this process and no other, ever. `redis` outlives it.
    Fleet(RedisNodes& redis, std::string host_id, std::string name, bool share_policies);

    // --- any thread
    // Tells the others. Does not wait. `host` and `host_id` are filled in.
    void say(FleetFact fact);
    // What was heard, oldest first; at most `most`. The rest waits.
    std::vector<FleetNews> take(std::size_t most);
    bool reachable() const { return redis_.up(slot_); }
    // of_fleet: as FleetHost::policy_of_fleet.
    void describe(std::string policy_name, std::string policy_hash, std::string of_fleet);
    // nullptr: this host does not share its policy.
    FleetPolicies* policies() const { return policies_.get(); }
    FleetStats stats() const;
    // As last heard, this host first, then by name. Those that are gone and live again under another id are left out.
    std::vector<FleetHost> hosts(Nanos now) const;
    const std::string& name() const { return name_; }
    // Not on the Redis thread: tells that this host goes, and waits a little for it to be heard.
    void leave();

    // Before Redis is spoken to: called on its thread when take() has something again.
    void on_news(std::function<void()> call) {
        on_news_.with([&](auto& held) { held = std::move(call); });
    }

    // --- the Redis thread
    void connected() { fresh_ = true; }
    void tick();  // every 50 ms or so
    unsigned known_hosts() const { return known_hosts_; }

  private:
    struct Outbox {
        std::deque<FleetFact> facts;
        bool posted = false;
    };
    struct Policy {
        std::string name, hash, of_fleet;
    };
    struct Listed {
        std::vector<SeenHost> hosts;
        Nanos at = 0;
    };

    void tell_of_news();
    void drain();
    void speak();
    void ask();
    void read();
    void heard(const redisReply* reply, Nanos now);
    bool understood(const redisReply* reply, bool parsed);
    void greet();
    void list();
    std::string description() const;

    static constexpr std::size_t kMostWaiting = FleetBook::kMostFacts;  // in either box

    RedisNodes& redis_;
    const RedisSlot slot_;
    const std::string host_id_;
    const std::string name_;
    const Nanos started_wall_ = wall_now();
    Guarded<Outbox> outbox_;
    Guarded<std::deque<FleetNews>> inbox_;
    Guarded<Policy> policy_;
    Guarded<Listed> listed_;
    Guarded<FleetStats> stats_;
    Guarded<std::function<void()>> on_news_;
    const std::unique_ptr<FleetPolicies> policies_;
    // The Redis thread
    FleetBook book_;
    bool fresh_ = false;
    bool asking_ = false;
    std::uint64_t ticks_ = 0;
    std::uint64_t list_at_ = 0;  // tick
    unsigned known_hosts_ = 1;
};

}  // namespace sluice
