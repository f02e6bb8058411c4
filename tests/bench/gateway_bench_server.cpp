// The gateway's data path alone, with an application that decides nothing: /refuse gets 429, everything else
// is forwarded. What it costs over nothing is the data path's own cost; sluiced adds identity, limits and
// logs to it.
//
//     gateway_bench_server LISTEN UPSTREAM [WORKERS]
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "http/gateway_server.hpp"

namespace {

using namespace sluice;
using namespace sluice::http;

struct NoState final : ExchangeState {};

class RefuseSome final : public Application {
  public:
    std::unique_ptr<ExchangeState> make_state() override { return std::make_unique<NoState>(); }
    const PrefixSet& trusted_proxies() override { return nobody_; }
    void decide(const RequestHead& request, ExchangeState& /*state*/, Decision& decision) override {
        decision.response_fields.set("RateLimit-Policy", R"("ai";q=100;w=3600)");
        decision.response_fields.set("RateLimit", R"("ai";r=0;t=412)");
        if (request.path != "/refuse") return;
        decision.kind = Decision::Kind::kReply;
        decision.status = 429;
        decision.response_fields.set("Retry-After", "412");
        decision.response_fields.set("Content-Type", "application/problem+json");
        decision.body = R"({"type":"about:blank","title":"Too Many Requests","status":429})";
    }
    void finished(const RequestHead& /*request*/, ExchangeState& /*state*/,
                  const Outcome& /*outcome*/) override {}
    void refused_early(const EarlyRefusal& /*refusal*/) override {}

  private:
    PrefixSet nobody_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fputs("usage: gateway_bench_server LISTEN UPSTREAM [WORKERS]\n", stderr);
        return 2;
    }
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ending, nullptr);
    const auto listen = Endpoint::parse(argv[1]);
    const auto upstream = Endpoint::parse(argv[2]);
    if (!listen || !upstream) {
        std::fprintf(stderr, "%s\n", (listen ? upstream : listen).error().message.c_str());
        return 2;
    }
    GatewayConfig config;
    config.listen = {*listen};
    config.upstream = {*upstream};
    config.workers = argc > 3 ? static_cast<unsigned>(std::atoi(argv[3])) : 1;
    GatewayServer server{config, [](WorkerContext&) { return std::make_unique<RefuseSome>(); }};
    if (const auto started = server.start(); !started) {
        std::fprintf(stderr, "%s\n", started.error().message.c_str());
        return 1;
    }
    int signal = 0;
    sigwait(&ending, &signal);
    server.drain(kSecond);
    return 0;
}
