// One connection to a Redis that is always being kept up. Commands are pipelined; what a round of the loop sends goes out in
// one write.
//
// Redis is away when there is no connection, or when something was asked and nothing at all was heard for the deadline. It is
// back with the next thing heard. Who asks meanwhile is told so at once.
//
// Shared: what is under way holds it until it has ended.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/guarded.hpp"
#include "ledger/redis_door.hpp"

namespace sluice {

class RedisLink : public std::enable_shared_from_this<RedisLink> {
  public:
    // reply: nullptr: the connection was lost; the command may have been carried out.
    using OnReply = std::function<void(const redisReply* reply, Nanos sent, Nanos now)>;

    struct Status {
        bool up = false;
        std::string node;          // in use, or tried last
        std::string error;         // why it is not up; empty while up
        std::uint64_t losses = 0;  // times it went away
        Nanos since = 0;           // monotonic: since when it is up, or not
        std::uint64_t commands = 0;
        Nanos round_trip = 0;             // smoothed
        std::optional<Nanos> last_heard;  // monotonic
    };

    // To one of `nodes` (of the sentinels' choice, if the settings name one). Both references outlive it.
    RedisLink(boost::asio::io_context& io, RedisDoor& door, std::vector<RedisAddress> nodes)
        : io_(io), door_(door), nodes_(std::move(nodes)) {}

    // Before start(). Both are called on the link's thread: `prepared` for each new connection, before it counts as up (an
    // error ends the connection); `changed` whenever Redis comes or goes.
    void on_connect(std::function<boost::asio::awaitable<Result<>>(RespStream&)> prepare) {
        prepare_ = std::move(prepare);
    }
    void on_change(std::function<void(bool up)> changed) { changed_ = std::move(changed); }
    void start();

    // Any thread.
    bool up() const { return up_.load(std::memory_order_acquire); }
    Status status() const;

    // The link's thread alone, which runs the io_context. `reply` is called later, never from within, exactly once unless the
    // thread ends before.
    void send(const std::vector<std::string>& words, OnReply reply);
    // command: as append_command() writes it.
    void send(std::string_view command, OnReply reply);
    bool connected() const { return stream_ != nullptr; }
    // How long an answer usually takes at most, from what was seen.
    Nanos usual_wait() const;
    // Drops the connection and makes another.
    void reconnect(std::string why);
    // For good: what is on its way is lost, and no change is told any more.
    void end();

  private:
    struct Pending {
        OnReply reply;
        Nanos sent;
    };

    boost::asio::awaitable<void> keep_up(std::shared_ptr<RedisLink> self);
    boost::asio::awaitable<Result<>> connect_once(RespStream& stream);
    boost::asio::awaitable<Result<RedisAddress>> find_master();
    boost::asio::awaitable<Error> converse(std::shared_ptr<RespStream> stream);
    boost::asio::awaitable<void> write_out(std::shared_ptr<RedisLink> self,
                                           std::shared_ptr<RespStream> stream);
    boost::asio::awaitable<void> watch(std::shared_ptr<RedisLink> self, std::shared_ptr<RespStream> stream);
    void asked(OnReply reply);
    void lose(OnReply reply);
    void set_up(bool up, const std::string& why);
    void heard(Nanos sent, Nanos now);
    void lose_pending();

    boost::asio::io_context& io_;
    RedisDoor& door_;
    const std::vector<RedisAddress> nodes_;
    std::function<boost::asio::awaitable<Result<>>(RespStream&)> prepare_;
    std::function<void(bool)> changed_;

    std::atomic<bool> up_{false};
    Guarded<Status> status_;
    // The link's thread
    std::size_t next_node_ = 0;
    std::shared_ptr<RespStream> attempt_;  // being made
    std::shared_ptr<RespStream> stream_;   // signed in
    std::string out_;
    std::deque<Pending> pending_;
    Nanos last_heard_ = 0;
    bool writing_ = false;
    bool watching_ = false;
    Nanos round_trip_ = 0;
    Nanos deviation_ = 0;
    bool ended_ = false;
};

}  // namespace sluice
