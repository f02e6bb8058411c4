// One connection that speaks RESP: connects, encrypts, writes commands and reads replies. Knows nothing of leases.
//
// One thread: that of its executor.
#pragma once

#include <hiredis/read.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

struct redisReply;

namespace sluice {

struct FreeRedisReply {
    void operator()(redisReply* reply) const;
};
using RedisReply = std::unique_ptr<redisReply, FreeRedisReply>;

// The command as it goes over the wire, appended.
void append_command(std::string& out, const std::vector<std::string>& words);
// The text of a status or error; empty for others.
std::string_view reply_text(const redisReply& reply);
bool is_error(const redisReply& reply);

// HOST:PORT, [IPV6]:PORT or unix:PATH, taken apart. kInvalid, saying what would be right.
struct RedisAddress {
    std::string host;  // or the path
    std::string port;  // empty: a Unix socket
    static Result<RedisAddress> parse(std::string_view text);
    std::string to_string() const;
    bool operator==(const RedisAddress&) const = default;
};

class RespStream {
  public:
    explicit RespStream(const boost::asio::any_io_executor& executor);
    RespStream(const RespStream&) = delete;
    RespStream& operator=(const RespStream&) = delete;

    // Once. tls: nullptr: plain. The caller sets the deadline: close() ends it, as it ends every call under way.
    boost::asio::awaitable<Result<>> connect(const RedisAddress& address, boost::asio::ssl::context* tls);
    boost::asio::awaitable<Result<>> write(const std::string& bytes);
    // The next reply; waits for it.
    boost::asio::awaitable<Result<RedisReply>> read();
    // A command and its reply, while nothing else is under way.
    boost::asio::awaitable<Result<RedisReply>> ask(const std::vector<std::string>& words);
    // The same; an error reply is an Error.
    boost::asio::awaitable<Result<RedisReply>> call(const std::vector<std::string>& words);
    void close();

  private:
    using Socket = boost::asio::generic::stream_protocol::socket;

    Result<RedisReply> next_reply();
    Error failed(std::string_view what, const boost::system::error_code& error) const;

    std::string name_;
    Socket socket_;
    std::optional<boost::asio::ssl::stream<Socket&>> encrypted_;
    struct FreeReader {
        void operator()(redisReader* reader) const { redisReaderFree(reader); }
    };
    std::unique_ptr<redisReader, FreeReader> reader_;
};

}  // namespace sluice
