#include "http/upstream_pool.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace sluice::http {

UpstreamConnection::~UpstreamConnection() {
    pool_->counters_.upstream_open.subtract();
}

void UpstreamConnection::on_events(std::uint32_t events) {
    stream.note(events);
    if (user != nullptr) {
        user->on_upstream();
    } else if (is_stale()) {
        pool_->drop_idle(*this);
    }
}

bool UpstreamConnection::is_stale() {
    char byte = 0;
    return stream.peek({&byte, 1}).status != Stream::Status::kBlocked;
}

void UpstreamConnection::on_deadline() {
    pool_->drop_idle(*this);
}

UpstreamPool::UpstreamPool(const GatewayConfig& config, EventLoop& loop, BlockPool& blocks,
                           WorkerCounters& counters)
    : config_(config),
      loop_(loop),
      blocks_(blocks),
      counters_(counters),
      idle_timers_(config.upstream_idle_deadline) {
    for (const auto& endpoint : config.upstream) upstreams_.push_back({endpoint, 0});
    loop_.watch(idle_timers_);
}

std::unique_ptr<UpstreamConnection> UpstreamPool::take_idle() {
    if (idle_.empty()) return nullptr;
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    counters_.upstream_idle.subtract();
    counters_.upstream_reuses.add();
    connection->idle_timer_.cancel();
    connection->reused = true;
    return connection;
}

std::size_t UpstreamPool::next_upstream() {
    const std::size_t first = turn_++ % upstreams_.size();
    for (std::size_t i = 0; i < upstreams_.size(); ++i) {
        const std::size_t candidate = (first + i) % upstreams_.size();
        if (upstreams_[candidate].skip_until <= loop_.now()) return candidate;
    }
    return first;  // all have failed lately: trying one is better than refusing unseen
}

void UpstreamPool::skip(std::size_t upstream) {
    upstreams_[upstream].skip_until = loop_.now() + config_.upstream_skip;
    counters_.upstream_failures.add();
}

std::unique_ptr<UpstreamConnection> UpstreamPool::connect() {
    const std::size_t upstream = next_upstream();
    sockaddr_storage address{};
    const socklen_t length = upstreams_[upstream].endpoint.to_sockaddr(address);
    UniqueFd fd{::socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    counters_.upstream_connects.add();
    if (!fd) {
        skip(upstream);
        return nullptr;
    }
    if (address.ss_family != AF_UNIX) set_no_delay(fd.get());
    const int connected = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length);
    if (connected != 0 && errno != EINPROGRESS) {
        skip(upstream);
        return nullptr;
    }
    counters_.upstream_open.add();
    auto connection = std::make_unique<UpstreamConnection>(*this, blocks_, upstream, std::move(fd));
    connection->connected = connected == 0;
    connection->stream.wait_for_events(connected == 0);
    if (!loop_.add(connection->stream.fd(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, *connection)) {
        skip(upstream);
        return nullptr;
    }
    return connection;
}

bool UpstreamPool::finish_connect(UpstreamConnection& connection) {
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(connection.stream.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
    connection.connected = error == 0;
    return connection.connected;
}

void UpstreamPool::give_back(std::unique_ptr<UpstreamConnection> connection) {
    connection->user = nullptr;
    connection->in.drop();
    if (idle_.size() >= config_.max_idle_upstream_per_worker) {
        discard(std::move(connection));
        return;
    }
    idle_timers_.arm(connection->idle_timer_, loop_.now());
    idle_.push_back(std::move(connection));
    counters_.upstream_idle.add();
}

void UpstreamPool::drop_idle(UpstreamConnection& connection) {
    const auto found = std::find_if(idle_.begin(), idle_.end(),
                                    [&](const auto& candidate) { return candidate.get() == &connection; });
    if (found == idle_.end()) return;  // dropped before in this round
    auto owned = std::move(*found);
    idle_.erase(found);
    counters_.upstream_idle.subtract();
    discard(std::move(owned));
}

void UpstreamPool::discard(std::unique_ptr<UpstreamConnection> connection) {
    connection->user = nullptr;
    connection->idle_timer_.cancel();
    connection->in.drop();
    connection->stream.close();
    dropped_.push_back(std::move(connection));
}

void UpstreamPool::close_idle() {
    while (!idle_.empty()) drop_idle(*idle_.back());
}

}  // namespace sluice::http
