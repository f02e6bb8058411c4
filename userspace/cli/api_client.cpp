#include "cli/api_client.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <csignal>
#include <optional>

#include "base/ip_prefix.hpp"

namespace sluice {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::use_awaitable;
using ChunkHandler = std::function<bool(std::string_view)>;

// From the first step to the last byte; to the header for a stream. A policy with 100 thousand prefixes is
// applied in two seconds; a daemon that needs longer than this is stuck.
constexpr auto kDeadline = std::chrono::seconds{30};
constexpr std::uint64_t kLargestAnswerBytes = 64ULL << 20;

struct Url {
    bool tls = false;
    std::string host;  // without brackets
    std::string port;
    std::string authority;  // as written, for the Host field
};

Result<Url> parse_url(const std::string& text) {
    const Error refusal{
        ErrorCode::kInvalid,
        "\"" + text + "\" is no address of a daemon; write http://HOST:PORT or https://HOST:PORT"};
    Url url;
    std::string_view rest = text;
    if (rest.starts_with("https://")) {
        url.tls = true;
        rest.remove_prefix(8);
    } else if (rest.starts_with("http://")) {
        rest.remove_prefix(7);
    } else {
        return refusal;
    }
    if (rest.ends_with('/')) rest.remove_suffix(1);
    if (rest.empty() || rest.find_first_of("/?#@ ") != std::string_view::npos) return refusal;
    url.authority = rest;
    const bool bracketed = rest.starts_with('[');
    const std::size_t host_end = bracketed ? rest.find(']') : rest.find(':');
    if (bracketed && host_end == std::string_view::npos) return refusal;
    url.host = bracketed ? rest.substr(1, host_end - 1) : rest.substr(0, host_end);
    std::string_view after =
        host_end == std::string_view::npos ? "" : rest.substr(host_end + (bracketed ? 1 : 0));
    if (after.starts_with(':')) after.remove_prefix(1);
    url.port = after.empty() ? (url.tls ? "443" : "80") : std::string{after};
    if (url.host.empty() || url.port.find_first_not_of("0123456789") != std::string::npos) return refusal;
    return url;
}

// One request and its answer. The coroutine keeps where it is in `step`, so that an error can say what
// failed.
class Exchange {
  public:
    Exchange(const ApiEndpoint& endpoint, const ApiRequest& request, const ChunkHandler* on_chunk,
             bool has_end = false)
        : endpoint_(endpoint), on_chunk_(on_chunk), has_end_(has_end) {
        request_.method_string(request.method);
        request_.target(request.target);
        request_.version(11);
        request_.set(http::field::host, "localhost");
        request_.set(http::field::user_agent, "sluicectl/" SLUICE_VERSION);
        request_.set(http::field::connection, "close");
        request_.set(http::field::accept, on_chunk ? "text/event-stream, application/x-pcapng"
                                                   : "application/json, application/problem+json");
        if (!endpoint.token.empty()) request_.set(http::field::authorization, "Bearer " + endpoint.token);
        if (!request.body.empty()) request_.set(http::field::content_type, "application/json");
        request_.body() = request.body;
        if (request.method != "GET") request_.prepare_payload();
    }

    Result<ApiResponse> run() {
        if (!endpoint_.url.empty()) {
            auto url = parse_url(endpoint_.url);
            if (!url) return url.error();
            url_ = std::move(*url);
            request_.set(http::field::host, url_.authority);
            if (auto ready = prepare_tls(); !ready) return ready.error();
        }
        std::optional<std::exception_ptr> ended;
        asio::co_spawn(context_, talk(),
                       [&ended](std::exception_ptr failure) { ended = std::move(failure); });
        const auto started = std::chrono::steady_clock::now();
        while (!ended && !streaming_) {
            const auto left = started + kDeadline - std::chrono::steady_clock::now();
            if (left <= std::chrono::nanoseconds::zero() || context_.run_one_for(left) == 0) break;
        }
        if (streaming_) context_.run();
        if (interrupted_) return std::move(answer_);
        if (!ended)
            return Error{ErrorCode::kUnavailable, step_ + " " + endpoint_.name() + ": no answer within 30 s"};
        if (*ended) return failure_of(*ended);
        return std::move(answer_);
    }

  private:
    Result<void> prepare_tls() {
        if (!url_.tls) return {};
        boost::system::error_code failure;
        tls_.set_default_verify_paths(failure);
        tls_.set_verify_mode(asio::ssl::verify_peer);
        if (!endpoint_.ca_file.empty()) {
            tls_.load_verify_file(endpoint_.ca_file, failure);
            if (failure)
                return Error{ErrorCode::kInvalid,
                             "read certificate authority " + endpoint_.ca_file + ": " + failure.message()};
        }
        return {};
    }

