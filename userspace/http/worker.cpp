#include "http/worker.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "http/reasons.hpp"
#include "http/rewrite.hpp"

namespace sluice::http {
namespace {

// Connections accepted at one event, so that those already open get their turn in a storm of new ones.
constexpr int kMaxAcceptsInARow = 64;
// Read buffers hold a head of the longest kind and behind it at least this much of a body.
constexpr std::size_t kBodyWindowBytes = 16 * 1024;
constexpr Nanos kLingerDeadline = 2 * kSecond;
constexpr Nanos kAcceptPause = 100 * kMillisecond;

}  // namespace

Deadlines::Deadlines(const GatewayConfig& config, EventLoop& loop)
    : header(config.header_deadline),
      idle(config.idle_deadline),
      body(config.body_deadline),
      write(config.write_deadline),
      connect(config.connect_deadline),
      response(config.response_deadline),
      gap(config.response_gap_deadline),
      tunnel(config.tunnel_deadline),
      linger(kLingerDeadline),
      accept_pause(kAcceptPause) {
    for (TimerQueue* queue :
         {&header, &idle, &body, &write, &connect, &response, &gap, &tunnel, &linger, &accept_pause}) {
        loop.watch(*queue);
    }
}

void Listener::on_events(std::uint32_t /*events*/) {
    for (int i = 0; i < kMaxAcceptsInARow; ++i) {
        sockaddr_storage address{};
        socklen_t length = sizeof address;
        UniqueFd fd{::accept4(fd_.get(), reinterpret_cast<sockaddr*>(&address), &length,
                              SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (!fd) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                worker_.loop().change(fd_.get(), 0, *this);
                worker_.deadlines().accept_pause.arm(pause_, worker_.loop().now());
                return;
            }
            if (errno == EAGAIN) return;
            continue;  // ECONNABORTED and the like: that one is gone, the next may be fine
        }
        const auto peer = IpAddress::from_sockaddr(reinterpret_cast<const sockaddr*>(&address));
        if (peer) worker_.accepted(std::move(fd), *peer);
    }
}

void Listener::on_deadline() {
    worker_.loop().change(fd_.get(), EPOLLIN, *this);
}

Worker::Worker(unsigned index, const GatewayConfig& config, const TlsSnapshot* tls,
               SourceConnections& sources)
    : index_(index),
      config_(config),
      sources_(sources),
      blocks_(config.max_header_bytes + kBodyWindowBytes),
      deadlines_(config, loop_),
      upstreams_(config, loop_, blocks_, counters_) {
    if (tls != nullptr) tls_.emplace(*tls);
}

Worker::~Worker() = default;

Result<> Worker::open(std::vector<UniqueFd> listeners, const ApplicationFactory& make_application) {
    if (auto opened = loop_.open(); !opened) return opened.error();
    application_ = make_application(*this);
    for (auto& fd : listeners) {
        auto& listener = listeners_.emplace_back(std::make_unique<Listener>(*this, std::move(fd)));
        if (auto added = loop_.add(listener->fd(), EPOLLIN, *listener); !added) return added.error();
    }
    return {};
}

void Worker::run() {
    // OpenSSL writes with write(), which raises SIGPIPE on a closed connection; blocked, it stays an EPIPE.
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, nullptr);

    loop_.run([this] { after_round(); });

    listeners_.clear();
    for (std::size_t i = sessions_.size(); i > 0; --i) sessions_[i - 1]->cut();
    closed_.clear();
    upstreams_.close_idle();
    upstreams_.collect();
}

void Worker::after_round() {
    closed_.clear();
    upstreams_.collect();
    if (draining_ && sessions_.empty()) loop_.stop();
}

void Worker::drain() {
    loop_.post([this] { begin_drain(); });
}

void Worker::begin_drain() {
    // What the kernel has accepted for us already would be reset if the listener just closed.
    for (auto& listener : listeners_) listener->on_events(EPOLLIN);
    listeners_.clear();
    draining_ = true;
    for (std::size_t i = sessions_.size(); i > 0; --i) sessions_[i - 1]->drain();
    upstreams_.close_idle();
}

SSL_CTX* Worker::tls() {
    if (!tls_) return nullptr;
    // The snapshot holds const contexts, as all snapshots do; OpenSSL takes them non-const and locks inside.
    return const_cast<SSL_CTX*>(tls_->get().get());
}

std::string_view Worker::date_line() {
    const Nanos second = loop_.now() / kSecond;
    if (second != date_second_) {
        date_second_ = second;
        const auto wall = static_cast<std::time_t>(wall_now() / kSecond);
        tm utc{};
        ::gmtime_r(&wall, &utc);
        std::array<char, 64> text{};
        // RFC 9110 §5.6.7; the process runs in the "C" locale for dates.
        const std::size_t length =
            std::strftime(text.data(), text.size(), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
        date_line_.assign(text.data(), length);
    }
    return date_line_;
}

void Worker::accepted(UniqueFd fd, const IpAddress& peer) {
    counters_.accepted.add();
    if (sessions_.size() >= config_.max_connections_per_worker) {
        refuse_connection(fd.get(), peer, kReasonTooManyConnections, "too many connections are open");
        return;
    }
    const bool counted = !application_->trusted_proxies().contains(peer);  // a proxy brings everybody's
    if (counted && !sources_.enter(peer)) {
        counters_.refused_sources.add();
        refuse_connection(fd.get(), peer, kReasonSourceConnections,
                          "too many connections are open from this address");
        return;
    }
    set_no_delay(fd.get());
    auto session = std::make_unique<Session>(*this, std::move(fd), peer);
    session->counted = counted;
    if (!loop_.add(session->fd(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, *session)) {
        if (counted) sources_.leave(peer);
        return;
    }
    session->place = sessions_.size();
    sessions_.push_back(std::move(session));
    counters_.open.add();
    sessions_.back()->start();
}

void Worker::refuse_connection(int fd, const IpAddress& peer, std::string_view reason,
                               std::string_view detail) {
    EarlyRefusal refusal;
    refusal.reason = reason;
    refusal.peer = refusal.client = peer;
    refusal.tls = tls_.has_value();
    refusal.received = monotonic_now();
    if (!refusal.tls) {
        refusal.status = 503;
        AddedFields fields;
        fields.set("Content-Type", "application/problem+json");
        Buffer out{blocks_};
        write_reply(503, fields, problem_body(503, reason, detail), true, false, 1, date_line(), out);
        // A new socket's buffer is empty: this goes in whole or the client is gone.
        [[maybe_unused]] const auto sent = ::send(fd, out.data().data(), out.size(), MSG_NOSIGNAL);
        ::shutdown(fd, SHUT_WR);
    }
    counters_.refused_early.add();
    application_->refused_early(refusal);
}

void Worker::forget(Session& session) {
    const std::size_t place = session.place;
    if (session.counted) sources_.leave(session.peer());
    closed_.push_back(std::move(sessions_[place]));
    if (place + 1 != sessions_.size()) {
        sessions_[place] = std::move(sessions_.back());
        sessions_[place]->place = place;
    }
    sessions_.pop_back();
    counters_.open.subtract();
}

}  // namespace sluice::http
