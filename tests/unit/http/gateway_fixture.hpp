// A gateway on a loopback port between a scripted upstream and a raw client, and an application that records.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.hpp"
#include "http/gateway_server.hpp"

namespace sluice::http::testing {

// A blocking TCP connection; reads give up after five seconds, so that no test hangs.
class Wire {
  public:
    Wire() = default;
    explicit Wire(UniqueFd fd) : fd_(std::move(fd)) {
        const timeval patience{5, 0};
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    }
    static Wire connect(const Endpoint& endpoint, int receive_buffer = 0) {
        sockaddr_storage address{};
        const socklen_t length = endpoint.to_sockaddr(address);
        UniqueFd fd{::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        if (receive_buffer > 0) {
            ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
        }
        EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
        return Wire{std::move(fd)};
    }

    int fd() const { return fd_.get(); }
    bool send(std::string_view bytes) const {
        while (!bytes.empty()) {
            const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(n));
        }
        return true;
    }
    // Whatever comes next; empty at the end, after a reset or when nothing came.
    std::string receive() const {
        std::string bytes(65536, '\0');
        const ssize_t n = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
        bytes.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
        return bytes;
    }
    // Reads until `end` has been seen; returns up to and including it and keeps the rest for the next call.
    std::string receive_until(std::string_view end) {
        std::size_t at = 0;
        while ((at = kept_.find(end)) == std::string::npos) {
            const std::string more = receive();
            if (more.empty()) return std::exchange(kept_, {});
            kept_ += more;
        }
        std::string result = kept_.substr(0, at + end.size());
        kept_.erase(0, at + end.size());
        return result;
    }
    std::string receive_bytes(std::size_t count) {
        while (kept_.size() < count) {
            const std::string more = receive();
            if (more.empty()) return std::exchange(kept_, {});
            kept_ += more;
        }
        std::string result = kept_.substr(0, count);
        kept_.erase(0, count);
        return result;
    }
    // Head and a body of Content-Length.
    std::string receive_message(bool with_body = true) {
        std::string head = receive_until("\r\n\r\n");
        const std::size_t field = head.find("Content-Length: ");
        if (!with_body || field == std::string::npos) return head;
        return head + receive_bytes(std::stoul(head.substr(field + 16)));
    }
    // Everything up to the end of the connection.
    std::string receive_all() {
        std::string all = std::exchange(kept_, {});
        for (std::string more; !(more = receive()).empty();) all += more;
        return all;
    }
    // Whether the other side has closed, in order or by reset, with nothing left to read.
    bool ended() const { return kept_.empty() && receive().empty(); }
    void shut_write() const { ::shutdown(fd_.get(), SHUT_WR); }
    void close() { fd_.reset(); }

