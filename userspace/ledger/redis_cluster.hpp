// The masters of a Redis Cluster: who has which slot, a link to each, and commands that find their way although slots move.
//
// A command goes to the master of its slot. MOVED and ASK are followed; until the link to a master that is new has been made, what
// is meant for it waits, for the deadline at most. What a node can't answer because its cluster is down, or because a slot is
// half on its way, is as good as lost: `reply` gets nullptr, and the caller asks again or does without.
//
// A slot is up when its master's link is. The rest is the Redis thread's.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ledger/cluster_slots.hpp"
#include "ledger/redis_link.hpp"

namespace sluice {

class RedisCluster {
  public:
    static constexpr std::size_t kMostMasters = 128;

    struct Calls {
        std::function<boost::asio::awaitable<Result<>>(RespStream&)> prepare;  // as RedisLink::on_connect
        // Some slots came or went; `up`: came.
        std::function<void(bool up)> changed;
        // A master has lost its data, or never had any.
        std::function<void()> emptied;
    };
    struct Node {
        std::string address;
        bool up = false;
        unsigned slots = 0;
        std::string error;  // empty while up
        Nanos round_trip = 0;
    };
    struct Status {
        std::vector<Node> nodes;
        std::string error;  // why not all slots are served; empty: they are
        std::uint64_t redirects = 0;
        std::uint64_t losses = 0;  // times a link went away
        Nanos since = 0;           // since when all slots are up, or not
    };

    RedisCluster(boost::asio::io_context& io, RedisDoor& door);

    // --- any thread
    bool up(RedisSlot slot) const {
        const std::uint8_t owner = owner_[slot].load(std::memory_order_acquire);
        return owner != kNobody && up_[owner].load(std::memory_order_acquire);
    }
    bool all_up() const { return all_up_.load(std::memory_order_acquire); }
    bool any_up() const { return any_up_.load(std::memory_order_acquire); }
    Status status() const;

    // --- the Redis thread
    void start(Calls calls);
    // Once the thread has ended: nothing is up any more.
    void end();
    void send(RedisSlot slot, const std::vector<std::string>& words, RedisLink::OnReply reply);
    Nanos usual_wait(RedisSlot slot) const;
    void reconnect(RedisSlot slot, const std::string& why);

  private:
    using Id = std::uint8_t;
    static constexpr Id kNobody = kMostMasters;

    struct Command {
        RedisSlot slot;
        std::string bytes;
        RedisLink::OnReply reply;
        Nanos sent;
        unsigned hops = 0;
    };
    struct Held {  // until its link has been made
        std::shared_ptr<Command> command;
        bool asking;
    };
    struct Master {
        RedisAddress address;
        std::shared_ptr<RedisLink> link;
        bool serves = true;  // as far as it says itself
        Nanos named = 0;     // when a map or a redirection named it last
        unsigned slots = 0;
        std::string mark;  // key that tells whether it was emptied
        RedisSlot marked = 0;
        std::deque<Held> held{};
    };

    struct Viewed {
        std::string address;
        std::shared_ptr<RedisLink> link;
        bool serves;
        unsigned slots;
    };

    boost::asio::awaitable<void> keep_up();
    boost::asio::awaitable<void> refresh();
    boost::asio::awaitable<Result<std::vector<SlotRange>>> ask_for_slots(RedisAddress of);
    std::vector<RedisAddress> whom_to_ask();
    Id id_of(const RedisAddress& address);
    void take(const std::vector<SlotRange>& ranges);
    void settle();
    void publish();
    static Node node_of(const Viewed& viewed, std::uint64_t& losses);
    void link_changed(Id id, bool up);
    void serves(Id id, bool serves);
    void go(Id id, std::shared_ptr<Command> command, bool asking);
    void answered(Id id, const std::shared_ptr<Command>& command, const redisReply* reply, Nanos now);
    void redirect(const std::shared_ptr<Command>& command, const ClusterAnswer& answer, Nanos now);
    void lose(std::shared_ptr<Command> command);
    void drop_late(Nanos now);
    void mark(Id id);

    boost::asio::io_context& io_;
    RedisDoor& door_;
    Calls calls_;
    std::array<std::atomic<std::uint8_t>, kRedisSlots> owner_;
    std::array<std::atomic<bool>, kMostMasters> up_{};
    std::atomic<bool> all_up_{false};
    std::atomic<bool> any_up_{false};
    std::atomic<std::uint64_t> redirects_{0};
    struct View {
        std::vector<Viewed> nodes;
        std::string map_error;
        std::uint64_t losses = 0;
        Nanos since = 0;
    };
    Guarded<View> view_;
    // The Redis thread
    std::array<std::unique_ptr<Master>, kMostMasters> masters_;
    std::vector<Id> wanted_ = std::vector<Id>(kRedisSlots, kNobody);  // as the cluster says; owner_ follows
    std::string map_error_;                                           // why there is no map, or no newer one
    std::size_t next_seed_ = 0;
    Nanos refreshed_ = 0;
    bool refreshing_ = false;
    bool stale_ = true;  // someone said that the map is no longer right
    std::uint64_t losses_ = 0;
};

}  // namespace sluice
