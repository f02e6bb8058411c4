#include "ledger/redis_link.hpp"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <fstream>

namespace sluice {
namespace asio = boost::asio;
namespace {

constexpr Nanos kConnectDeadline = 500 * kMillisecond;
constexpr Nanos kFirstPause = 20 * kMillisecond;
constexpr Nanos kLongestPause = kSecond;
// Silent for so long although asked: the connection may be dead without anyone having said so.
constexpr Nanos kDeadConnection = kSecond;
constexpr Nanos kLeastWait = 5 * kMillisecond;

std::chrono::nanoseconds span(Nanos time) {
    return std::chrono::nanoseconds{time};
}

Result<std::string> first_line(const std::string& file) {
    std::ifstream in{file};
    std::string line;
    if (!std::getline(in, line) || line.empty())
        return Error{ErrorCode::kInvalid, "read Redis password " + file + ": no text in it"};
    return line;
}

}  // namespace

Result<std::unique_ptr<RedisLink>> RedisLink::make(const RedisSettings& settings) {
    if (settings.nodes.empty()) return Error{ErrorCode::kInvalid, "Redis: no node is named"};
    std::vector<RedisAddress> nodes;
    for (const std::string& text : settings.nodes) {
        auto address = RedisAddress::parse(text);
        if (!address) return address.error();
        nodes.push_back(*std::move(address));
    }
    if (!settings.password_file.empty())
        if (const auto password = first_line(settings.password_file); !password) return password.error();
    std::unique_ptr<RedisLink> link{new RedisLink{settings, std::move(nodes)}};
    if (!settings.tls) return link;
    link->tls_.emplace(asio::ssl::context::tls_client);
    link->tls_->set_verify_mode(asio::ssl::verify_peer);
    boost::system::error_code error;
    if (settings.ca_file.empty())
        link->tls_->set_default_verify_paths(error);
    else
        link->tls_->load_verify_file(settings.ca_file, error);
    if (error)
        return Error{ErrorCode::kInvalid,
                     "read certificates for Redis " + settings.ca_file + ": " + error.message()};
    return link;
}

RedisLink::~RedisLink() {
    stop();
}

void RedisLink::start() {
    status_.with([](Status& status) { status.since = monotonic_now(); });
    asio::co_spawn(io_, keep_up(), asio::detached);
    thread_ = std::jthread{[this] {
        const auto work = asio::make_work_guard(io_);
        io_.run();
    }};
}

void RedisLink::stop() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
    up_.store(false, std::memory_order_release);
}

RedisLink::Status RedisLink::status() const {
    return status_.with([](const Status& status) { return status; });
}

void RedisLink::set_up(bool up, const std::string& why) {
    const bool was = up_.exchange(up, std::memory_order_acq_rel);
    status_.with([&](Status& status) {
        status.up = up;
        status.error = up ? "" : why;
        if (was && !up) ++status.losses;
        if (was != up) status.since = monotonic_now();
    });
    if (was != up && changed_) changed_(up);
}

asio::awaitable<void> RedisLink::keep_up() {
    Nanos pause = kFirstPause;
    asio::steady_timer timer{io_};
    while (true) {
        auto stream = std::make_shared<RespStream>(io_.get_executor());
        timer.expires_after(span(kConnectDeadline));
        timer.async_wait([stream](const boost::system::error_code& error) {
            if (!error) stream->close();
        });
        const Result<> connected = co_await connect_once(*stream);
        timer.cancel();
        if (connected) {
            pause = kFirstPause;
            const Error lost = co_await converse(stream);
            set_up(false, lost.message);
            lose_pending();
        } else {
            set_up(false, connected.error().message);
            next_node_ = (next_node_ + 1) % nodes_.size();
        }
        timer.expires_after(span(pause));
        co_await timer.async_wait(asio::use_awaitable);
        pause = std::min(2 * pause, kLongestPause);
    }
}

asio::awaitable<Result<>> RedisLink::connect_once(RespStream& stream) {
    RedisAddress address = nodes_[next_node_];
    if (!settings_.sentinel.empty()) {
        auto master = co_await find_master();
        if (!master) co_return master.error();
        address = *std::move(master);
    }
    status_.with([&](Status& status) { status.node = address.to_string(); });
    if (const auto done = co_await stream.connect(address, tls_ ? &*tls_ : nullptr); !done) co_return done;
    if (const auto done = co_await sign_in(stream); !done) co_return done;
    const std::vector<std::string> ask_role{"ROLE"};  // GCC 12 takes no braces in a co_await
    const auto role = co_await stream.call(ask_role);
    if (!role) co_return role.error();
    const redisReply& answer = **role;
    if (answer.type != REDIS_REPLY_ARRAY || answer.elements == 0 ||
        reply_text(*answer.element[0]) != "master")
        co_return Error{ErrorCode::kUnavailable, "Redis " + address.to_string() + " is not a master"};
    if (prepare_) co_return co_await prepare_(stream);
    co_return Result<>{};
}

asio::awaitable<Result<>> RedisLink::sign_in(RespStream& stream) {
    if (settings_.password_file.empty()) co_return Result<>{};
    const auto password = first_line(settings_.password_file);
    if (!password) co_return password.error();
    std::vector<std::string> words{"AUTH"};
    if (!settings_.username.empty()) words.push_back(settings_.username);
    words.push_back(*password);
    const auto done = co_await stream.call(words);
    if (!done) co_return done.error();
    co_return Result<>{};
}

