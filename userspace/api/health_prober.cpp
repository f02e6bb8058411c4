#include "api/health_prober.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <charconv>
#include <chrono>

namespace sluice {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;

Error unavailable(std::string_view what, const error_code& error) {
    return Error{ErrorCode::kUnavailable, std::string{what} + ": " + error.message()};
}

// One HEAD over an established stream.
template <class Stream>
asio::awaitable<Result<>> ask(Stream& stream, const ProbeUrl& url) {
    beast::http::request<beast::http::empty_body> request{beast::http::verb::head, url.path, 11};
    request.set(beast::http::field::host, url.host);
    request.set(beast::http::field::user_agent, "sluice/" SLUICE_VERSION);
    request.set(beast::http::field::connection, "close");
    error_code error;
    co_await beast::http::async_write(stream, request, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return unavailable("write", error);
    beast::flat_buffer buffer;
    beast::http::response_parser<beast::http::empty_body> parser;
    parser.skip(true);
    co_await beast::http::async_read_header(stream, buffer, parser,
                                            asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return unavailable("read", error);
    if (parser.get().result_int() >= 500)
        co_return Error{ErrorCode::kUnavailable, "answered " + std::to_string(parser.get().result_int())};
    co_return Result<>{};
}

}  // namespace

Result<ProbeUrl> ProbeUrl::parse(std::string_view text) {
    const auto fail = [&] {
        return Error{
            ErrorCode::kInvalid,
            "'" + std::string{text} + "' is not tcp://HOST:PORT, http://HOST[:PORT][/PATH] or https://…"};
    };
    ProbeUrl url;
    std::string_view rest;
    const auto scheme = [&](std::string_view prefix) {
        if (!text.starts_with(prefix)) return false;
        rest = text.substr(prefix.size());
        return true;
    };
    if (scheme("tcp://")) {
        url.scheme = Scheme::kTcp;
    } else if (scheme("http://")) {
        url.scheme = Scheme::kHttp;
        url.port = "80";
    } else if (scheme("https://")) {
        url.scheme = Scheme::kHttps;
        url.port = "443";
    } else {
        return fail();
    }

    if (const std::size_t slash = rest.find('/'); slash != std::string_view::npos) {
        url.path = rest.substr(slash);
        rest = rest.substr(0, slash);
    }
    std::string_view port;
    if (rest.starts_with('[')) {  // [v6]:port
        const std::size_t close = rest.find(']');
        if (close == std::string_view::npos) return fail();
        url.host = rest.substr(1, close - 1);
        rest = rest.substr(close + 1);
        if (!rest.empty() && rest[0] != ':') return fail();
        port = rest.empty() ? rest : rest.substr(1);
    } else {
        const std::size_t colon = rest.find(':');
        url.host = rest.substr(0, colon);
        if (colon != std::string_view::npos) port = rest.substr(colon + 1);
    }
    if (!port.empty()) url.port = port;
    unsigned number = 0;
    const auto [end, error] = std::from_chars(url.port.data(), url.port.data() + url.port.size(), number);
    const bool port_valid =
        error == std::errc{} && end == url.port.data() + url.port.size() && number > 0 && number <= 65535;
    const bool text_clean = text.find_first_of(" \t\r\n@") == std::string_view::npos;
    if (url.host.empty() || !port_valid || !text_clean) return fail();
    return url;
}

std::string_view to_string(ServiceState state) {
    switch (state) {
        case ServiceState::kUp:
            return "up";
        case ServiceState::kDown:
            return "down";
        case ServiceState::kUnknown:
            break;
    }
    return "unknown";
}

HealthProber::HealthProber(asio::any_io_executor executor, std::vector<ProbeTarget> targets)
    : executor_(std::move(executor)), tls_(asio::ssl::context::tls_client), targets_(std::move(targets)) {
    error_code ignored;  // without a CA store every https probe fails and says so
    tls_.set_default_verify_paths(ignored);
    for (const ProbeTarget& target : targets_)
        services_.push_back({target.name, ServiceState::kUnknown, 0, wall_now(), {}});
}

void HealthProber::start() {
    *running_ = true;
    for (std::size_t i = 0; i < targets_.size(); ++i) asio::co_spawn(executor_, watch(i), asio::detached);
}

void HealthProber::stop() {
    *running_ = false;
}

asio::awaitable<void> HealthProber::watch(std::size_t index) {
    const std::shared_ptr<bool> running = running_;
    asio::steady_timer timer{executor_};
    while (*running) {
        const Nanos begun = monotonic_now();
        const Result<> answer = co_await probe(targets_[index].url);
        if (!*running) co_return;

        ServiceHealth& health = services_[index];
        const ServiceState state = answer ? ServiceState::kUp : ServiceState::kDown;
        if (state != health.state) health.since_wall = wall_now();
        health.state = state;
        health.latency = monotonic_now() - begun;
        health.reason = answer ? std::string{} : answer.error().message;

        timer.expires_after(std::chrono::nanoseconds{kInterval});
        error_code cancelled;
        co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    }
}

asio::awaitable<Result<>> HealthProber::probe(const ProbeUrl& url) {
    error_code error;
    const auto token = [&error] { return asio::redirect_error(asio::use_awaitable, error); };

    asio::ip::tcp::resolver resolver{executor_};
    const auto endpoints = co_await resolver.async_resolve(url.host, url.port, token());
    if (error) co_return unavailable("resolve " + url.host, error);

    beast::tcp_stream tcp{executor_};
    tcp.expires_after(std::chrono::nanoseconds{kTimeout});
    co_await tcp.async_connect(endpoints, token());
    if (error) co_return unavailable("connect " + url.host + ":" + url.port, error);
    if (url.scheme == ProbeUrl::Scheme::kTcp) co_return Result<>{};
    if (url.scheme == ProbeUrl::Scheme::kHttp) co_return co_await ask(tcp, url);

    beast::ssl_stream<beast::tcp_stream> tls{std::move(tcp), tls_};
    tls.set_verify_mode(asio::ssl::verify_peer);
    tls.set_verify_callback(asio::ssl::host_name_verification{url.host});
    // What the macro SSL_set_tlsext_host_name() says, without its C casts. OpenSSL copies the name.
    std::string server_name = url.host;
    if (!::SSL_ctrl(tls.native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                    server_name.data()))
        co_return Error{ErrorCode::kInternal, "set the TLS server name " + url.host};
    co_await tls.async_handshake(asio::ssl::stream_base::client, token());
    if (error) co_return unavailable("TLS handshake with " + url.host, error);
    co_return co_await ask(tls, url);
}

}  // namespace sluice
