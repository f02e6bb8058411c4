// One connection of the admin server: requests are read, dispatched and answered one after the other.
#pragma once

#include <array>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "http/admin_server.hpp"
#include "http/router.hpp"

namespace sluice::http {

inline constexpr auto kAwaitable = boost::asio::as_tuple(boost::asio::use_awaitable);

using RequestHead = boost::beast::http::request_header<>;

// Who is at the other end of a connection: on TCP an address, on the unix socket a caller who is known
// already.
struct AdminPeer {
    std::optional<IpAddress> address;
    Caller caller;
};

// What a session needs of the server. All on one thread.
class AdminService {
  public:
    virtual ~AdminService() = default;
    // Called with the header, before the body is read: a refusal, or nothing and the caller in `request`.
    virtual std::optional<AdminResponse> admit(const AdminPeer& peer, const RequestHead& head,
                                               AdminRequest& request) = 0;
    virtual AdminResponse dispatch(AdminRequest request) = 0;
    virtual const AdminServerOptions& options() const = 0;
    virtual bool stopped() const = 0;
};

// Wakes a coroutine that waits for a stream to have something. ring() may be called from any thread.
class Doorbell : public std::enable_shared_from_this<Doorbell> {
  public:
    explicit Doorbell(boost::asio::any_io_executor executor) : timer_(std::move(executor)) {}
    // True: rung; false: the time was up first.
    boost::asio::awaitable<bool> wait(std::chrono::nanoseconds timeout);
    std::function<void()> ringer();
    // On the server's thread.
    void ring();

  private:
    boost::asio::steady_timer timer_;
    bool rung_ = false;
};

// The target and the fields of the head, without caller and body. Nullopt: not a target.
std::optional<AdminRequest> to_request(const RequestHead& head);

boost::beast::http::response<boost::beast::http::string_body> to_message(AdminResponse response,
                                                                         unsigned version, bool keep_alive);

// What to say to a client whose request could not be read; nullopt for errors after which no answer can or
// need be sent.
std::optional<AdminResponse> answer_to(boost::beast::error_code error);

// Stream: boost::beast::basic_stream or ssl_stream of it, connected, its handshake done. Returns when the
// connection is to be closed. `layer` is the basic_stream that holds the deadline.
template <class Stream, class Layer>
class AdminSession {
  public:
    AdminSession(Stream& stream, Layer& layer, AdminService& service, AdminPeer peer)
        : stream_(stream), layer_(layer), service_(service), peer_(std::move(peer)), known_(!peer_.address) {}

    boost::asio::awaitable<void> run() {
        Nanos idle = head_deadline();  // a client that connects has something to say
        while (co_await wait_for_request(idle)) {
            const bool go_on = co_await serve_one();
            if (!go_on) co_return;
            idle = known_ ? service_.options().idle_deadline : head_deadline();
        }
    }

    // Makes run() return soon, wherever it waits.
    void close() {
        layer_.close();
        if (bell_) bell_->ring();
    }

  private:
    using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

    // Strangers on TCP hold one of few places.
    Nanos head_deadline() const {
        return known_ ? service_.options().read_deadline : service_.options().stranger_deadline;
    }
    void expect_within(Nanos deadline) { layer_.expires_after(std::chrono::nanoseconds{deadline}); }

    boost::asio::awaitable<bool> wait_for_request(Nanos idle) {
        if (buffer_.size() > 0) co_return true;
        expect_within(idle);
        const auto [error, length] = co_await stream_.async_read_some(buffer_.prepare(4096), kAwaitable);
        buffer_.commit(length);
        co_return !error;
    }

    // False: close the connection.
    boost::asio::awaitable<bool> serve_one() {
        namespace http = boost::beast::http;
        Parser parser;
        parser.header_limit(static_cast<std::uint32_t>(service_.options().max_header_bytes));
        parser.body_limit(service_.options().max_body_bytes);
        expect_within(head_deadline());
        const auto [head_error, head_length] =
            co_await http::async_read_header(stream_, buffer_, parser, kAwaitable);
        if (head_error) co_return co_await refuse(answer_to(head_error), parser);

        auto request = to_request(parser.get());
        if (!request)
            co_return co_await refuse(AdminResponse::problem(400, "the target is malformed"), parser);
        if (auto refusal = service_.admit(peer_, parser.get(), *request))
            co_return co_await refuse(std::move(refusal), parser);
        known_ = known_ || request->caller.role != Role::kNone;
        expect_within(service_.options().read_deadline);

        if (boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
            http::response<http::empty_body> go_on{http::status::continue_, 11};
            const auto [error, length] = co_await http::async_write(stream_, go_on, kAwaitable);
            if (error) co_return false;
        }
        const auto [body_error, body_length] =
            co_await http::async_read(stream_, buffer_, parser, kAwaitable);
        if (body_error) co_return co_await refuse(answer_to(body_error), parser);
        if (service_.stopped()) co_return false;

        request->body = std::move(parser.get().body());
        const bool head_only = parser.get().method() == http::verb::head;
        AdminResponse response = service_.dispatch(std::move(*request));
        if (response.stream && !head_only) {
            co_await stream_body(std::move(response));
            co_return false;
        }
        co_return co_await answer(std::move(response), parser.get().version(), parser.keep_alive(),
                                  head_only);
    }

