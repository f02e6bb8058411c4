// The way to Redis, be it one or a Cluster's masters: a thread, and a connection to each.
//
// With one Redis there is one slot, and it is that Redis. Of a Cluster each slot has a master; what is asked of a slot without one,
// or whose master is away, is told so at once, and the rest goes on.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ledger/redis_cluster.hpp"
#include "ledger/redis_link.hpp"

namespace sluice {

class RedisNodes {
  public:
    using Node = RedisCluster::Node;
    struct Status {
        bool up = false;              // of a Cluster: all slots are
        std::string node;             // in use, or tried last; of a Cluster: how many masters
        std::string error;            // why it is not up; empty while up
        std::uint64_t losses = 0;     // times one went away
        Nanos since = 0;              // monotonic: since when it is up, or not
        Nanos round_trip = 0;         // smoothed; of a Cluster: the longest
        std::uint64_t redirects = 0;  // of a Cluster: commands that another master had to be asked
        std::vector<Node> nodes{};    // of a Cluster
    };

    // kInvalid: see RedisDoor::make.
    static Result<std::unique_ptr<RedisNodes>> make(const RedisSettings& settings);
    ~RedisNodes();

    // Before start(). As RedisLink's, for any of the connections.
    void on_connect(std::function<boost::asio::awaitable<Result<>>(RespStream&)> prepare) {
        prepare_ = std::move(prepare);
    }
    void on_change(std::function<void(bool up)> changed) { changed_ = std::move(changed); }
    // Of a Cluster, on its thread: a master's data is gone.
    void on_emptied(std::function<void()> emptied) { emptied_ = std::move(emptied); }
    void start();
    // Ends the thread. Commands without a reply get none.
    void stop();

    // Any thread.
    bool is_cluster() const { return cluster_ != nullptr; }
    unsigned slots() const { return is_cluster() ? kRedisSlots : 1; }
    RedisSlot slot_of(std::string_view key) const { return is_cluster() ? redis_slot(key) : RedisSlot{0}; }
    bool up(RedisSlot slot) const { return is_cluster() ? cluster_->up(slot) : link_->up(); }
    bool all_up() const { return is_cluster() ? cluster_->all_up() : link_->up(); }
    bool any_up() const { return is_cluster() ? cluster_->any_up() : link_->up(); }
    Status status() const;
    Nanos deadline() const { return door_.settings().deadline; }
    boost::asio::io_context& context() { return io_; }

    // The Redis thread alone. Keys of the command are in `slot`. `reply` as RedisLink::send's.
    void send(RedisSlot slot, const std::vector<std::string>& words, RedisLink::OnReply reply);
    // How long an answer usually takes at most, from what was seen.
    Nanos usual_wait(RedisSlot slot) const {
        return is_cluster() ? cluster_->usual_wait(slot) : link_->usual_wait();
    }
    // Drops the connection and makes another.
    void reconnect(RedisSlot slot, const std::string& why) {
        is_cluster() ? cluster_->reconnect(slot, why) : link_->reconnect(why);
    }

  private:
    explicit RedisNodes(RedisDoor door);

    RedisDoor door_;
    std::function<boost::asio::awaitable<Result<>>(RespStream&)> prepare_;
    std::function<void(bool)> changed_;
    std::function<void()> emptied_;
    boost::asio::io_context io_{1};
    std::shared_ptr<RedisLink> link_;        // or
    std::unique_ptr<RedisCluster> cluster_;  // the other is nullptr
    std::jthread thread_;
};

}  // namespace sluice
