// What the plan first had: a gateway that asks Redis with INCR and EXPIRE for each request. The subject redis_incr.
//
//   redis_incr_gateway LISTEN UPSTREAM REDIS LIMIT WINDOW_S      each address as HOST:PORT
//
// Everything but the decision is Sluice's own: its HTTP loop, and its connection to Redis, with the commands of a round in
// one write and Redis given up after 20 ms of silence. So what differs is what a decision takes. Without Redis it admits.
// A window is a counter of its own, named by its number: were it one key, EXPIRE would keep a busy client out for ever.
#include <hiredis/hiredis.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>

#include "http/gateway_server.hpp"
#include "ledger/redis_nodes.hpp"

namespace sluice {
namespace {

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "redis_incr_gateway: %s\n", what.c_str());
    std::exit(1);
}

template <typename T>
T must(Result<T> result) {
    if (!result) fail(result.error().message);
    return *std::move(result);
}

std::uint64_t number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value == 0)
        fail("not a number above 0: " + std::string{text});
    return value;
}

std::unique_ptr<RedisNodes> connection_to(std::string_view address) {
    RedisSettings settings;
    settings.nodes = {std::string{address}};
    return must(RedisNodes::make(settings));
}

struct Question {
    enum class Answer : std::uint8_t { kNone, kAdmitted, kRefused };
    std::shared_ptr<http::DecisionTicket> ticket;
    std::atomic<Answer> answer{Answer::kNone};
};

class Counters {
  public:
    Counters(std::string_view redis, std::uint64_t limit, std::uint64_t window_s)
        : limit_(limit), window_s_(window_s), redis_(connection_to(redis)) {
        redis_->on_change([this](bool up) {
            if (!up) admit_all();
        });
        redis_->start();
    }
    bool up() const { return redis_->up(0); }
    // Any thread.
    void ask(const IpAddress& client, const std::shared_ptr<Question>& question) {
        boost::asio::post(redis_->context(), [this, client, question] { send(client, question); });
    }
    void stop() { redis_->stop(); }

  private:
    static void settle(Question& question, Question::Answer answer) {
        auto expected = Question::Answer::kNone;
        if (question.answer.compare_exchange_strong(expected, answer)) question.ticket->resume();
    }
    void send(const IpAddress& client, const std::shared_ptr<Question>& question) {
        if (!up()) return settle(*question, Question::Answer::kAdmitted);
        asked_.push_back(question);
        const auto window = static_cast<std::uint64_t>(std::time(nullptr)) / window_s_;
        const std::string key = "ratelimit:" + client.to_string() + ":" + std::to_string(window);
        redis_->send(0, {"INCR", key}, [this, question](const redisReply* reply, Nanos, Nanos) {
            const bool over = reply != nullptr && reply->type == REDIS_REPLY_INTEGER &&
                              static_cast<std::uint64_t>(reply->integer) > limit_;
            settle(*question, over ? Question::Answer::kRefused : Question::Answer::kAdmitted);
            while (!asked_.empty() && asked_.front()->answer.load() != Question::Answer::kNone)
                asked_.pop_front();
        });
        redis_->send(0, {"EXPIRE", key, std::to_string(window_s_)}, [](const redisReply*, Nanos, Nanos) {});
    }
    void admit_all() {
        for (const auto& question : asked_) settle(*question, Question::Answer::kAdmitted);
        asked_.clear();
    }

    const std::uint64_t limit_;
    const std::uint64_t window_s_;
    std::unique_ptr<RedisNodes> redis_;
    std::deque<std::shared_ptr<Question>> asked_;  // the Redis thread
};

struct State final : http::ExchangeState {
    std::shared_ptr<Question> question;
};

class Gateway final : public http::Application {
  public:
    explicit Gateway(Counters& counters) : counters_(counters) {}

    std::unique_ptr<http::ExchangeState> make_state() override { return std::make_unique<State>(); }
    const PrefixSet& trusted_proxies() override { return trusted_; }
    void decide(const http::RequestHead& request, http::ExchangeState& exchange,
                http::Decision& decision) override {
        auto& question = static_cast<State&>(exchange).question;
        if (question == nullptr) {
            if (!counters_.up()) return;
            question = std::make_shared<Question>();
            question->ticket = decision.tickets->ticket();
            decision.kind = http::Decision::Kind::kWait;
            counters_.ask(request.client, question);
        } else if (question->answer.load() == Question::Answer::kRefused) {
            decision.kind = http::Decision::Kind::kReply;
            decision.status = 429;
        }
    }
    void finished(const http::RequestHead& /*request*/, http::ExchangeState& exchange,
                  const http::Outcome& /*outcome*/) override {
        static_cast<State&>(exchange).question.reset();
    }
    void refused_early(const http::EarlyRefusal& /*refusal*/) override {}

  private:
    Counters& counters_;
    const PrefixSet trusted_{{must(IpPrefix::parse("127.0.0.0/8"))}};
};

}  // namespace
}  // namespace sluice

int main(int count, char** arguments) {
    using namespace sluice;
    if (count != 6) fail("usage: redis_incr_gateway LISTEN UPSTREAM REDIS LIMIT WINDOW_S");
    sigset_t ending;
    ::sigemptyset(&ending);
    ::sigaddset(&ending, SIGTERM);
    ::sigaddset(&ending, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);

    Counters counters{arguments[3], number(arguments[4]), number(arguments[5])};
    http::GatewayConfig config;
    config.listen = {must(http::Endpoint::parse(arguments[1]))};
    config.upstream = {must(http::Endpoint::parse(arguments[2]))};
    http::GatewayServer server{config,
                               [&](http::WorkerContext&) { return std::make_unique<Gateway>(counters); }};
    if (const auto started = server.start(); !started) fail(started.error().message);
    int signal = 0;
    ::sigwait(&ending, &signal);
    counters.stop();
    server.stop();
    return 0;
}