    // Answers without having read all of the request; the connection goes on only if there was nothing more
    // to read.
    boost::asio::awaitable<bool> refuse(std::optional<AdminResponse> response, const Parser& parser) {
        if (!response) co_return false;
        const bool head = parser.is_header_done();
        const bool whole = parser.is_done();
        const bool head_only = head && parser.get().method() == boost::beast::http::verb::head;
        const bool go_on = co_await answer(std::move(*response), head ? parser.get().version() : 11,
                                           whole && parser.keep_alive(), head_only);
        if (!whole) co_await linger();
        co_return go_on;
    }

    // Closing with bytes unread makes the kernel send a reset, which can overtake the answer: so say that no
    // more will be sent, and read for a moment what the client still sends.
    boost::asio::awaitable<void> linger() {
        boost::beast::error_code ignored;
        layer_.socket().shutdown(boost::asio::socket_base::shutdown_send, ignored);
        expect_within(kSecond);
        std::array<char, 16'384> waste;
        for (std::size_t total = 0; total < 4 * service_.options().max_body_bytes;) {
            const auto [error, length] =
                co_await layer_.async_read_some(boost::asio::buffer(waste), kAwaitable);
            if (error) co_return;
            total += length;
        }
    }

    boost::asio::awaitable<bool> answer(AdminResponse response, unsigned version, bool keep_alive,
                                        bool head_only) {
        namespace http = boost::beast::http;
        auto message = to_message(std::move(response), version, keep_alive && !service_.stopped());
        expect_within(service_.options().write_deadline);
        http::response_serializer<http::string_body> serializer{message};
        if (head_only) {
            const auto [error, length] = co_await http::async_write_header(stream_, serializer, kAwaitable);
            co_return !error && message.keep_alive();
        }
        const auto [error, length] = co_await http::async_write(stream_, serializer, kAwaitable);
        co_return !error && message.keep_alive();
    }

    // Until the body, the client, the server or a write deadline ends it.
    boost::asio::awaitable<void> stream_body(AdminResponse response) {
        namespace http = boost::beast::http;
        const StreamBody body = std::move(*response.stream);
        bell_ = std::make_shared<Doorbell>(stream_.get_executor());
        auto message = to_message(std::move(response), 11, false);
        message.erase(http::field::content_length);
        message.chunked(true);
        http::response_serializer<http::string_body> serializer{message};
        expect_within(service_.options().write_deadline);
        const auto [head_error, head_length] =
            co_await http::async_write_header(stream_, serializer, kAwaitable);
        if (head_error) co_return;
        body.on_ready(bell_->ringer());
        // The client has nothing more to say: what can be read of it is its end.
        const auto gone = std::make_shared<bool>(false);
        layer_.socket().async_wait(boost::asio::socket_base::wait_read,
                                   [gone, ring = bell_->ringer()](boost::beast::error_code) {
                                       *gone = true;
                                       ring();
                                   });
        while (!service_.stopped() && !*gone) {
            std::string piece;
            body.take(piece);
            if (piece.empty() && body.over && body.over()) {
                expect_within(service_.options().write_deadline);
                co_await boost::asio::async_write(stream_, http::make_chunk_last(), kAwaitable);
                co_return;
            }
            if (piece.empty()) {
                const bool rung =
                    co_await bell_->wait(std::chrono::nanoseconds{service_.options().heartbeat});
                if (rung) continue;
                piece = body.heartbeat;
                if (piece.empty()) continue;
            }
            expect_within(service_.options().write_deadline);
            const auto [error, length] = co_await boost::asio::async_write(
                stream_, http::make_chunk(boost::asio::buffer(piece)), kAwaitable);
            if (error) co_return;
        }
    }

    Stream& stream_;
    Layer& layer_;
    AdminService& service_;
    AdminPeer peer_;
    bool known_;  // has shown who it is
    boost::beast::flat_buffer buffer_;
    std::shared_ptr<Doorbell> bell_;  // of a stream
};

}  // namespace sluice::http