// Asks the sentinel whose turn it is. Sentinels have users of their own, or none: no password is sent.
asio::awaitable<Result<RedisAddress>> RedisLink::find_master() {
    auto stream = std::make_shared<RespStream>(io_.get_executor());
    asio::steady_timer timer{io_};
    timer.expires_after(span(kConnectDeadline / 2));
    timer.async_wait([stream](const boost::system::error_code& error) {
        if (!error) stream->close();
    });
    const auto connected = co_await stream->connect(nodes_[next_node_], tls_ ? &*tls_ : nullptr);
    if (!connected) co_return connected.error();
    const std::vector<std::string> question{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", settings_.sentinel};
    const auto reply = co_await stream->call(question);
    if (!reply) co_return reply.error();
    const redisReply& answer = **reply;
    if (answer.type != REDIS_REPLY_ARRAY || answer.elements != 2)
        co_return Error{ErrorCode::kUnavailable, "sentinel " + nodes_[next_node_].to_string() +
                                                     " knows no master named " + settings_.sentinel};
    co_return RedisAddress{std::string{reply_text(*answer.element[0])},
                           std::string{reply_text(*answer.element[1])}};
}

// Until the connection is lost; why.
asio::awaitable<Error> RedisLink::converse(std::shared_ptr<RespStream> stream) {
    stream_ = stream;
    last_heard_ = monotonic_now();
    set_up(true, "");
    while (true) {
        const auto reply = co_await stream->read();
        if (!reply) {
            stream->close();
            stream_.reset();
            out_.clear();
            writing_ = false;
            co_return reply.error();
        }
        const Nanos now = monotonic_now();
        last_heard_ = now;
        if (pending_.empty()) {
            reconnect("Redis answers what it was not asked");
            continue;
        }
        const Pending pending = std::move(pending_.front());
        pending_.pop_front();
        heard(pending.sent, now);
        if (!up()) set_up(true, "");
        pending.reply(reply->get(), pending.sent, now);
    }
}

void RedisLink::reconnect(std::string why) {
    if (stream_ == nullptr) return;
    status_.with([&](Status& status) { status.error = std::move(why); });
    stream_->close();
}

// As TCP estimates its retransmission time (RFC 6298).
void RedisLink::heard(Nanos sent, Nanos now) {
    const Nanos taken = now - sent;
    if (round_trip_ == 0) {
        round_trip_ = taken;
        deviation_ = taken / 2;
    } else {
        deviation_ += (std::abs(taken - round_trip_) - deviation_) / 4;
        round_trip_ += (taken - round_trip_) / 8;
    }
    status_.with([&](Status& status) {
        ++status.commands;
        status.round_trip = round_trip_;
        status.last_heard = now;
    });
}

Nanos RedisLink::usual_wait() const {
    return std::clamp(2 * round_trip_ + 8 * deviation_, kLeastWait, std::max(kLeastWait, settings_.deadline));
}

void RedisLink::lose_pending() {
    const Nanos now = monotonic_now();
    for (std::deque<Pending> lost = std::move(pending_); const Pending& one : lost)
        one.reply(nullptr, one.sent, now);
    pending_.clear();
}

void RedisLink::send(const std::vector<std::string>& words, OnReply reply) {
    const Nanos now = monotonic_now();
    if (stream_ == nullptr) {
        asio::post(io_, [reply = std::move(reply), now] { reply(nullptr, now, now); });
        return;
    }
    append_command(out_, words);
    pending_.push_back({std::move(reply), now});
    if (!writing_) {
        writing_ = true;
        asio::co_spawn(io_, write_out(stream_), asio::detached);
    }
    if (!watching_) {
        watching_ = true;
        asio::co_spawn(io_, watch(stream_), asio::detached);
    }
}

asio::awaitable<void> RedisLink::write_out(std::shared_ptr<RespStream> stream) {
    co_await asio::post(io_, asio::use_awaitable);  // what this round of the loop sends goes together
    while (stream == stream_ && !out_.empty()) {
        const std::string bytes = std::exchange(out_, {});
        if (const auto written = co_await stream->write(bytes); !written) {
            stream->close();  // the reader sees it and says why
            co_return;
        }
    }
    if (stream == stream_) writing_ = false;
}

// Notices silence. Runs while something is asked.
asio::awaitable<void> RedisLink::watch(std::shared_ptr<RespStream> stream) {
    asio::steady_timer timer{io_};
    const auto silence = [&] {
        return pending_.empty() ? 0 : monotonic_now() - std::max(last_heard_, pending_.front().sent);
    };
    while (stream == stream_ && !pending_.empty()) {
        timer.expires_after(span(std::max(kMillisecond, settings_.deadline - silence())));
        co_await timer.async_wait(asio::use_awaitable);
        // It may have been this process that was held up: whatever has arrived meanwhile is read first.
        for (int rounds = 0; rounds < 2; ++rounds) co_await asio::post(io_, asio::use_awaitable);
        if (stream != stream_) break;
        if (silence() >= settings_.deadline && up())
            set_up(false, "no answer within " + std::to_string(settings_.deadline / kMillisecond) + " ms");
        if (silence() >= kDeadConnection) {
            stream->close();
            break;
        }
    }
    watching_ = false;
    if (stream_ != nullptr && !pending_.empty() && stream != stream_) {
        watching_ = true;
        asio::co_spawn(io_, watch(stream_), asio::detached);
    }
}

}  // namespace sluice
