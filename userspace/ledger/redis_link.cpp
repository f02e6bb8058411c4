#include "ledger/redis_link.hpp"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

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

}  // namespace

void RedisLink::start() {
    status_.with([](Status& status) { status.since = monotonic_now(); });
    asio::co_spawn(io_, keep_up(shared_from_this()), asio::detached);
}

void RedisLink::end() {
    ended_ = true;
    up_.store(false, std::memory_order_release);
    for (const auto& stream : {attempt_, stream_})
        if (stream != nullptr) stream->close();
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
    if (was != up && changed_ && !ended_) changed_(up);
}

asio::awaitable<void> RedisLink::keep_up(std::shared_ptr<RedisLink> self) {
    Nanos pause = kFirstPause;
    asio::steady_timer timer{io_};
    while (!self->ended_) {
        auto stream = std::make_shared<RespStream>(io_.get_executor());
        timer.expires_after(span(kConnectDeadline));
        timer.async_wait([stream](const boost::system::error_code& error) {
            if (!error) stream->close();
        });
        attempt_ = stream;
        const Result<> connected = co_await connect_once(*stream);
        attempt_.reset();
        timer.cancel();
        if (connected && !ended_) {
            pause = kFirstPause;
            const Error lost = co_await converse(stream);
            set_up(false, lost.message);
            lose_pending();
        } else if (!connected) {
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
    if (!door_.settings().sentinel.empty()) {
        auto master = co_await find_master();
        if (!master) co_return master.error();
        address = *std::move(master);
    }
    status_.with([&](Status& status) { status.node = address.to_string(); });
    if (const auto done = co_await door_.open(stream, address); !done) co_return done;
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

// Asks the sentinel whose turn it is.
asio::awaitable<Result<RedisAddress>> RedisLink::find_master() {
    auto stream = std::make_shared<RespStream>(io_.get_executor());
    asio::steady_timer timer{io_};
    timer.expires_after(span(kConnectDeadline / 2));
    timer.async_wait([stream](const boost::system::error_code& error) {
        if (!error) stream->close();
    });
    const auto connected = co_await door_.open_sentinel(*stream, nodes_[next_node_]);
    if (!connected) co_return connected.error();
    const std::vector<std::string> question{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", door_.settings().sentinel};
    const auto reply = co_await stream->call(question);
    if (!reply) co_return reply.error();
    const redisReply& answer = **reply;
    if (answer.type != REDIS_REPLY_ARRAY || answer.elements != 2)
        co_return Error{ErrorCode::kUnavailable, "sentinel " + nodes_[next_node_].to_string() +
                                                     " knows no master named " + door_.settings().sentinel};
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
    return std::clamp(2 * round_trip_ + 8 * deviation_, kLeastWait,
                      std::max(kLeastWait, door_.settings().deadline));
}

void RedisLink::lose_pending() {
    const Nanos now = monotonic_now();
    for (std::deque<Pending> lost = std::move(pending_); const Pending& one : lost)
        one.reply(nullptr, one.sent, now);
    pending_.clear();
}

void RedisLink::send(const std::vector<std::string>& words, OnReply reply) {
    if (stream_ == nullptr) return lose(std::move(reply));
    append_command(out_, words);
    asked(std::move(reply));
}

void RedisLink::send(std::string_view command, OnReply reply) {
    if (stream_ == nullptr) return lose(std::move(reply));
    out_ += command;
    asked(std::move(reply));
}

void RedisLink::lose(OnReply reply) {
    const Nanos now = monotonic_now();
    asio::post(io_, [reply = std::move(reply), now] { reply(nullptr, now, now); });
}

// Its command is in out_.
void RedisLink::asked(OnReply reply) {
    pending_.push_back({std::move(reply), monotonic_now()});
    if (!writing_) {
        writing_ = true;
        asio::co_spawn(io_, write_out(shared_from_this(), stream_), asio::detached);
    }
    if (!watching_) {
        watching_ = true;
        asio::co_spawn(io_, watch(shared_from_this(), stream_), asio::detached);
    }
}

asio::awaitable<void> RedisLink::write_out(std::shared_ptr<RedisLink> /*self*/,
                                           std::shared_ptr<RespStream> stream) {
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
asio::awaitable<void> RedisLink::watch(std::shared_ptr<RedisLink> /*self*/,
                                       std::shared_ptr<RespStream> stream) {
    asio::steady_timer timer{io_};
    const auto silence = [&] {
        return pending_.empty() ? 0 : monotonic_now() - std::max(last_heard_, pending_.front().sent);
    };
    while (stream == stream_ && !pending_.empty()) {
        timer.expires_after(span(std::max(kMillisecond, door_.settings().deadline - silence())));
        co_await timer.async_wait(asio::use_awaitable);
        // It may have been this process that was held up: whatever has arrived meanwhile is read first.
        for (int rounds = 0; rounds < 2; ++rounds) co_await asio::post(io_, asio::use_awaitable);
        if (stream != stream_) break;
        if (silence() >= door_.settings().deadline && up())
            set_up(false,
                   "no answer within " + std::to_string(door_.settings().deadline / kMillisecond) + " ms");
        if (silence() >= kDeadConnection) {
            stream->close();
            break;
        }
    }
    watching_ = false;
    if (stream_ != nullptr && !pending_.empty() && stream != stream_) {
        watching_ = true;
        asio::co_spawn(io_, watch(shared_from_this(), stream_), asio::detached);
    }
}

}  // namespace sluice