    asio::awaitable<void> talk() {
        step_ = "connect to";
        if (endpoint_.url.empty()) {
            asio::local::stream_protocol::socket socket{context_};
            co_await socket.async_connect(asio::local::stream_protocol::endpoint{endpoint_.socket_path},
                                          use_awaitable);
            co_await exchange(socket);
            co_return;
        }
        asio::ip::tcp::resolver resolver{context_};
        const auto addresses = co_await resolver.async_resolve(url_.host, url_.port, use_awaitable);
        asio::ip::tcp::socket socket{context_};
        co_await asio::async_connect(socket, addresses, use_awaitable);
        if (!url_.tls) {
            co_await exchange(socket);
            co_return;
        }
        step_ = "verify the certificate of";
        asio::ssl::stream<asio::ip::tcp::socket> secured{std::move(socket), tls_};
        // SSL_set_tlsext_host_name() without the C cast in its macro; RFC 6066 allows no address there.
        if (!IpAddress::parse(url_.host))
            SSL_ctrl(secured.native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                     url_.host.data());
        secured.set_verify_callback(asio::ssl::host_name_verification{url_.host});
        co_await secured.async_handshake(asio::ssl::stream_base::client, use_awaitable);
        co_await exchange(secured);
    }

    template <class Stream>
    asio::awaitable<void> exchange(Stream& stream) {
        step_ = "ask";
        co_await http::async_write(stream, request_, use_awaitable);
        boost::beast::flat_buffer buffer;
        http::response_parser<http::string_body> parser;
        parser.body_limit(kLargestAnswerBytes);
        parser.eager(true);
        co_await http::async_read_header(stream, buffer, parser, use_awaitable);
        answer_.status = parser.get().result_int();
        if (on_chunk_ == nullptr || answer_.status >= 300) {
            co_await http::async_read(stream, buffer, parser, use_awaitable);
            answer_.body = std::move(parser.get().body());
            co_return;
        }
        streaming_ = true;
        step_ = "follow";
        parser.body_limit(boost::none);
        asio::signal_set interrupt{context_};
        if (has_end_) {
            interrupt.add(SIGINT);
            interrupt.async_wait([this](boost::system::error_code error, int) {
                if (error) return;
                interrupted_ = true;
                context_.stop();
            });
        }
        while (true) {
            std::string& body = parser.get().body();
            if (!body.empty() && !(*on_chunk_)(body)) co_return;
            body.clear();
            if (parser.is_done() && has_end_) co_return;
            if (parser.is_done()) throw boost::system::system_error{asio::error::eof};
            co_await http::async_read_some(stream, buffer, parser, use_awaitable);
        }
    }

    Error failure_of(const std::exception_ptr& failure) const {
        try {
            std::rethrow_exception(failure);
        } catch (const boost::system::system_error& error) {
            const bool forbidden = error.code() == boost::system::errc::permission_denied;
            const bool ended = error.code() == asio::error::eof ||
                               error.code() == http::error::end_of_stream ||
                               error.code() == http::error::partial_message;
            return {forbidden ? ErrorCode::kNotPermitted : ErrorCode::kUnavailable,
                    step_ + " " + endpoint_.name() + ": " +
                        (ended ? std::string{"the daemon closed the connection"} : error.code().message())};
        }
    }

    const ApiEndpoint& endpoint_;
    const ChunkHandler* on_chunk_;
    bool has_end_;
    http::request<http::string_body> request_;
    Url url_;
    ApiResponse answer_;
    std::string step_;
    bool streaming_ = false;
    bool interrupted_ = false;
    asio::ssl::context tls_{asio::ssl::context::tls_client};
    asio::io_context context_{1};  // last: its end destroys coroutines that use what stands above
};

}  // namespace

std::string percent_encoded(std::string_view text) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    constexpr std::string_view kUnreserved =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    std::string encoded;
    for (const char c : text) {
        if (kUnreserved.find(c) != std::string_view::npos) {
            encoded += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            encoded += {'%', kHex[byte >> 4], kHex[byte & 0xf]};
        }
    }
    return encoded;
}

Result<ApiResponse> ApiClient::send(const ApiRequest& request) const {
    return Exchange{endpoint_, request, nullptr}.run();
}

Result<ApiResponse> ApiClient::stream(const ApiRequest& request, const ChunkHandler& on_chunk) const {
    return Exchange{endpoint_, request, &on_chunk}.run();
}

Result<ApiResponse> ApiClient::download(const ApiRequest& request, const ChunkHandler& on_chunk) const {
    return Exchange{endpoint_, request, &on_chunk, true}.run();
}

}  // namespace sluice
