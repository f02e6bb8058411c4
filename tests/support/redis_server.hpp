// A real redis-server for one test: on a Unix socket and, if asked for, a loopback port; in memory only.
#pragma once

#include <hiredis/hiredis.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

namespace sluice::test {

struct FreeRedisContext {
    void operator()(redisContext* context) const { redisFree(context); }
};
struct FreeRedisReply {
    void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using RedisContext = std::unique_ptr<redisContext, FreeRedisContext>;
using RedisReply = std::unique_ptr<redisReply, FreeRedisReply>;

class RedisServer {
  public:
    // Whether this machine has one; without, tests skip.
    static bool installed();

    // Started and answering, or the test fails. extra: further arguments. directory: of the test, outlives it.
    explicit RedisServer(const std::string& directory, std::vector<std::string> extra = {});
    ~RedisServer();
    RedisServer(const RedisServer&) = delete;
    RedisServer& operator=(const RedisServer&) = delete;

    const std::string& socket() const { return socket_; }
    pid_t pid() const { return pid_; }
    RedisContext connect() const;
    // One command on a connection of its own.
    RedisReply command(const std::vector<std::string>& words) const;
    void kill();     // SIGKILL, and waits
    void restart();  // with the same arguments; what it held is gone
    void pause();    // SIGSTOP
    void resume();

  private:
    void start();

    std::vector<std::string> arguments_;
    std::string socket_;
    pid_t pid_ = -1;
};

RedisReply command(redisContext& context, const std::vector<std::string>& words);

}  // namespace sluice::test
