// The gateway in one process with its client and its upstream: what is forwarded, and how.
#include <filesystem>
#include <future>

#include "http/reasons.hpp"
#include "unit/http/gateway_fixture.hpp"

namespace sluice::http::testing {
namespace {

class GatewayExchange : public GatewayTest {};

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_F(GatewayExchange, ForwardsTheCanonicalRequestAndAddsFields) {
    const auto running = serve(echo_heads);
    auto wire = client();
    wire.send(get("/a/../%62?q", "X-Forwarded-For: 6.6.6.6\r\nConnection: x-drop\r\nX-Drop: 1\r\n"));
    const std::string answer = wire.receive_message();
    EXPECT_TRUE(has(answer, "HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(has(answer, "RateLimit: \"t\";r=1;t=2\r\n"));
    EXPECT_TRUE(has(answer, "GET /b?q HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\n")) << answer;
    EXPECT_FALSE(has(answer, "6.6.6.6"));
    EXPECT_FALSE(has(answer, "X-Drop"));
    const auto done = records_.finished(1)[0];
    EXPECT_EQ(done.path, "/b");
    EXPECT_EQ(done.outcome.status, 200);
    EXPECT_EQ(done.outcome.by, AnsweredBy::kUpstream);
    EXPECT_EQ(done.reason, "");
    EXPECT_LE(done.outcome.received, done.outcome.decided);
    EXPECT_LE(done.outcome.decided, done.outcome.upstream_sent);
    EXPECT_LE(done.outcome.upstream_sent, done.outcome.upstream_first_byte);
    EXPECT_LE(done.outcome.upstream_first_byte, done.outcome.response_started);
    EXPECT_LE(done.outcome.response_started, done.outcome.done);
}

TEST_F(GatewayExchange, KeepsBothConnections) {
    const auto running = serve(echo_heads);
    auto wire = client();
    for (int i = 0; i < 20; ++i) {
        wire.send(get("/" + std::to_string(i)));
        EXPECT_TRUE(has(wire.receive_message(), "GET /" + std::to_string(i) + " "));
    }
    EXPECT_EQ(upstream_->connections(), 1);
    EXPECT_EQ(gateway_->stats().upstream_reuses, 19U);
    EXPECT_EQ(gateway_->stats().accepted, 1U);
}

TEST_F(GatewayExchange, AnswersPipelinedRequestsInOrder) {
    const auto running = serve(echo_heads);
    auto wire = client();
    wire.send(get("/1") + get("/refuse") + get("/2") + get("/refuse") + get("/3"));
    EXPECT_TRUE(has(wire.receive_message(), "GET /1 "));
    EXPECT_TRUE(has(wire.receive_message(), "429"));
    EXPECT_TRUE(has(wire.receive_message(), "GET /2 "));
    EXPECT_TRUE(has(wire.receive_message(), "429"));
    EXPECT_TRUE(has(wire.receive_message(), "GET /3 "));
    records_.finished(5);
}

TEST_F(GatewayExchange, HundredsOfPipelinedRefusals) {
    const auto running = serve(echo_heads);
    auto wire = client();
    std::string requests;
    for (int i = 0; i < 300; ++i) requests += get("/refuse");
    std::thread sender{[&] { wire.send(requests); }};
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(has(wire.receive_message(), "429")) << i;
    sender.join();
    EXPECT_EQ(upstream_->connections(), 0);
}

TEST_F(GatewayExchange, RefusedRequestNeverReachesTheUpstream) {
    const auto running = serve(echo_heads);
    auto wire = client();
    wire.send("POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" + get("/next"));
    const std::string answer = wire.receive_message();
    EXPECT_TRUE(has(answer, "HTTP/1.1 429 Too Many Requests\r\n"));
    EXPECT_TRUE(has(answer, "Retry-After: 2\r\n"));
    EXPECT_TRUE(has(answer, "slow down\n"));
    EXPECT_TRUE(has(wire.receive_message(), "GET /next "));
    const auto done = records_.finished(2);
    EXPECT_EQ(done[0].outcome.by, AnsweredBy::kApplication);
    EXPECT_EQ(done[0].outcome.status, 429);
}

TEST_F(GatewayExchange, RefusedExpectationSendsNoContinue) {
    const auto running = serve(echo_heads);
    auto wire = client();
    wire.send("POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    const std::string answer = wire.receive_message();
    EXPECT_TRUE(has(answer, "HTTP/1.1 429 "));
    EXPECT_TRUE(has(answer, "Connection: close\r\n"));
    EXPECT_TRUE(wire.ended());
}

TEST_F(GatewayExchange, AdmittedExpectationIsAnsweredHere) {
    const auto running = serve([](Wire& wire) {
        const std::string head = wire.receive_until("\r\n\r\n");
        const std::string body = wire.receive_bytes(5);
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + (has(head, "Expect") ? "wrong" : body));
    });
    auto wire = client();
    wire.send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(wire.receive_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    wire.send("hello");
    EXPECT_TRUE(has(wire.receive_message(), "hello"));
}

TEST_F(GatewayExchange, ChunkedBothWays) {
    const auto running = serve([](Wire& wire) {
        const std::string head = wire.receive_until("\r\n\r\n");
        std::string body = wire.receive_until("0\r\n\r\n");
        EXPECT_TRUE(has(head, "Transfer-Encoding: chunked\r\n"));
        EXPECT_FALSE(has(head, "Content-Length"));
        EXPECT_FALSE(has(body, "evil")) << body;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n");
        wire.send("2\r\nde\r\n0\r\nX-Trailer: evil\r\n\r\n");
    });
    auto wire = client();
    wire.send("POST /observe HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;evil\r\nhel");
    wire.send("lo\r\n0\r\nevil: 1\r\n\r\n");
    const std::string answer = wire.receive_until("0\r\n\r\n");
    EXPECT_TRUE(has(answer, "Transfer-Encoding: chunked\r\n")) << answer;
    EXPECT_TRUE(has(answer, "abc")) << answer;
    EXPECT_FALSE(has(answer, "evil"));
    const auto done = records_.finished(1)[0];
    EXPECT_EQ(done.request_body, "hello");
    EXPECT_EQ(done.response_start, "abcde");
    EXPECT_EQ(done.outcome.request_body_bytes, 5U);
    EXPECT_EQ(done.outcome.response_body_bytes, 5U);
}

TEST_F(GatewayExchange, LargeBodiesStreamBothWays) {
    constexpr std::size_t kSize = 3'000'000;
    std::string body(kSize, '\0');
    for (std::size_t i = 0; i < kSize; ++i) body[i] = static_cast<char>('a' + i % 23);
    const auto running = serve([&](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        const std::string got = wire.receive_bytes(kSize);
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n" + got);
    });
    auto wire = client();
    std::thread sender{[&] {
        wire.send("POST /observe HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(kSize) +
                  "\r\n\r\n");
        wire.send(body);
    }};
    const std::string answer = wire.receive_message();
    sender.join();
    EXPECT_TRUE(answer.substr(answer.find("\r\n\r\n") + 4) == body);
    const auto done = records_.finished(1)[0];
    EXPECT_EQ(done.request_body, body.substr(0, 16 * 1024));
    EXPECT_EQ(done.response_start, body.substr(0, 32 * 1024));
    EXPECT_EQ(done.response_end, body.substr(kSize - 32 * 1024));
}

TEST_F(GatewayExchange, ServerSentEventsComeOneByOne) {
    std::mutex step;
    std::condition_variable next;
    int allowed = 1;
    const auto running = serve([&](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int i = 1; i <= 5; ++i) {
            std::unique_lock lock{step};
            next.wait_for(lock, std::chrono::seconds{5}, [&] { return allowed >= i; });
            wire.send("9\r\ndata: " + std::to_string(i) + "\n\n\r\n");
        }
        wire.send("0\r\n\r\n");
    });
    auto wire = client();
    wire.send(get("/events"));
    for (int i = 1; i <= 5; ++i) {
        // The upstream sends the next event only after this one has arrived here.
        EXPECT_TRUE(
            has(wire.receive_until("data: " + std::to_string(i) + "\n\n"), "data: " + std::to_string(i)));
        const std::lock_guard lock{step};
        allowed = i + 1;
        next.notify_all();
    }
    EXPECT_TRUE(has(wire.receive_until("0\r\n\r\n"), "0\r\n\r\n"));
}

TEST_F(GatewayExchange, HeadHasNoBody) {
    const auto running = serve([](Wire& wire) {
        while (!wire.receive_until("\r\n\r\n").empty())
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
    });
    auto wire = client();
    for (int i = 0; i < 3; ++i) {
        wire.send("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
        EXPECT_TRUE(has(wire.receive_message(false), "Content-Length: 99\r\n"));
    }
    wire.send("HEAD /refuse HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_TRUE(has(wire.receive_message(false), "Content-Length: 10\r\n"));
    EXPECT_EQ(upstream_->connections(), 1);
}

TEST_F(GatewayExchange, InterimResponsesGoOn) {
    const auto running = serve([](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        wire.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    auto wire = client();
    wire.send(get("/a"));
    EXPECT_EQ(wire.receive_until("\r\n\r\n"), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    EXPECT_TRUE(has(wire.receive_message(), "HTTP/1.1 200 OK"));
}

TEST_F(GatewayExchange, OldClientGetsABodyUntilTheEnd) {
    const auto running = serve([](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    });
    auto wire = client();
    wire.send("GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n");
    const std::string answer = wire.receive_all();
    EXPECT_TRUE(has(answer, "Connection: close\r\n\r\nabc")) << answer;
}

TEST_F(GatewayExchange, UndelimitedResponseIsChunkedForNewClients) {
    const auto running = serve([](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        wire.send("HTTP/1.0 200 OK\r\n\r\nabc");
    });
    auto wire = client();
    wire.send(get("/a"));
    EXPECT_TRUE(has(wire.receive_until("0\r\n\r\n"), "3\r\nabc\r\n0\r\n\r\n"));
}

TEST_F(GatewayExchange, WebSocketIsATunnel) {
    const auto running = serve([](Wire& wire) {
        EXPECT_TRUE(has(wire.receive_until("\r\n\r\n"), "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
        wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst");
        for (std::string bytes; !(bytes = wire.receive()).empty();) wire.send("<" + bytes + ">");
    });
    auto wire = client();
    wire.send(get("/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n") + "early");
    EXPECT_TRUE(has(wire.receive_until("\r\n\r\n"), "HTTP/1.1 101 Switching Protocols\r\n"));
    EXPECT_EQ(wire.receive_bytes(12), "first<early>");
    wire.send("ping");
    EXPECT_EQ(wire.receive_bytes(6), "<ping>");
    EXPECT_EQ(gateway_->stats().tunnels, 1U);
    wire.close();
    const auto done = records_.finished(1)[0];
    EXPECT_EQ(done.outcome.status, 101);
    EXPECT_TRUE(done.outcome.upgraded);
    EXPECT_EQ(done.outcome.request_body_bytes, 9U);
    EXPECT_EQ(done.outcome.response_body_bytes, 18U);
    EXPECT_EQ(gateway_->stats().tunnels, 0U);
}

TEST_F(GatewayExchange, UnaskedSwitchIsABadGateway) {
    const auto running = serve([](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    });
    auto wire = client();
    wire.send(get("/a"));
    EXPECT_TRUE(has(wire.receive_message(), "HTTP/1.1 502 "));
}

TEST_F(GatewayExchange, KeptConnectionFoundDeadIsReplaced) {
    std::atomic<int> served{0};
    const auto running = serve([&](Wire& wire) {
        // Each connection serves one request and then dies at the next, without an answer.
        wire.receive_until("\r\n\r\n");
        ++served;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        wire.receive_until("\r\n\r\n");
    });
    auto wire = client();
    for (int i = 0; i < 5; ++i) {
        wire.send(get("/a"));
        EXPECT_TRUE(has(wire.receive_message(), "HTTP/1.1 200 OK")) << i;
    }
    EXPECT_EQ(served, 5);
}

TEST_F(GatewayExchange, PostIsNeverSentTwice) {
    std::atomic<int> posts{0};
    const auto running = serve([&](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        if (has(wire.receive_until("\r\n\r\n"), "POST")) ++posts;
    });
    auto wire = client();
    wire.send(get("/a"));
    wire.receive_message();
    wire.send("POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    EXPECT_TRUE(has(wire.receive_message(), "HTTP/1.1 502 "));
    EXPECT_EQ(posts, 1);
    EXPECT_EQ(records_.finished(2)[1].reason, kReasonUpstreamClosed);
}

TEST_F(GatewayExchange, UpstreamThatDiesMidwayCutsTheClientOff) {
    std::atomic<bool> seen{false};
    const auto running = serve([&](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        while (!seen) std::this_thread::yield();
    });
    auto wire = client();
    wire.send(get("/a"));
    EXPECT_TRUE(has(wire.receive_until("abc"), "200 OK"));
    seen = true;
    EXPECT_EQ(wire.receive_all(), "");
    const auto done = records_.finished(1)[0];
    EXPECT_EQ(done.reason, kReasonUpstreamAborted);
    EXPECT_EQ(done.outcome.status, 200);
    EXPECT_EQ(done.outcome.response_body_bytes, 3U);
}

TEST_F(GatewayExchange, BadUpstreamAnswersAreBadGateways) {
    std::atomic<int> turn{0};
    const std::vector<std::string> answers = {
        "garbage\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "HTTP/1.1 200 OK\r\nX: " + std::string(40000, 'x'), ""};
    const auto running = serve([&](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        wire.send(answers[static_cast<std::size_t>(turn++)]);
    });
    auto wire = client();
    for (std::size_t i = 0; i < answers.size(); ++i) {
        wire.send(get("/a"));
        const std::string answer = wire.receive_message();
        EXPECT_TRUE(has(answer, "HTTP/1.1 502 Bad Gateway\r\n")) << i << answer;
        EXPECT_TRUE(has(answer, "application/problem+json")) << i;
    }
    EXPECT_EQ(records_.finished(answers.size())[0].outcome.by, AnsweredBy::kGateway);
}

TEST_F(GatewayExchange, NoUpstreamIsABadGatewayAndTheConnectionStays) {
    const auto running = serve(echo_heads, [](GatewayConfig& config) {
        // A port that is bound and not listening refuses at once.
        config.upstream = {*Endpoint::parse("127.0.0.1:1")};
    });
    auto wire = client();
    for (int i = 0; i < 2; ++i) {
        wire.send(get("/a"));
        EXPECT_TRUE(has(wire.receive_message(), "upstream_connect"));
    }
    EXPECT_GE(gateway_->stats().upstream_failures, 2U);
}

TEST_F(GatewayExchange, AFailedUpstreamIsPassedOver) {
    const auto running = serve(echo_heads, [this](GatewayConfig& config) {
        config.upstream = {*Endpoint::parse("127.0.0.1:1"), upstream_->endpoint(),
                           *Endpoint::parse("127.0.0.1:2")};
        config.max_idle_upstream_per_worker = 0;
    });
    for (int i = 0; i < 6; ++i) {
        auto wire = client();
        wire.send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
        EXPECT_TRUE(has(wire.receive_message(), "HTTP/1.1 200 OK")) << i;
    }
    EXPECT_EQ(gateway_->stats().upstream_failures, 2U);
}

TEST_F(GatewayExchange, EarlyAnswerToAnUnfinishedUpload) {
    const auto running = serve([](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        wire.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    });
    auto wire = client();
    wire.send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nbegin");
    EXPECT_TRUE(has(wire.receive_message(), "HTTP/1.1 403 Forbidden"));
    EXPECT_TRUE(wire.ended());
    EXPECT_EQ(records_.finished(1)[0].outcome.status, 403);
}

TEST_F(GatewayExchange, HalfClosedClientGetsItsAnswer) {
    const auto running = serve(echo_heads);
    auto wire = client();
    wire.send(get("/a"));
    wire.shut_write();
    EXPECT_TRUE(has(wire.receive_all(), "HTTP/1.1 200 OK"));
}

TEST_F(GatewayExchange, ARequestMayEndWithItsClient) {
    const auto running = serve([](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        wire.receive();  // until the gateway gives up
    });
    auto wire = client();
    wire.send(get("/ends_with_client"));
    while (gateway_->stats().requests == 0) std::this_thread::yield();
    wire.shut_write();
    EXPECT_TRUE(wire.ended());
    const auto done = records_.finished(1)[0];
    EXPECT_EQ(done.reason, kReasonClientGone);
    EXPECT_FALSE(done.answered);
}

// Whoever has the whole response must find given back what the request held.
TEST_F(GatewayExchange, TheApplicationKnowsOfTheAnswerBeforeTheClientHasAllOfIt) {
    const std::string body(100'000, 'b');
    const auto running = serve([&](Wire& wire) {
        while (!wire.receive_until("\r\n\r\n").empty())
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + body);
    });
    auto wire = client();
    for (std::size_t i = 1; i <= 50; ++i) {
        wire.send(get("/a"));
        ASSERT_EQ(wire.receive_message().substr(0, 15), "HTTP/1.1 200 OK");
        ASSERT_EQ(records_.answered(), i);
    }
    for (const Finished& finished : records_.finished(50)) EXPECT_TRUE(finished.answered);
}

TEST_F(GatewayExchange, WhatIsCutOffIsNotAnswered) {
    std::promise<void> half_seen;
    const auto running = serve([&](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        half_seen.get_future().wait();
    });
    auto wire = client();
    wire.send(get("/a"));
    wire.receive_until("half");
    half_seen.set_value();
    EXPECT_TRUE(wire.ended());
    EXPECT_FALSE(records_.finished(1)[0].answered);
}

TEST_F(GatewayExchange, ClientThatLeavesIsReported) {
    const auto running = serve([](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        wire.receive();  // until the gateway gives up
    });
    auto wire = client();
    wire.send(get("/a"));
    while (gateway_->stats().requests == 0) std::this_thread::yield();
    const linger at_once{1, 0};
    ::setsockopt(wire.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    wire.close();
    const auto done = records_.finished(1)[0];
    EXPECT_EQ(done.reason, kReasonClientGone);
    EXPECT_EQ(done.outcome.status, 0);
    EXPECT_EQ(done.outcome.by, AnsweredBy::kNobody);
}

TEST_F(GatewayExchange, Ipv6Listener) {
    const auto running =
        serve(echo_heads, [](GatewayConfig& config) { config.listen = {*Endpoint::parse("[::1]:0")}; });
    auto wire = client();
    wire.send(get("/a"));
    EXPECT_TRUE(has(wire.receive_message(), "X-Forwarded-For: ::1\r\n"));
}

TEST_F(GatewayExchange, UpstreamOnAUnixSocket) {
    const std::string path =
        std::filesystem::temp_directory_path() / ("sluice-" + std::to_string(::getpid()) + ".sock");
    std::filesystem::remove(path);
    const ScriptedUpstream application{echo_heads, *Endpoint::parse("unix:" + path)};
    const auto running =
        serve(echo_heads, [&](GatewayConfig& config) { config.upstream = {application.endpoint()}; });
    auto wire = client();
    for (int i = 0; i < 3; ++i) {
        wire.send(get("/a"));
        EXPECT_TRUE(has(wire.receive_message(), "GET /a "));
    }
    EXPECT_EQ(application.connections(), 1);
    std::filesystem::remove(path);
}

TEST_F(GatewayExchange, TrustedProxyTellsTheClient) {
    trusted_ = {*IpPrefix::parse("127.0.0.0/8")};
    const auto running = serve(echo_heads);
    auto wire = client();
    wire.send(get("/a", "X-Forwarded-For: 1.1.1.1, 203.0.113.5\r\n"));
    EXPECT_TRUE(has(wire.receive_message(), "X-Forwarded-For: 1.1.1.1, 203.0.113.5, 127.0.0.1\r\n"));
    const auto done = records_.finished(1)[0];
    EXPECT_EQ(done.client, "203.0.113.5");
    EXPECT_TRUE(done.via_trusted_proxy);
}

TEST_F(GatewayExchange, ProxyProtocolFromTrustedPeersOnly) {
    trusted_ = {*IpPrefix::parse("127.0.0.0/8")};
    const auto running = serve(echo_heads);
    auto wire = client();
    wire.send("PROXY TCP4 203.0.1");
    std::this_thread::sleep_for(std::chrono::milliseconds{20});  // so that it comes in two pieces
    wire.send("13.7 10.0.0.1 4711 80\r\n" + get("/a", "X-Forwarded-For: 9.9.9.9\r\n"));
    EXPECT_TRUE(has(wire.receive_message(), "X-Forwarded-For: 203.0.113.7\r\n"));
    const auto done = records_.finished(1)[0];
    EXPECT_EQ(done.client, "203.0.113.7");
    EXPECT_TRUE(done.via_trusted_proxy);
    auto bad = client();
    bad.send("PROXY nonsense\r\n" + get("/a"));
    EXPECT_TRUE(has(bad.receive_message(), "400 Bad Request"));
    EXPECT_EQ(records_.refused(1)[0], kReasonBadProxyHeader);
}

TEST_F(GatewayExchange, ProxyProtocolFromAStrangerIsMalformed) {
    const auto running = serve(echo_heads);
    auto wire = client();
    wire.send("PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n" + get("/a"));
    EXPECT_TRUE(has(wire.receive_message(), "400 Bad Request"));
    EXPECT_EQ(upstream_->connections(), 0);
}

}  // namespace
}  // namespace sluice::http::testing