  private:
    UniqueFd fd_;
    std::string kept_;
};

// Serves every connection with `script`, in a thread of its own.
class ScriptedUpstream {
  public:
    explicit ScriptedUpstream(std::function<void(Wire&)> script,
                              Endpoint endpoint = *Endpoint::parse("127.0.0.1:0"))
        : script_(std::move(script)), endpoint_(std::move(endpoint)) {
        sockaddr_storage address{};
        socklen_t length = endpoint_.to_sockaddr(address);
        listener_.reset(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
        EXPECT_EQ(::listen(listener_.get(), 64), 0);
        EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
        if (!endpoint_.is_unix())
            endpoint_.port = ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
        acceptor_ = std::thread{[this] { accept_all(); }};
    }
    ~ScriptedUpstream() {
        ::shutdown(listener_.get(), SHUT_RDWR);
        acceptor_.join();
        for (auto& thread : threads_) thread.join();
    }
    const Endpoint& endpoint() const { return endpoint_; }
    int connections() const { return connections_.load(); }

  private:
    void accept_all() {
        while (true) {
            UniqueFd fd{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
            if (!fd) return;
            ++connections_;
            threads_.emplace_back([this, wire = Wire{std::move(fd)}]() mutable { script_(wire); });
        }
    }

    std::function<void(Wire&)> script_;
    UniqueFd listener_;
    Endpoint endpoint_;
    std::atomic<int> connections_{0};
    std::list<std::thread> threads_;
    std::thread acceptor_;
};

// Answers each request with its own head as the body, until the connection ends.
inline void echo_heads(Wire& wire) {
    while (true) {
        const std::string head = wire.receive_until("\r\n\r\n");
        if (head.empty()) return;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(head.size()) + "\r\n\r\n" + head);
    }
}

struct Finished {
    std::string path;
    std::string client;
    bool via_trusted_proxy = false;
    Outcome outcome;  // its views are gone
    std::string reason;
    std::string request_body;
    std::string response_start;
    std::string response_end;
    bool answered = false;
};

// What one gateway's applications have seen; shared by its workers.
class Records {
  public:
    void add(Finished finished) {
        const std::lock_guard lock{mutex_};
        finished_.push_back(std::move(finished));
        changed_.notify_all();
    }
    void add_refusal(const EarlyRefusal& refusal) {
        const std::lock_guard lock{mutex_};
        refused_.emplace_back(refusal.reason);
        changed_.notify_all();
    }
    void add_answer() { ++answered_; }
    std::size_t answered() const { return answered_; }
    // Waits until `count` requests have finished.
    std::vector<Finished> finished(std::size_t count) {
        std::unique_lock lock{mutex_};
        changed_.wait_for(lock, std::chrono::seconds{5}, [&] { return finished_.size() >= count; });
        EXPECT_EQ(finished_.size(), count);
        auto copy = finished_;
        copy.resize(count);
        return copy;
    }
    std::vector<std::string> refused(std::size_t count) {
        std::unique_lock lock{mutex_};
        changed_.wait_for(lock, std::chrono::seconds{5}, [&] { return refused_.size() >= count; });
        EXPECT_EQ(refused_.size(), count);
        return refused_;
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Finished> finished_;
    std::vector<std::string> refused_;
    std::atomic<std::size_t> answered_{0};
};

struct AnswerState final : ExchangeState {
    bool answered = false;
};

// Refuses /refuse with 429, observes /observe, forwards the rest.
class RecordingApplication final : public Application {
  public:
    RecordingApplication(Records& records, std::vector<IpPrefix> trusted)
        : records_(records), trusted_(trusted) {}
    std::unique_ptr<ExchangeState> make_state() override { return std::make_unique<AnswerState>(); }
    const PrefixSet& trusted_proxies() override { return trusted_; }
    void decide(const RequestHead& request, ExchangeState& state, Decision& decision) override {
        static_cast<AnswerState&>(state).answered = false;
        decision.response_fields.set("RateLimit", "\"t\";r=1;t=2");
        if (request.path == "/refuse") {
            decision.kind = Decision::Kind::kReply;
            decision.status = 429;
            decision.response_fields.set("Retry-After", "2");
            decision.body = "slow down\n";
        }
        decision.ends_with_client = request.path == "/ends_with_client";
        decision.observe_request_body = decision.observe_response_body = request.path == "/observe";
    }
    void answered(ExchangeState& state) override {
        static_cast<AnswerState&>(state).answered = true;
        records_.add_answer();
    }
    void finished(const RequestHead& request, ExchangeState& state, const Outcome& outcome) override {
        records_.add({std::string{request.path}, request.client.to_string(), request.via_trusted_proxy,
                      outcome, std::string{outcome.reason}, std::string{outcome.request_body.start},
                      std::string{outcome.response_body.start}, std::string{outcome.response_body.end},
                      static_cast<AnswerState&>(state).answered});
    }
    void refused_early(const EarlyRefusal& refusal) override { records_.add_refusal(refusal); }

  private:
    Records& records_;
    PrefixSet trusted_;
};

class GatewayTest : public ::testing::Test {
  protected:
    // Stops both, so that nothing a script refers to is used after the test's body.
    class Running {
      public:
        explicit Running(GatewayTest& test) : test_(test) {}
        ~Running() {
            test_.gateway_.reset();
            test_.upstream_.reset();
        }
        Running(const Running&) = delete;
        Running& operator=(const Running&) = delete;

      private:
        GatewayTest& test_;
    };

    // Starts the upstream and a gateway before it; `adjust` may change the config.
    [[nodiscard]] Running serve(std::function<void(Wire&)> script,
                                const std::function<void(GatewayConfig&)>& adjust = {}) {
        upstream_ = std::make_unique<ScriptedUpstream>(std::move(script));
        GatewayConfig config;
        config.listen = {*Endpoint::parse("127.0.0.1:0")};
        config.upstream = {upstream_->endpoint()};
        if (adjust) adjust(config);
        gateway_ = std::make_unique<GatewayServer>(config, [this](WorkerContext&) {
            return std::make_unique<RecordingApplication>(records_, trusted_);
        });
        const auto started = gateway_->start();
        if (!started) ADD_FAILURE() << started.error().message;
        return Running{*this};
    }
    Wire client(int receive_buffer = 0) { return Wire::connect(gateway_->listening().at(0), receive_buffer); }

    Records records_;
    std::vector<IpPrefix> trusted_;
    std::unique_ptr<ScriptedUpstream> upstream_;
    std::unique_ptr<GatewayServer> gateway_;
};

inline std::string get(const std::string& path, const std::string& fields = {}) {
    return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
}

}  // namespace sluice::http::testing
