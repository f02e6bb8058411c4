// One worker: a thread with its own loop, listeners, sessions, upstream connections and application.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/snapshot.hpp"
#include "http/application.hpp"
#include "http/buffer.hpp"
#include "http/event_loop.hpp"
#include "http/gateway_server.hpp"
#include "http/session.hpp"
#include "http/source_connections.hpp"
#include "http/tls_context.hpp"
#include "http/upstream_pool.hpp"
#include "http/worker_counters.hpp"

namespace sluice::http {

using TlsSnapshot = Snapshot<SSL_CTX>;

// One queue for each deadline of the config.
struct Deadlines {
    Deadlines(const GatewayConfig& config, EventLoop& loop);

    TimerQueue header, idle, body, write, connect, response, gap, tunnel, linger, accept_pause;
};

class Worker;

// A listening socket of one worker.
class Listener final : public EventHandler {
  public:
    Listener(Worker& worker, UniqueFd fd) : worker_(worker), fd_(std::move(fd)), pause_(*this) {}
    int fd() const { return fd_.get(); }
    void on_events(std::uint32_t events) override;
    void on_deadline() override;

  private:
    Worker& worker_;
    UniqueFd fd_;
    Timer pause_;  // out of descriptors: asking again at once would only spin
};

class Worker final : public WorkerContext {
  public:
    // The config, the TLS snapshot (nullptr: plain) and the count of all workers' connections outlive the worker.
    Worker(unsigned index, const GatewayConfig& config, const TlsSnapshot* tls, SourceConnections& sources);
    ~Worker() override;

    // Before run(), by the thread that starts it.
    Result<> open(std::vector<UniqueFd> listeners, const ApplicationFactory& make_application);

    // The thread's body: until stop(), or until the last session has ended after drain().
    void run();

    // Any thread.
    unsigned index() const override { return index_; }
    void post(std::function<void()> task) override { loop_.post(std::move(task)); }
    void drain();
    void stop() { loop_.stop(); }
    const WorkerCounters& counters() const { return counters_; }

    // For sessions and listeners, on the worker's thread.
    const GatewayConfig& config() const { return config_; }
    EventLoop& loop() { return loop_; }
    BlockPool& blocks() { return blocks_; }
    UpstreamPool& upstreams() { return upstreams_; }
    Deadlines& deadlines() { return deadlines_; }
    Application& application() { return *application_; }
    WorkerCounters& mutable_counters() { return counters_; }
    bool draining() const { return draining_; }
    // The context for new connections; nullptr: plain.
    SSL_CTX* tls();
    // "Date: …\r\n" of this second.
    std::string_view date_line();
    void accepted(UniqueFd fd, const IpAddress& peer);
    // The session has closed: it is destroyed after this round.
    void forget(Session& session);

  private:
    void begin_drain();
    void after_round();
    void refuse_connection(int fd, const IpAddress& peer, std::string_view reason, std::string_view detail);

    const unsigned index_;
    const GatewayConfig& config_;
    std::optional<SnapshotReader<SSL_CTX>> tls_;
    SourceConnections& sources_;
    WorkerCounters counters_;
    EventLoop loop_;
    BlockPool blocks_;
    Deadlines deadlines_;
    UpstreamPool upstreams_;
    std::unique_ptr<Application> application_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::vector<std::unique_ptr<Session>> sessions_;  // each knows its place
    std::vector<std::unique_ptr<Session>> closed_;
    bool draining_ = false;
    Nanos date_second_ = -1;
    std::string date_line_;
};

}  // namespace sluice::http
