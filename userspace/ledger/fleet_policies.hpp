// What hosts that share their policy say and hear of it. One policy stands, the one decided last; whoever has not heard of it reads it.
//
// Carries; decides nothing but which of two was later, which is Redis's word. Asks four times a second: one GET.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/guarded.hpp"
#include "ledger/fleet_policy.hpp"
#include "ledger/redis_nodes.hpp"

namespace sluice {

class FleetPolicies {
  public:
    struct Stats {
        std::uint64_t told = 0;        // written to Redis
        std::uint64_t superseded = 0;  // a later one stood there
        std::uint64_t invalid = 0;     // not understood
        std::string error;  // what Redis answered last instead of what was asked; empty: all is well
    };
    struct News {
        FleetPolicy policy;
        bool own = false;  // this host's own decision stands now, with that version
    };

    // `news` is called on the Redis thread when take() has something. `redis` outlives it.
    FleetPolicies(RedisNodes& redis, RedisSlot slot, std::string host_id, std::string host,
                  std::function<void()> news);

    // --- any thread
    // What this host took or told last, before it was started; nothing is asked before. nullopt: nothing.
    void know(std::optional<FleetPolicy> policy);
    // This host decided it, now. `host`, `host_id`, `version` and `decided_us` are filled in. What was heard before and not taken is
    // forgotten. Does not wait. text: at most kMaxPolicyBytes.
    void say(FleetPolicy policy);
    std::optional<News> take();
    Stats stats() const;

    // --- the Redis thread
    void tick();  // every 50 ms or so

  private:
    struct Box {
        std::optional<FleetPolicy> outgoing;  // until Redis has it, or another stands
        Nanos decided = 0;                    // monotonic
        std::optional<News> news;
    };

    void tell();
    void ask();
    void read();
    void heard(FleetPolicy policy);
    void offer_again();
    void refused(const redisReply* reply);

    RedisNodes& redis_;
    const RedisSlot slot_;
    const std::string host_id_;
    const std::string host_;
    const std::function<void()> news_;
    Guarded<Box> box_;
    Guarded<Stats> stats_;
    // The Redis thread
    bool ready_ = false;
    bool telling_ = false;
    bool asking_ = false;
    std::uint64_t known_ = 0;
    std::uint64_t unreadable_ = 0;       // version
    std::optional<FleetPolicy> latest_;  // as far as this process knows
    std::uint64_t ticks_ = 0;
};

}  // namespace sluice
