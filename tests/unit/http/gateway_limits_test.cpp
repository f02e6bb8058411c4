// Deadlines, sizes, hostile input, drain and TLS of the gateway.
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/resource.h>

#include <cstdio>
#include <filesystem>

#include "http/reasons.hpp"
#include "http/tls_context.hpp"
#include "unit/http/gateway_fixture.hpp"

namespace sluice::http::testing {
namespace {

class GatewayLimits : public GatewayTest {};

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST_F(GatewayLimits, HostileRequestsGetTheirStatusAndNothingIsForwarded) {
    const auto running = serve(echo_heads, [](GatewayConfig& config) { config.max_body_bytes = 1000; });
    const std::pair<std::string, std::string> cases[] = {
        {get("/a%2fb"), "400 Bad Request"},
        {get("/../a"), "400 Bad Request"},
        {"GET / HTTP/1.1\r\n\r\n", "400 Bad Request"},
        {"GET / HTTP/1.1\nHost: h\n\n", "400 Bad Request"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "400 Bad"},
        {"GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"},
        {"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "405 Method Not Allowed"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 HTTP Version Not Supported"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n", "413 Content Too Large"},
        {"POST / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", "417 Expectation Failed"},
        {get("/", "X: " + std::string(17000, 'x') + "\r\n"), "431 Request Header Fields Too Large"},
        {"GET /" + std::string(40000, 'x'), "431 Request Header Fields Too Large"},
        {"\x16\x03\x01\x02\n", "400 Bad Request"},
    };
    for (const auto& [request, status] : cases) {
        auto wire = client();
        wire.send(request + get("/smuggled"));
        const std::string answer = wire.receive_all();
        EXPECT_TRUE(has(answer, "HTTP/1.1 " + status)) << request.substr(0, 60) << " got " << answer;
        EXPECT_TRUE(has(answer, "Connection: close\r\n")) << answer;
        EXPECT_TRUE(has(answer, "application/problem+json"));
        EXPECT_FALSE(has(answer, "smuggled"));
    }
    EXPECT_EQ(records_.refused(std::size(cases)).size(), std::size(cases));
    EXPECT_EQ(upstream_->connections(), 0);
}

TEST_F(GatewayLimits, AbsoluteTargetIsForwardedAsPath) {
    const auto running = serve(echo_heads);
    auto wire = client();
    wire.send("GET http://H/a HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_TRUE(has(wire.receive_message(), "GET /a HTTP/1.1\r\nHost: h\r\n"));
}

TEST_F(GatewayLimits, ChunkedBodyOverTheLimit) {
    const auto running = serve([](Wire& wire) { wire.receive_all(); },
                               [](GatewayConfig& config) { config.max_body_bytes = 10; });
    auto wire = client();
    wire.send(
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n8\r\naaaaaaaa\r\n8\r\naaaaaaaa\r\n");
    EXPECT_TRUE(has(wire.receive_message(), "413 Content Too Large"));
    const auto done = records_.finished(1)[0];
    EXPECT_EQ(done.reason, kReasonBodyTooLarge);
    EXPECT_EQ(done.outcome.by, AnsweredBy::kGateway);
}

TEST_F(GatewayLimits, BadChunkIsRefused) {
    const auto running = serve([](Wire& wire) { wire.receive_all(); });
    auto wire = client();
    wire.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n" +
              get("/x"));
    EXPECT_TRUE(has(wire.receive_message(), "400 Bad Request"));
    EXPECT_TRUE(wire.ended());
    EXPECT_EQ(records_.finished(1)[0].reason, kReasonBodyMalformed);
}

TEST_F(GatewayLimits, SlowHeaderRunsIntoItsDeadline) {
    const auto running =
        serve(echo_heads, [](GatewayConfig& config) { config.header_deadline = 60 * kMillisecond; });
    auto wire = client();
    wire.send("GET / HTTP/1.1\r\nHo");
    EXPECT_TRUE(has(wire.receive_all(), "408 Request Timeout"));
    EXPECT_EQ(records_.refused(1)[0], kReasonHeaderDeadline);
    auto silent = client();
    EXPECT_EQ(silent.receive_all(), "");  // never asked: closed without a word
    auto second = client();
    second.send(get("/a"));
    second.receive_message();
    second.send("G");
    EXPECT_TRUE(has(second.receive_all(), "408 Request Timeout"));
}

TEST_F(GatewayLimits, IdleConnectionIsClosed) {
    const auto running =
        serve(echo_heads, [](GatewayConfig& config) { config.idle_deadline = 60 * kMillisecond; });
    auto wire = client();
    wire.send(get("/refuse"));
    EXPECT_TRUE(has(wire.receive_message(), "429"));
    EXPECT_EQ(wire.receive_all(), "");
    records_.finished(1);
}

TEST_F(GatewayLimits, StalledBodyRunsIntoItsDeadline) {
    const auto running = serve([](Wire& wire) { wire.receive_all(); },
                               [](GatewayConfig& config) { config.body_deadline = 60 * kMillisecond; });
    auto wire = client();
    wire.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    EXPECT_TRUE(has(wire.receive_all(), "408 Request Timeout"));
    EXPECT_EQ(records_.finished(1)[0].reason, kReasonBodyDeadline);
}

TEST_F(GatewayLimits, DrippingBodyRunsIntoItsLeastRate) {
    const auto running = serve([](Wire& wire) { wire.receive_all(); },
                               [](GatewayConfig& config) {
                                   config.body_deadline = 150 * kMillisecond;
                                   config.body_min_bytes_per_s = 1000;
                               });
    auto wire = client();
    wire.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    std::atomic<bool> answered{false};
    std::thread drip{[&] {
        for (int i = 0; i < 500 && !answered; ++i) {
            wire.send("a");
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
        }
    }};
    EXPECT_TRUE(has(wire.receive_message(), "408 Request Timeout"));
    answered = true;
    drip.join();
    EXPECT_EQ(records_.finished(1)[0].reason, kReasonBodyDeadline);
}

TEST_F(GatewayLimits, ASlowBodyAboveTheLeastRateIsRead) {
    const auto running = serve(
        [](Wire& wire) {
            wire.receive_until("END");
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        },
        [](GatewayConfig& config) {
            config.body_deadline = kSecond;
            config.body_min_bytes_per_s = 1;
        });
    auto wire = client();
    wire.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 123\r\n\r\n");
    for (int i = 0; i < 12; ++i) {  // longer in all than the deadline, but ten seconds are earned each time
        wire.send("ten bytes.");
        std::this_thread::sleep_for(std::chrono::milliseconds{120});
    }
    wire.send("END");
    EXPECT_TRUE(has(wire.receive_message(), "200 OK"));
}

TEST_F(GatewayLimits, Http10NeedsNoHost) {
    const auto running = serve(echo_heads);
    auto wire = client();
    wire.send("GET /a HTTP/1.0\r\n\r\n");
    EXPECT_TRUE(has(wire.receive_message(), "GET /a HTTP/1.1\r\nHost: \r\n"));
    auto absolute = client();
    absolute.send("GET http://example.org/a HTTP/1.0\r\n\r\n");
    EXPECT_TRUE(has(absolute.receive_message(), "GET /a HTTP/1.1\r\nHost: example.org\r\n"));
}

TEST_F(GatewayLimits, SilentUpstreamIsAGatewayTimeout) {
    const auto running = serve([](Wire& wire) { wire.receive_all(); },
                               [](GatewayConfig& config) { config.response_deadline = 60 * kMillisecond; });
    auto wire = client();
    wire.send(get("/a"));
    EXPECT_TRUE(has(wire.receive_message(), "504 Gateway Timeout"));
    EXPECT_EQ(records_.finished(1)[0].reason, kReasonUpstreamDeadline);
    wire.send(get("/refuse"));
    EXPECT_TRUE(has(wire.receive_message(), "429")) << "the client's connection goes on";
}

TEST_F(GatewayLimits, ResponseThatFallsSilentIsCutOff) {
    const auto running = serve(
        [](Wire& wire) {
            wire.receive_until("\r\n\r\n");
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
            wire.receive();
        },
        [](GatewayConfig& config) { config.response_gap_deadline = 60 * kMillisecond; });
    auto wire = client();
    wire.send(get("/a"));
    wire.receive_all();
    EXPECT_EQ(records_.finished(1)[0].reason, kReasonUpstreamDeadline);
}

TEST_F(GatewayLimits, ClientThatDoesNotReadIsCutOffAndMemoryStaysBounded) {
    std::atomic<std::size_t> sent{0};
    const auto running = serve(
        [&](Wire& wire) {
            wire.receive_until("\r\n\r\n");
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
            const std::string piece(65536, 'x');
            while (sent < 100'000'000 && wire.send(piece)) sent += piece.size();
        },
        [](GatewayConfig& config) { config.write_deadline = 150 * kMillisecond; });
    auto wire = client(4096);
    wire.send(get("/a"));
    EXPECT_EQ(records_.finished(1)[0].reason, kReasonClientStalled);
    EXPECT_LT(sent, 20'000'000U);  // the sockets' buffers, not the body
}

TEST_F(GatewayLimits, TunnelWithoutTrafficEnds) {
    const auto running = serve(
        [](Wire& wire) {
            wire.receive_until("\r\n\r\n");
            wire.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
            wire.receive();
        },
        [](GatewayConfig& config) { config.tunnel_deadline = 60 * kMillisecond; });
    auto wire = client();
    wire.send(get("/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    wire.receive_all();
    EXPECT_EQ(records_.finished(1)[0].reason, kReasonTunnelIdle);
}

TEST_F(GatewayLimits, TooManyConnections) {
    const auto running =
        serve(echo_heads, [](GatewayConfig& config) { config.max_connections_per_worker = 2; });
    auto a = client();
    auto b = client();
    a.send(get("/a"));
    a.receive_message();
    b.send(get("/b"));
    b.receive_message();
    auto c = client();
    EXPECT_TRUE(has(c.receive_all(), "503 Service Unavailable"));
    EXPECT_EQ(records_.refused(1)[0], kReasonTooManyConnections);
    a.close();
    while (gateway_->stats().open > 1) std::this_thread::yield();
    auto d = client();
    d.send(get("/d"));
    EXPECT_TRUE(has(d.receive_message(), "200 OK"));
}

TEST_F(GatewayLimits, TooManyConnectionsOfOneSource) {
    const auto running = serve(echo_heads, [](GatewayConfig& config) {
        config.workers = 2;
        config.max_connections_per_source = 2;
    });
    auto first = client();
    auto second = client();
    for (auto* wire : {&first, &second}) {
        wire->send(get("/a"));
        EXPECT_TRUE(has(wire->receive_message(), "200 OK"));
    }
    auto third = client();
    EXPECT_TRUE(has(third.receive_all(), "503 Service Unavailable"));
    EXPECT_EQ(records_.refused(1)[0], kReasonSourceConnections);
    EXPECT_EQ(gateway_->stats().refused_sources, 1U);
    first.close();
    bool served = false;
    for (int i = 0; i < 200 && !served; ++i) {  // until its end has been noticed
        auto next = client();
        next.send(get("/a"));
        served = has(next.receive_message(), "200 OK");
    }
    EXPECT_TRUE(served) << "a place that was left is free again";
}

TEST_F(GatewayLimits, ATrustedProxyBringsAsManyConnectionsAsItLikes) {
    trusted_ = {IpPrefix::parse("127.0.0.1").value()};
    const auto running =
        serve(echo_heads, [](GatewayConfig& config) { config.max_connections_per_source = 1; });
    std::list<Wire> wires;
    for (int i = 0; i < 5; ++i) {
        wires.push_back(client());
        wires.back().send(get("/a"));
        EXPECT_TRUE(has(wires.back().receive_message(), "200 OK")) << i;
    }
}

TEST_F(GatewayLimits, OutOfDescriptorsIsSurvived) {
    const auto running = serve(echo_heads);
    auto before = client();
    before.send(get("/a"));
    before.receive_message();
    rlimit old{};
    ::getrlimit(RLIMIT_NOFILE, &old);
    Wire waiting;
    {
        auto wire = client();
        std::vector<UniqueFd> hoard;
        const rlimit tight{64, old.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &tight);
        while (hoard.empty() || hoard.back()) hoard.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        hoard.pop_back();
        hoard.pop_back();  // one for the client's own end
        waiting = client();
        waiting.send(get("/late"));
        before.send(get("/refuse"));
        EXPECT_TRUE(has(before.receive_message(), "429"));
    }
    ::setrlimit(RLIMIT_NOFILE, &old);
    EXPECT_TRUE(has(waiting.receive_message(), "GET /late "));
}

TEST_F(GatewayLimits, DrainLetsExchangesEnd) {
    std::atomic<bool> reached{false};
    std::atomic<bool> go{false};
    const auto running = serve([&](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        reached = true;
        while (!go) std::this_thread::yield();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    auto idle = client();
    idle.send(get("/refuse"));
    idle.receive_message();
    auto busy = client();
    busy.send(get("/a"));
    while (!reached) std::this_thread::yield();
    std::size_t cut = 99;
    std::thread drainer{[&] { cut = gateway_->drain(5 * kSecond); }};
    EXPECT_TRUE(idle.ended());
    go = true;
    const std::string answer = busy.receive_all();
    EXPECT_TRUE(has(answer, "200 OK")) << answer;
    EXPECT_TRUE(has(answer, "Connection: close\r\n"));
    drainer.join();
    EXPECT_EQ(cut, 0U);
}

TEST_F(GatewayLimits, DrainHasAnEnd) {
    const auto running = serve([](Wire& wire) {
        wire.receive_until("\r\n\r\n");
        wire.receive();
    });
    auto wire = client();
    wire.send(get("/a"));
    while (gateway_->stats().requests == 0) std::this_thread::yield();
    EXPECT_EQ(gateway_->drain(50 * kMillisecond), 1U);
    EXPECT_EQ(records_.finished(1)[0].reason, kReasonDrained);
    EXPECT_TRUE(wire.ended());
}

TEST_F(GatewayLimits, SeveralWorkersShareAPort) {
    const auto running = serve(echo_heads, [](GatewayConfig& config) { config.workers = 3; });
    std::vector<Wire> wires;
    for (int i = 0; i < 24; ++i) wires.push_back(client());
    for (auto& wire : wires) wire.send(get("/a"));
    for (auto& wire : wires) EXPECT_TRUE(has(wire.receive_message(), "200 OK"));
    EXPECT_EQ(gateway_->stats().requests, 24U);
}

TEST_F(GatewayLimits, StartSaysWhatIsWrong) {
    const auto running = serve(echo_heads);
    const auto application = [this](WorkerContext&) {
        return std::make_unique<RecordingApplication>(records_, std::vector<IpPrefix>{});
    };
    for (const unsigned workers : {1U, 2U}) {
        GatewayConfig taken;
        taken.listen = gateway_->listening();
        taken.upstream = {upstream_->endpoint()};
        taken.workers = workers;
        GatewayServer second{taken, application};
        const auto started = second.start();
        ASSERT_FALSE(started);
        EXPECT_TRUE(has(started.error().message, taken.listen[0].to_string())) << started.error().message;
    }
    GatewayServer nowhere{GatewayConfig{}, application};
    EXPECT_FALSE(nowhere.start());
}

// A self-signed certificate for `name` in two files of a new folder.
class CertificateFiles {
  public:
    explicit CertificateFiles(const char* name) {
        std::string pattern = std::filesystem::temp_directory_path() / "sluice-tls-XXXXXX";
        folder_ = ::mkdtemp(pattern.data());
        write(name);
    }
    ~CertificateFiles() { std::filesystem::remove_all(folder_); }
    TlsFiles files() const { return {folder_ + "/cert.pem", folder_ + "/key.pem"}; }
    void write(const char* name) const {
        EVP_PKEY* key = EVP_EC_gen("P-256");
        X509* certificate = X509_new();
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
        X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
        X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
        X509_set_pubkey(certificate, key);
        X509_NAME* subject = X509_get_subject_name(certificate);
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name),
                                   -1, -1, 0);
        X509_set_issuer_name(certificate, subject);
        X509_sign(certificate, key, EVP_sha256());
        std::FILE* file = std::fopen(files().certificate.c_str(), "w");
        PEM_write_X509(file, certificate);
        std::fclose(file);
        file = std::fopen(files().key.c_str(), "w");
        PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
        std::fclose(file);
        X509_free(certificate);
        EVP_PKEY_free(key);
    }

  private:
    std::string folder_;
};

struct TlsClient {
    explicit TlsClient(const Wire& wire, int max_version = TLS1_3_VERSION, std::string_view alpn = {}) {
        SSL_CTX_set_max_proto_version(context.get(), max_version);
        if (max_version < TLS1_2_VERSION) SSL_CTX_set_security_level(context.get(), 0);
        ssl.reset(SSL_new(context.get()));
        if (!alpn.empty()) {
            SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                                static_cast<unsigned>(alpn.size()));
        }
        SSL_set_fd(ssl.get(), wire.fd());
        connected = SSL_connect(ssl.get()) == 1;
    }
    std::string peer_name() const {
        X509* certificate = SSL_get1_peer_certificate(ssl.get());
        char name[64] = "";
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
        X509_free(certificate);
        return name;
    }
    std::string ask(const std::string& request) const {
        SSL_write(ssl.get(), request.data(), static_cast<int>(request.size()));
        std::string answer;
        char bytes[4096];
        while (answer.find("\r\n\r\n") == std::string::npos) {
            const int n = SSL_read(ssl.get(), bytes, sizeof bytes);
            if (n <= 0) break;
            answer.append(bytes, static_cast<std::size_t>(n));
        }
        return answer;
    }

    std::unique_ptr<SSL_CTX, SslDeleter> context{SSL_CTX_new(TLS_client_method())};
    Ssl ssl;
    bool connected = false;
};

TEST_F(GatewayLimits, TlsServesReloadsAndRefusesOldVersions) {
    const CertificateFiles certificate{"one"};
    const auto running = serve(echo_heads, [&](GatewayConfig& config) { config.tls = certificate.files(); });
    const auto wire = client();
    const TlsClient first{wire, TLS1_3_VERSION, "\x08http/1.1"};
    ASSERT_TRUE(first.connected);
    EXPECT_EQ(first.peer_name(), "one");
    EXPECT_TRUE(has(first.ask(get("/a")), "HTTP/1.1 200 OK"));
    EXPECT_TRUE(has(first.ask(get("/refuse")), "HTTP/1.1 429 "));

    certificate.write("two");
    ASSERT_TRUE(gateway_->reload_tls());
    const auto wire2 = client();
    const TlsClient second{wire2, TLS1_2_VERSION};
    ASSERT_TRUE(second.connected);
    EXPECT_EQ(second.peer_name(), "two");
    EXPECT_TRUE(has(first.ask(get("/refuse")), "HTTP/1.1 429 ")) << "old connections go on";

    const auto wire3 = client();
    EXPECT_FALSE((TlsClient{wire3, TLS1_1_VERSION}.connected));
    const auto wire4 = client();
    EXPECT_FALSE((TlsClient{wire4, TLS1_3_VERSION, "\x02h2"}.connected));
    const auto plain = client();
    plain.send(get("/a"));
    plain.receive();
    EXPECT_EQ(records_.refused(3)[0], kReasonTlsHandshake);

    std::filesystem::remove(certificate.files().key);
    const auto reloaded = gateway_->reload_tls();
    ASSERT_FALSE(reloaded);
    EXPECT_TRUE(has(reloaded.error().message, "key.pem")) << reloaded.error().message;
    const auto wire5 = client();
    EXPECT_TRUE((TlsClient{wire5}.connected));
}

TEST_F(GatewayLimits, AProxyHeaderComesBeforeTls) {
    trusted_ = {IpPrefix::parse("127.0.0.1").value()};
    const CertificateFiles certificate{"one"};
    const auto running = serve(echo_heads, [&](GatewayConfig& config) { config.tls = certificate.files(); });
    const auto told = client();
    told.send("PROXY TCP4 203.0.113.7 10.0.0.1 4444 8080\r\n");
    const TlsClient first{told};
    ASSERT_TRUE(first.connected);
    EXPECT_TRUE(has(first.ask(get("/a")), "200 OK"));
    const auto untold = client();
    const TlsClient second{untold};
    ASSERT_TRUE(second.connected) << "a trusted peer need not send one";
    EXPECT_TRUE(has(second.ask(get("/b")), "200 OK"));
    const auto done = records_.finished(2);
    EXPECT_EQ(done[0].client, "203.0.113.7");
    EXPECT_EQ(done[1].client, "127.0.0.1");
}

TEST_F(GatewayLimits, LargeBodyOverTls) {
    const CertificateFiles certificate{"one"};
    constexpr std::size_t kSize = 1'000'000;
    const auto running = serve(
        [](Wire& wire) {
            wire.receive_until("\r\n\r\n");
            const std::string body = wire.receive_bytes(kSize);
            wire.send("HTTP/1.1 200 OK\r\nX-Got: " + std::to_string(body.size()) +
                      "\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n" + body);
        },
        [&](GatewayConfig& config) { config.tls = certificate.files(); });
    const auto wire = client();
    const TlsClient tls{wire};
    ASSERT_TRUE(tls.connected);
    const std::string request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(kSize) +
                                "\r\n\r\n" + std::string(kSize, 'y');
    std::string answer = tls.ask(request);
    EXPECT_TRUE(has(answer, "X-Got: 1000000\r\n"));
    std::size_t got = answer.size() - answer.find("\r\n\r\n") - 4;
    char bytes[16384];
    for (int n = 0; got < kSize && (n = SSL_read(tls.ssl.get(), bytes, sizeof bytes)) > 0;) {
        got += static_cast<std::size_t>(n);
    }
    EXPECT_EQ(got, kSize);
}

}  // namespace
}  // namespace sluice::http::testing
