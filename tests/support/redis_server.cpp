#include "support/redis_server.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

namespace sluice::test {
namespace {

constexpr const char* kProgram = "/usr/bin/redis-server";
constexpr int kMostTries = 500;

}  // namespace

bool RedisServer::installed() {
    return ::access(kProgram, X_OK) == 0;
}

RedisServer::RedisServer(const std::string& directory, std::vector<std::string> extra)
    : socket_(directory + "/redis.sock") {
    arguments_ = {kProgram,  "--port",       "0",  "--unixsocket", socket_,  "--save", "", "--dir",
                  directory, "--appendonly", "no", "--loglevel",   "warning"};
    arguments_.insert(arguments_.end(), extra.begin(), extra.end());
    start();
}

RedisServer::~RedisServer() {
    kill();
}

void RedisServer::start() {
    std::vector<char*> argv;
    for (std::string& argument : arguments_) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) {
        const int null = ::open("/dev/null", O_RDWR);
        for (const int fd : {0, 1, 2}) ::dup2(null, fd);
        ::execv(kProgram, argv.data());
        ::_exit(127);
    }
    for (int tries = 0; tries < kMostTries; ++tries) {
        const RedisContext context = connect();
        if (context != nullptr && context->err == 0) return;
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    FAIL() << "redis-server does not answer on " << socket_;
}

RedisContext RedisServer::connect() const {
    return RedisContext{redisConnectUnix(socket_.c_str())};
}

RedisReply RedisServer::command(const std::vector<std::string>& words) const {
    const RedisContext context = connect();
    if (context == nullptr || context->err != 0) return nullptr;
    return test::command(*context, words);
}

void RedisServer::kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
    ::unlink(socket_.c_str());
}

void RedisServer::restart() {
    kill();
    start();
}

void RedisServer::pause() {
    ::kill(pid_, SIGSTOP);
}

void RedisServer::resume() {
    ::kill(pid_, SIGCONT);
}

RedisReply command(redisContext& context, const std::vector<std::string>& words) {
    std::vector<const char*> text;
    std::vector<std::size_t> length;
    for (const std::string& word : words) {
        text.push_back(word.data());
        length.push_back(word.size());
    }
    return RedisReply{static_cast<redisReply*>(
        redisCommandArgv(&context, static_cast<int>(words.size()), text.data(), length.data()))};
}

}  // namespace sluice::test
