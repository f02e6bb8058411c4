// A worker's connections to the upstreams: taken in turn, kept for reuse, passed over for a while when they
// fail.
#pragma once

#include <memory>
#include <vector>

#include "http/buffer.hpp"
#include "http/event_loop.hpp"
#include "http/gateway_server.hpp"
#include "http/stream.hpp"
#include "http/worker_counters.hpp"

namespace sluice::http {

class UpstreamPool;

// Who an upstream connection serves at the moment.
class UpstreamUser {
  public:
    virtual ~UpstreamUser() = default;
    // The connection's stream has become readable or writable, or failed.
    virtual void on_upstream() = 0;
};

// One connection. Belongs to a session while it serves an exchange, else to the pool.
class UpstreamConnection final : public EventHandler {
  public:
    UpstreamConnection(UpstreamPool& pool, BlockPool& blocks, std::size_t upstream, UniqueFd fd)
        : in(blocks), stream(std::move(fd)), pool_(&pool), upstream_(upstream), idle_timer_(*this) {}
    ~UpstreamConnection() override;

    void on_events(std::uint32_t events) override;
    void on_deadline() override;

    // Of an idle connection: closed by the upstream, or with bytes that nobody asked for.
    bool is_stale();

    Buffer in;
    Stream stream;
    bool connected = false;
    bool reused = false;           // has served an exchange before
    UpstreamUser* user = nullptr;  // nullptr: idle

  private:
    friend class UpstreamPool;
    UpstreamPool* pool_;
    std::size_t upstream_;
    Timer idle_timer_;
};

class UpstreamPool {
  public:
    UpstreamPool(const GatewayConfig& config, EventLoop& loop, BlockPool& blocks, WorkerCounters& counters);

    // An idle connection, most recently used first; nullptr if there is none.
    std::unique_ptr<UpstreamConnection> take_idle();
    // Begins to connect to the next upstream in turn; connected says whether it is done already. nullptr:
    // refused at once.
    std::unique_ptr<UpstreamConnection> connect();
    // Asks the socket after EPOLLOUT; false: the connection failed.
    static bool finish_connect(UpstreamConnection& connection);
    // The connection attempt failed or took too long: its upstream is passed over for a while.
    void failed(const UpstreamConnection& connection) { skip(connection.upstream_); }
    // Takes a connection back that is fit for another exchange.
    void give_back(std::unique_ptr<UpstreamConnection> connection);
    // Destroys a connection once no event at hand can name it: at collect().
    void discard(std::unique_ptr<UpstreamConnection> connection);
    void collect() { dropped_.clear(); }
    void close_idle();

    std::size_t upstreams() const { return upstreams_.size(); }

  private:
    friend class UpstreamConnection;
    struct Upstream {
        Endpoint endpoint;
        Nanos skip_until = 0;
    };
    void skip(std::size_t upstream);
    std::size_t next_upstream();
    void drop_idle(UpstreamConnection& connection);

    const GatewayConfig& config_;
    EventLoop& loop_;
    BlockPool& blocks_;
    WorkerCounters& counters_;
    std::vector<Upstream> upstreams_;
    std::size_t turn_ = 0;
    TimerQueue idle_timers_;
    std::vector<std::unique_ptr<UpstreamConnection>> idle_;
    std::vector<std::unique_ptr<UpstreamConnection>> dropped_;
};

}  // namespace sluice::http
