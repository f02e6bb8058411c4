#include "ledger/resp_stream.hpp"

#include <hiredis/hiredis.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace sluice {
namespace asio = boost::asio;
namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::string_view kUnix = "unix:";

auto with(boost::system::error_code& error) {
    return asio::redirect_error(asio::use_awaitable, error);
}

}  // namespace

void FreeRedisReply::operator()(redisReply* reply) const {
    freeReplyObject(reply);
}

void append_command(std::string& out, const std::vector<std::string>& words) {
    out += '*';
    out += std::to_string(words.size());
    for (const std::string& word : words) {
        out += "\r\n$";
        out += std::to_string(word.size());
        out += "\r\n";
        out += word;
    }
    out += "\r\n";
}

std::string_view reply_text(const redisReply& reply) {
    const bool text = reply.type == REDIS_REPLY_STRING || reply.type == REDIS_REPLY_STATUS ||
                      reply.type == REDIS_REPLY_ERROR;
    return text ? std::string_view{reply.str, reply.len} : std::string_view{};
}

bool is_error(const redisReply& reply) {
    return reply.type == REDIS_REPLY_ERROR;
}

Result<RedisAddress> RedisAddress::parse(std::string_view text) {
    const Error wrong{ErrorCode::kInvalid, "'" + std::string{text} + "' is not HOST:PORT or unix:PATH"};
    if (text.starts_with(kUnix)) {
        if (text.size() == kUnix.size()) return wrong;
        return RedisAddress{std::string{text.substr(kUnix.size())}, ""};
    }
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos || colon == 0 || colon + 1 == text.size()) return wrong;
    std::string_view host = text.substr(0, colon);
    const std::string_view port = text.substr(colon + 1);
    if (port.find_first_not_of("0123456789") != std::string_view::npos || port.size() > 5) return wrong;
    if (std::stoul(std::string{port}) == 0 || std::stoul(std::string{port}) > UINT16_MAX) return wrong;
    const bool bracketed = host.starts_with('[') && host.ends_with(']');
    if (bracketed) host = host.substr(1, host.size() - 2);
    if (host.empty() || (!bracketed && host.find(':') != std::string_view::npos)) return wrong;
    return RedisAddress{std::string{host}, std::string{port}};
}

std::string RedisAddress::to_string() const {
    if (port.empty()) return std::string{kUnix} + host;
    return (host.find(':') != std::string::npos ? "[" + host + "]" : host) + ":" + port;
}

RespStream::RespStream(const asio::any_io_executor& executor)
    : socket_(executor), reader_(redisReaderCreate()) {}

Error RespStream::failed(std::string_view what, const boost::system::error_code& error) const {
    return {ErrorCode::kUnavailable, std::string{what} + " Redis " + name_ + ": " + error.message()};
}

asio::awaitable<Result<>> RespStream::connect(const RedisAddress& address, asio::ssl::context* tls) {
    name_ = address.to_string();
    boost::system::error_code error;
    if (address.port.empty()) {
        const asio::local::stream_protocol::endpoint endpoint{address.host};
        co_await socket_.async_connect(endpoint, with(error));
    } else {
        asio::ip::tcp::resolver resolver{socket_.get_executor()};
        const auto found = co_await resolver.async_resolve(address.host, address.port, with(error));
        if (error) co_return failed("resolve", error);
        for (const auto& entry : found) {
            boost::system::error_code ignored;
            socket_.close(ignored);
            co_await socket_.async_connect(entry.endpoint(), with(error));
            if (!error) break;
        }
        if (!error) {
            boost::system::error_code ignored;
            socket_.set_option(asio::ip::tcp::no_delay{true}, ignored);
        }
    }
    if (error) co_return failed("connect to", error);
    if (tls == nullptr) co_return Result<>{};
    encrypted_.emplace(socket_, *tls);
    SSL* const ssl = encrypted_->native_handle();
    std::string name = address.host;
    // What SSL_set_tlsext_host_name() does, without its cast.
    SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
    encrypted_->set_verify_callback(asio::ssl::host_name_verification{address.host});
    co_await encrypted_->async_handshake(asio::ssl::stream_base::client, with(error));
    if (error) co_return failed("TLS handshake with", error);
    co_return Result<>{};
}

asio::awaitable<Result<>> RespStream::write(const std::string& bytes) {
    boost::system::error_code error;
    if (encrypted_)
        co_await asio::async_write(*encrypted_, asio::buffer(bytes), with(error));
    else
        co_await asio::async_write(socket_, asio::buffer(bytes), with(error));
    if (error) co_return failed("write to", error);
    co_return Result<>{};
}

// nullptr: incomplete.
Result<RedisReply> RespStream::next_reply() {
    void* reply = nullptr;
    if (redisReaderGetReply(reader_.get(), &reply) != REDIS_OK)
        return Error{ErrorCode::kInternal, "read from Redis " + name_ + ": " + reader_->errstr};
    return RedisReply{static_cast<redisReply*>(reply)};
}

asio::awaitable<Result<RedisReply>> RespStream::read() {
    std::array<char, kReadBytes> bytes;
    while (true) {
        auto reply = next_reply();
        if (!reply || *reply != nullptr) co_return reply;
        boost::system::error_code error;
        std::size_t size = 0;
        if (encrypted_)
            size = co_await encrypted_->async_read_some(asio::buffer(bytes), with(error));
        else
            size = co_await socket_.async_read_some(asio::buffer(bytes), with(error));
        if (error) co_return failed("read from", error);
        redisReaderFeed(reader_.get(), bytes.data(), size);
    }
}

asio::awaitable<Result<RedisReply>> RespStream::ask(const std::vector<std::string>& words) {
    std::string bytes;
    append_command(bytes, words);
    if (const auto written = co_await write(bytes); !written) co_return written.error();
    co_return co_await read();
}

asio::awaitable<Result<RedisReply>> RespStream::call(const std::vector<std::string>& words) {
    auto reply = co_await ask(words);
    if (reply && is_error(**reply))
        co_return Error{ErrorCode::kUnavailable, "Redis " + name_ + " answers " + words.front() +
                                                     " with: " + std::string{reply_text(**reply)}};
    co_return reply;
}

void RespStream::close() {
    boost::system::error_code ignored;
    socket_.close(ignored);
}

}  // namespace sluice
