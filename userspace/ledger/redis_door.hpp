// How a connection to a Redis is made, to any node alike: encrypted and signed in as the settings say.
//
// Made once, then read by the Redis thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>
#include <optional>
#include <vector>

#include "ledger/redis_settings.hpp"
#include "ledger/resp_stream.hpp"

namespace sluice {

class RedisDoor {
  public:
    // kInvalid: addresses or files that can't be used.
    static Result<RedisDoor> make(const RedisSettings& settings);

    const RedisSettings& settings() const { return settings_; }
    const std::vector<RedisAddress>& nodes() const { return nodes_; }
    // The caller sets the deadline, as for RespStream.
    boost::asio::awaitable<Result<>> open(RespStream& stream, const RedisAddress& address);
    // Without signing in: sentinels have users of their own, or none.
    boost::asio::awaitable<Result<>> open_sentinel(RespStream& stream, const RedisAddress& address);

  private:
    RedisDoor(RedisSettings settings, std::vector<RedisAddress> nodes)
        : settings_(std::move(settings)), nodes_(std::move(nodes)) {}

    RedisSettings settings_;
    std::vector<RedisAddress> nodes_;
    std::optional<boost::asio::ssl::context> tls_;
};

}  // namespace sluice
