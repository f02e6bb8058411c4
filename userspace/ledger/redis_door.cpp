#include "ledger/redis_door.hpp"

#include <fstream>

namespace sluice {
namespace asio = boost::asio;
namespace {

Result<std::string> first_line(const std::string& file) {
    std::ifstream in{file};
    std::string line;
    if (!std::getline(in, line) || line.empty())
        return Error{ErrorCode::kInvalid, "read Redis password " + file + ": no text in it"};
    return line;
}

}  // namespace

Result<RedisDoor> RedisDoor::make(const RedisSettings& settings) {
    if (settings.nodes.empty()) return Error{ErrorCode::kInvalid, "Redis: no node is named"};
    std::vector<RedisAddress> nodes;
    for (const std::string& text : settings.nodes) {
        auto address = RedisAddress::parse(text);
        if (!address) return address.error();
        nodes.push_back(*std::move(address));
    }
    if (!settings.password_file.empty())
        if (const auto password = first_line(settings.password_file); !password) return password.error();
    RedisDoor door{settings, std::move(nodes)};
    if (!settings.tls) return door;
    door.tls_.emplace(asio::ssl::context::tls_client);
    door.tls_->set_verify_mode(asio::ssl::verify_peer);
    boost::system::error_code error;
    if (settings.ca_file.empty())
        door.tls_->set_default_verify_paths(error);
    else
        door.tls_->load_verify_file(settings.ca_file, error);
    if (error)
        return Error{ErrorCode::kInvalid,
                     "read certificates for Redis " + settings.ca_file + ": " + error.message()};
    return door;
}

asio::awaitable<Result<>> RedisDoor::open_sentinel(RespStream& stream, const RedisAddress& address) {
    co_return co_await stream.connect(address, tls_ ? &*tls_ : nullptr);
}

asio::awaitable<Result<>> RedisDoor::open(RespStream& stream, const RedisAddress& address) {
    if (const auto done = co_await stream.connect(address, tls_ ? &*tls_ : nullptr); !done) co_return done;
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

}  // namespace sluice
