#include "http/admin_server.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <thread>

#include "base/unique_fd.hpp"

namespace sluice::http {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;

constexpr int kPatienceMs = 20'000;

// A blocking client that speaks bytes.
class Client {
  public:
    static Client tcp(std::uint16_t port, const char* from = "127.0.0.1") {
        Client client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_in address{};
        address.sin_family = AF_INET;
        ::inet_pton(AF_INET, from, &address.sin_addr);
        EXPECT_EQ(::bind(client.fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(client.fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        return client;
    }
    static Client local(const std::string& path) {
        Client client{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        EXPECT_EQ(::connect(client.fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        return client;
    }

    int fd() const { return fd_.get(); }
    // What the server closed already cannot be written to; that shows when reading.
    void send(std::string_view bytes) const {
        for (ssize_t n = 0; !bytes.empty() && n >= 0;
             bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0))))
            n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    }
    // Until `end` is in what was read, or the server closes.
    std::string read_until(std::string_view end) {
        while (text_.find(end) == std::string::npos) {
            pollfd ready{fd_.get(), POLLIN, 0};
            std::array<char, 65536> buffer{};
            if (::poll(&ready, 1, kPatienceMs) <= 0) return text_ + "[TIMED OUT]";
            const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
            if (n <= 0) break;
            text_.append(buffer.data(), static_cast<std::size_t>(n));
        }
        const auto at = text_.find(end);
        const auto length = at == std::string::npos ? text_.size() : at + end.size();
        std::string read = text_.substr(0, length);
        text_.erase(0, length);
        return read;
    }
    std::string read_all() { return read_until("\n\n\n this does not come"); }
    // One answer with a Content-Length.
    std::string ask(std::string_view request) {
        send(request);
        std::string answer = read_until("\r\n\r\n");
        const auto at = answer.find("Content-Length: ");
        if (at == std::string::npos) return answer;
        auto body = static_cast<std::size_t>(std::atol(answer.c_str() + at + 16));
        while (text_.size() < body) {
            std::array<char, 4096> buffer{};
            const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
            if (n <= 0) break;
            text_.append(buffer.data(), static_cast<std::size_t>(n));
        }
        body = std::min(body, text_.size());
        answer += text_.substr(0, body);
        text_.erase(0, body);
        return answer;
    }

  private:
    explicit Client(int fd) : fd_(fd) {}
    UniqueFd fd_;
    std::string text_;
};

// A source of pieces that a test fills from its own thread.
class Feed {
  public:
    StreamBody body() {
        return {[this](std::string& out) {
                    const std::lock_guard lock{mutex_};
                    out.append(std::exchange(waiting_, {}));
                },
                [this](std::function<void()> wake) {
                    const std::lock_guard lock{mutex_};
                    wake_ = std::move(wake);
                }};
    }
    void push(std::string_view text) {
        std::function<void()> wake;
        {
            const std::lock_guard lock{mutex_};
            waiting_ += text;
            wake = wake_;
        }
        if (wake) wake();
    }

  private:
    std::mutex mutex_;
    std::string waiting_;
    std::function<void()> wake_;
};

class AdminServerTest : public testing::Test {
  protected:
    AdminServerTest() {
        std::string path = testing::TempDir() + "sluice-admin.XXXXXX";
        folder_ = ::mkdtemp(path.data());
        options_.socket = folder_ / "admin.sock";
        options_.listen = "127.0.0.1:0";
        options_.tokens_file = folder_ / "tokens.yaml";
        // printf %s TOKEN | sha256sum of "view-token" and "admin-token"
        std::ofstream{options_.tokens_file}
            << "- {name: scraper, role: viewer, sha256: " << hex("view-token") << "}\n"
            << "- {name: ops, role: admin, sha256: " << hex("admin-token") << "}\n";
        ::chmod(options_.tokens_file.c_str(), 0600);
    }
    ~AdminServerTest() override {
        stop();
        fs::remove_all(folder_);
    }

    static std::string hex(std::string_view secret) {
        std::string text;
        for (const auto byte : sha256(secret)) {
            constexpr std::string_view kDigits = "0123456789abcdef";
            text += {kDigits[byte >> 4], kDigits[byte & 15]};
        }
        return text;
    }

    Router router() {
        return Router{{
            {"GET", "/livez", Role::kNone,
             [](const AdminRequest&) { return AdminResponse::text("ok\n", "text/plain"); }},
            {"GET", "/api/health", Role::kNone,
             [](const AdminRequest& request) {
                 return AdminResponse::text(request.caller.role == Role::kNone ? "up" : "details",
                                            "text/plain");
             }},
            {"GET", "/v1/who", Role::kViewer,
             [](const AdminRequest& request) {
                 const auto& caller = request.caller;
                 return AdminResponse::text(
                     std::string{to_string(caller.role)} + '|' + caller.name + '|' + caller.how,
                     "text/plain");
             }},
            {"POST", "/v1/echo", Role::kOperator,
             [this](const AdminRequest& request) {
                 ++echoes_;
                 return AdminResponse::json(request.body);
             }},
            {"GET", "/v1/events", Role::kViewer,
             [this](const AdminRequest& request) {
                 feed_.push("id of the last: " + request.last_event_id + "\n\n");
                 return AdminResponse::events(feed_.body());
             }},
            {"POST", "/v1/file", Role::kAdmin,
             [this](const AdminRequest&) {
                 StreamBody body = feed_.body();
                 const std::shared_ptr<void> file{nullptr, [this](void*) { --files_; }};
                 ++files_;
                 body.over = [this, file] { return feed_over_.load(); };
                 body.heartbeat = {};
                 return AdminResponse::streamed(std::move(body), "application/x-file");
             }},
        }};
    }

    void start() {
        auto server =
            AdminServer::open(io_.get_executor(), options_, router(), [this](const AdminDenied& denied) {
                const std::lock_guard lock{mutex_};
                denials_.emplace_back(std::string{to_string(denied.reason)} + ' ' + denied.method + ' ' +
                                      denied.path);
            });
        ASSERT_TRUE(server) << server.error().message;
        server_ = std::move(*server);
        thread_ = std::thread{[this] { io_.run(); }};
    }
    // As the daemon does: on the server's own thread.
    void stop() {
        if (!thread_.joinable()) return;
        asio::post(io_, [this] { server_.reset(); });
        work_.reset();
        thread_.join();
    }

    Client tcp() const { return Client::tcp(server_->port()); }
    Client local() const { return Client::local(options_.socket); }
    static std::string get(std::string_view path, std::string_view fields = "") {
        return "GET " + std::string{path} + " HTTP/1.1\r\nHost: x\r\n" + std::string{fields} + "\r\n";
    }
    static std::string post(std::string_view path, std::string_view body, std::string_view fields = "") {
        return "POST " + std::string{path} +
               " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
               std::string{fields} + "\r\n" + std::string{body};
    }
    static constexpr std::string_view kView = "Authorization: Bearer view-token\r\n";
    static constexpr std::string_view kAdmin = "authorization: bearer admin-token\r\n";
    static int status(const std::string& answer) {
        return answer.starts_with("HTTP/1.1 ") ? std::atoi(answer.c_str() + 9) : 0;
    }
    std::vector<std::string> denials() {
        const std::lock_guard lock{mutex_};
        return denials_;
    }

    fs::path folder_;
    AdminServerOptions options_;
    Feed feed_;
    std::atomic<int> echoes_{0};
    std::atomic<int> files_{0};  // streams of /v1/file that live
    std::atomic<bool> feed_over_{false};
    std::mutex mutex_;
    std::vector<std::string> denials_;
    asio::io_context io_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
    std::unique_ptr<AdminServer> server_;
    std::thread thread_;
};

TEST_F(AdminServerTest, UnixCallersAreKnownByTheirPeer) {
    start();
    auto client = local();
    const auto answer = client.ask(get("/v1/who"));
    EXPECT_EQ(status(answer), 200) << answer;
    EXPECT_NE(answer.find("admin|"), std::string::npos) << answer;
    EXPECT_NE(answer.find("|unix socket, uid " + std::to_string(::geteuid())), std::string::npos) << answer;
    EXPECT_NE(answer.find("Cache-Control: no-store\r\n"), std::string::npos);
    EXPECT_NE(answer.find("X-Content-Type-Options: nosniff\r\n"), std::string::npos);
    struct stat file {};
    ASSERT_EQ(::stat(options_.socket.c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 07777, 0660U);
}

TEST_F(AdminServerTest, KeepsAliveAndPipelines) {
    start();
    auto client = local();
    client.send(get("/livez") + post("/v1/echo", "one") + get("/livez", "Connection: close\r\n"));
    const auto answers = client.read_all();
    EXPECT_EQ(answers.find("HTTP/1.1 200 OK"), 0U);
    EXPECT_NE(answers.find("\r\n\r\none"), std::string::npos);
    EXPECT_TRUE(answers.ends_with("ok\n")) << answers;
    EXPECT_EQ(echoes_, 1);
}

TEST_F(AdminServerTest, TcpNeedsAToken) {
    start();
    auto client = tcp();
    EXPECT_EQ(status(client.ask(get("/livez"))), 200);
    EXPECT_TRUE(client.ask(get("/api/health")).ends_with("up"));
    EXPECT_TRUE(client.ask(get("/api/health", kView)).ends_with("details"));
    for (const auto* path : {"/v1/who", "/metrics", "/", "/v1/../livez", "/livez/"}) {
        const auto answer = client.ask(get(path));
        EXPECT_EQ(status(answer), 401) << path;
        EXPECT_NE(answer.find("application/problem+json"), std::string::npos);
        EXPECT_NE(answer.find("WWW-Authenticate: Bearer"), std::string::npos);
    }
    EXPECT_EQ(status(client.ask(get("/v1/who", "Authorization: Basic dmlldy10b2tlbg==\r\n"))), 401);
    const auto answer = client.ask(get("/v1/who", kView));
    EXPECT_TRUE(answer.ends_with("viewer|scraper|token from 127.0.0.1")) << answer;
    EXPECT_EQ(denials().front(), "no_token GET /v1/who");
}

TEST_F(AdminServerTest, RolesAreEnforced) {
    start();
    auto client = tcp();
    EXPECT_EQ(status(client.ask(post("/v1/echo", "x", kView))), 403);
    EXPECT_EQ(echoes_, 0);
    EXPECT_EQ(denials(), (std::vector<std::string>{"role POST /v1/echo"}));
    auto admin = tcp();
    EXPECT_EQ(status(admin.ask(post("/v1/echo", "x", kAdmin))), 200);
    EXPECT_EQ(status(admin.ask("DELETE /v1/echo HTTP/1.1\r\nHost: x\r\n" + std::string{kAdmin} + "\r\n")),
              405);
    EXPECT_EQ(status(admin.ask(get("/v1/nothing", kAdmin))), 404);
}

TEST_F(AdminServerTest, GuessingIsSlowedDown) {
    start();
    auto client = tcp();
    for (int i = 0; i < 5; ++i)
        EXPECT_EQ(
            status(client.ask(get("/v1/who", "Authorization: Bearer guess" + std::to_string(i) + "\r\n"))),
            401);
    const auto answer = client.ask(get("/v1/who", "Authorization: Bearer guess5\r\n"));
    EXPECT_EQ(status(answer), 429) << answer;
    EXPECT_NE(answer.find("Retry-After: 1\r\n"), std::string::npos);
    EXPECT_EQ(status(client.ask(get("/livez"))), 200);  // without a token nothing is guessed
    EXPECT_EQ(status(client.ask(get("/livez", "Authorization: Bearer guess6\r\n"))), 200)
        << "open to anybody";
    EXPECT_EQ(status(local().ask(get("/v1/who"))), 200);
    EXPECT_EQ(denials().back(), "too_many_bad_tokens GET /v1/who");
    EXPECT_EQ(status(client.ask(get("/v1/who", kView))), 200) << "a neighbour with a token is let in";
}

TEST_F(AdminServerTest, TwoCredentialsAreAmbiguous) {
    start();
    auto client = tcp();
    const auto answer = client.ask(get("/v1/who", std::string{kView} + std::string{kAdmin}));
    EXPECT_EQ(status(answer), 400);
    EXPECT_NE(answer.find("Authorization stands more than once"), std::string::npos) << answer;
    EXPECT_EQ(
        status(tcp().ask("GET /v1/who HTTP/1.1\r\nHost: x\r\nHost: y\r\n" + std::string{kView} + "\r\n")),
        400);
}

TEST_F(AdminServerTest, WhatStrangersMakeUpIsNotRecorded) {
    start();
    EXPECT_EQ(status(tcp().ask(get("/v1/made-up"))), 401);
    EXPECT_EQ(status(tcp().ask(get("/v1/who"))), 401);
    EXPECT_EQ(denials(), (std::vector<std::string>{"no_token GET ", "no_token GET /v1/who"}));
}

TEST_F(AdminServerTest, OnePeerHasItsBound) {
    options_.max_connections_per_peer = 2;
    start();
    std::vector<Client> clients;
    for (int i = 0; i < 2; ++i) {
        clients.push_back(tcp());
        EXPECT_EQ(status(clients.back().ask(get("/livez"))), 200);
    }
    EXPECT_EQ(status(tcp().read_all()), 503);
    auto other = Client::tcp(server_->port(), "127.0.0.2");
    EXPECT_EQ(status(other.ask(get("/livez"))), 200) << "another peer still has a place";
    EXPECT_EQ(status(local().ask(get("/livez"))), 200);
    clients.pop_back();
    int last = 0;
    for (int i = 0; i < 200 && last != 200; ++i) last = status(tcp().ask(get("/livez")));
    EXPECT_EQ(last, 200);
}

TEST_F(AdminServerTest, StrangersAreCutSooner) {
    options_.stranger_deadline = 50 * kMillisecond;
    start();
    auto silent = tcp();
    EXPECT_EQ(silent.read_all(), "");
    auto half = tcp();
    half.send("GET /livez HTTP/1.1\r\nX: ");
    EXPECT_EQ(half.read_all(), "");
    auto known = tcp();
    EXPECT_EQ(status(known.ask(get("/v1/who", kView))), 200);
    std::this_thread::sleep_for(std::chrono::milliseconds{120});
    EXPECT_EQ(status(known.ask(get("/v1/who", kView))), 200) << "who has shown a token has the idle deadline";
}

TEST_F(AdminServerTest, TokensAreRereadWhenTheFileChanges) {
    std::atomic<int> errors{0};
    options_.on_error = [&](const Error&) { ++errors; };
    start();
    auto client = tcp();
    EXPECT_EQ(status(client.ask(get("/v1/who", kView))), 200);
    std::ofstream{options_.tokens_file} << "nonsense";
    EXPECT_EQ(status(client.ask(get("/v1/who", kView))), 200);
    EXPECT_EQ(status(client.ask(get("/v1/who", kView))), 200);
    EXPECT_EQ(errors, 1);
    std::ofstream{options_.tokens_file} << "- {name: new, role: viewer, sha256: " << hex("new-token")
                                        << "}\n";
    EXPECT_EQ(status(client.ask(get("/v1/who", kView))), 401);
    EXPECT_EQ(status(client.ask(get("/v1/who", "Authorization: Bearer new-token\r\n"))), 200);
}

TEST_F(AdminServerTest, ForeignOriginsAndHostsAreRefused) {
    options_.allowed_hosts = {"x", "edge1.example.org"};
    start();
    auto client = tcp();
    EXPECT_EQ(status(client.ask(get("/v1/who", std::string{kView} + "Origin: http://evil.example\r\n"))),
              403);
    EXPECT_EQ(status(client.ask(get("/v1/who", std::string{kView} + "Origin: null\r\n"))), 403);
    EXPECT_EQ(status(client.ask(get("/v1/who", std::string{kView} + "Origin: http://x\r\n"))), 200);
    EXPECT_EQ(status(client.ask("GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n")), 421);
    EXPECT_EQ(status(client.ask("GET /livez HTTP/1.1\r\nHost: EDGE1.example.org:9900\r\n\r\n")), 200);
}

TEST_F(AdminServerTest, HeadHasNoBody) {
    start();
    auto client = local();
    client.send("HEAD /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const auto answer = client.read_all();
    EXPECT_NE(answer.find("Content-Length: 3\r\n"), std::string::npos);
    EXPECT_TRUE(answer.ends_with("\r\n\r\n"));
}

TEST_F(AdminServerTest, OversizedRequestsAreRefused) {
    options_.max_body_bytes = 1000;
    start();
    EXPECT_EQ(status(local().ask(get("/livez", "X: " + std::string(9000, 'a') + "\r\n"))), 431);
    EXPECT_EQ(status(local().ask(post("/v1/echo", std::string(1001, 'a')))), 413);
    EXPECT_EQ(status(local().ask(post("/v1/echo", std::string(1000, 'a')))), 200);
    // Chunked, so that the size shows only on the way.
    EXPECT_EQ(
        status(local().ask("POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" +
                           std::string(2048, 'a') + "\r\n0\r\n\r\n")),
        413);
    EXPECT_EQ(echoes_, 1);
}

TEST_F(AdminServerTest, ARefusalArrivesThoughTheBodyIsNotRead) {
    start();
    // More than any buffer holds: the server must take it off the wire for its answer to arrive.
    for (int i = 0; i < 5; ++i)
        EXPECT_EQ(status(tcp().ask(post("/v1/echo", std::string(1'000'000, 'a')))), 401);
    EXPECT_EQ(echoes_, 0);
}

TEST_F(AdminServerTest, AnnouncedBodiesAreAskedForOnlyFromThoseWhoMay) {
    start();
    auto nobody = tcp();
    EXPECT_EQ(status(nobody.ask(
                  "POST /v1/echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")),
              401);
    auto admin = local();
    admin.send("POST /v1/echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    EXPECT_EQ(admin.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    EXPECT_TRUE(admin.ask("abc").ends_with("abc"));
}

TEST_F(AdminServerTest, MalformedRequestsAreRefused) {
    start();
    for (const std::string request :
         {"\r\n\r\n\r\n", "GET\r\n\r\n", "GET /livez\r\n\r\n",
          "GET http://x/livez HTTP/1.1\r\nHost: x\r\n\r\n", "GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n",
          "GET /livez HTTP/1.1\r\nbad header\r\n\r\n", "GET /livez HTTP/9.9\r\n\r\n",
          "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls?\r\n\r\n",
          "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
          "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: "
          "chunked\r\n\r\n0\r\n\r\n",
          "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
        auto client = local();
        client.send(request);
        ::shutdown(client.fd(), SHUT_WR);
        const auto answer = client.read_all();
        EXPECT_TRUE(answer.empty() || status(answer) == 400) << request << " → " << answer;
    }
    EXPECT_EQ(echoes_, 0);
    EXPECT_EQ(status(local().ask(get("/livez"))), 200);
}

TEST_F(AdminServerTest, SlowRequestsAreCut) {
    options_.read_deadline = 100 * kMillisecond;
    start();
    auto client = local();
    client.send("GET /livez HTTP/1.1\r\nX: ");
    std::atomic<bool> done{false};
    std::thread drip{[&] {
        while (!done) {
            client.send("a");
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
        }
    }};
    const auto answer = client.read_all();
    done = true;
    drip.join();
    EXPECT_EQ(answer, "");
    EXPECT_EQ(local().read_all(), "");  // who says nothing at all
}

TEST_F(AdminServerTest, ConnectionsAreBoundedForEachDoor) {
    options_.max_connections = 3;
    start();
    std::vector<Client> clients;
    for (int i = 0; i < 3; ++i) {
        clients.push_back(tcp());
        EXPECT_EQ(status(clients.back().ask(get("/livez"))), 200);
    }
    EXPECT_EQ(status(tcp().read_all()), 503);
    EXPECT_EQ(status(local().ask(get("/livez"))), 200);
    clients.pop_back();
    int last = 0;
    for (int i = 0; i < 200 && last != 200; ++i) last = status(tcp().ask(get("/livez")));
    EXPECT_EQ(last, 200);
}

TEST_F(AdminServerTest, StreamsEventsAsTheyCome) {
    start();
    auto client = tcp();
    client.send(get("/v1/events", std::string{kView} + "Last-Event-ID: 7-1\r\n"));
    const auto head = client.read_until("\r\n\r\n");
    EXPECT_EQ(status(head), 200);
    EXPECT_NE(head.find("Content-Type: text/event-stream\r\n"), std::string::npos);
    EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
    EXPECT_NE(client.read_until("\n\n").find("id of the last: 7-1"), std::string::npos);
    for (int i = 0; i < 5; ++i) {
        const auto event = "data: " + std::to_string(i) + "\n\n";
        feed_.push(event);
        EXPECT_NE(client.read_until("\n\n").find(event), std::string::npos);
    }
    EXPECT_EQ(status(tcp().ask(get("/livez"))), 200);  // others are served meanwhile
}

TEST_F(AdminServerTest, AStreamMayHaveAnEnd) {
    start();
    auto client = local();
    client.send(post("/v1/file", "", kAdmin));
    const auto head = client.read_until("\r\n\r\n");
    EXPECT_NE(head.find("Content-Type: application/x-file\r\n"), std::string::npos) << head;
    feed_.push("one");
    EXPECT_TRUE(client.read_until("one\r\n").ends_with("3\r\none\r\n"));
    feed_over_ = true;
    feed_.push("two");
    EXPECT_EQ(client.read_all(), "3\r\ntwo\r\n0\r\n\r\n") << "the last piece, the end, and no heartbeat";
}

TEST_F(AdminServerTest, AStreamIsDroppedAsSoonAsItsClientIsGone) {
    start();
    for (const bool by_tcp : {false, true}) {
        auto client = std::make_unique<Client>(by_tcp ? tcp() : local());
        client->send(post("/v1/file", "", kAdmin));
        client->read_until("\r\n\r\n");
        EXPECT_EQ(files_, 1);
        client.reset();
        for (int i = 0; i < kPatienceMs && files_ != 0; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        EXPECT_EQ(files_, 0) << "without a byte sent";
    }
}

TEST_F(AdminServerTest, QuietStreamsHaveAHeartbeat) {
    options_.heartbeat = 10 * kMillisecond;
    start();
    auto client = local();
    client.send(get("/v1/events"));
    client.read_until("\r\n\r\n");
    client.read_until("\n\n");
    EXPECT_NE(client.read_until(": heartbeat\n\n").find(": heartbeat\n\n"), std::string::npos);
    EXPECT_NE(client.read_until(": heartbeat\n\n").find(": heartbeat\n\n"), std::string::npos);
}

TEST_F(AdminServerTest, ASubscriberThatDoesNotReadIsCutAndBlocksNobody) {
    options_.write_deadline = 200 * kMillisecond;
    start();
    auto client = local();
    client.send(get("/v1/events"));
    client.read_until("\r\n\r\n");
    const std::string piece(1 << 20, 'x');
    for (int i = 0; i < 8; ++i) feed_.push(piece);
    EXPECT_EQ(status(local().ask(get("/livez"))), 200);
    std::this_thread::sleep_for(std::chrono::milliseconds{400});
    EXPECT_LT(client.read_all().size(), 8 * piece.size());
}

TEST_F(AdminServerTest, StoppingEndsEverythingAndRemovesTheSocket) {
    start();
    auto idle = local();
    EXPECT_EQ(status(idle.ask(get("/livez"))), 200);
    auto stream = tcp();
    stream.send(get("/v1/events", kView));
    stream.read_until("\r\n\r\n");
    stop();
    EXPECT_EQ(idle.read_all(), "");
    EXPECT_EQ(stream.read_all().find("TIMED OUT"), std::string::npos);
    EXPECT_FALSE(fs::exists(options_.socket));
    feed_.push("after the end");  // nobody is there to wake
}

TEST_F(AdminServerTest, AStaleSocketIsReplacedALiveOneIsNot) {
    {
        const UniqueFd dead{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        options_.socket.copy(address.sun_path, sizeof address.sun_path - 1);
        ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }
    ASSERT_TRUE(fs::exists(options_.socket));
    start();
    asio::io_context other;
    const auto second = AdminServer::open(other.get_executor(), options_, router(), nullptr);
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().message.find("another daemon answers there"), std::string::npos);
    EXPECT_EQ(status(local().ask(get("/livez"))), 200);
}

TEST_F(AdminServerTest, RefusesToStartOnWhatIsWrong) {
    asio::io_context io;
    const auto error = [&](const AdminServerOptions& options) {
        const auto server = AdminServer::open(io.get_executor(), options, router(), nullptr);
        return server ? std::string{} : server.error().message;
    };
    auto options = options_;
    std::ofstream{options.socket} << "a file";
    EXPECT_NE(error(options).find("no socket"), std::string::npos);
    EXPECT_TRUE(fs::exists(options.socket));
    options.socket = folder_ / "missing" / "admin.sock";
    EXPECT_NE(error(options).find(options.socket), std::string::npos);
    options.socket = "/" + std::string(200, 'a');
    EXPECT_NE(error(options), "");
    options.socket.clear();
    options.tokens_file.clear();
    EXPECT_NE(error(options).find("needs a tokens file"), std::string::npos);
    options = options_;
    options.socket = folder_ / "b.sock";
    options.listen = "localhost";
    EXPECT_NE(error(options).find("localhost"), std::string::npos);
    options.listen = options_.listen;
    options.tls_certificate = folder_ / "none.pem";
    EXPECT_NE(error(options).find("needs a certificate and a key"), std::string::npos);
    options.tls_key = options.tls_certificate;
    EXPECT_NE(error(options).find("none.pem"), std::string::npos);
    options.socket_group = "no-such-group";
    EXPECT_NE(error(options).find("no-such-group"), std::string::npos);
}

// A key and a certificate of its own, for the test's server.
void make_certificate(const fs::path& certificate_path, const fs::path& key_path) {
    const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key{EVP_EC_gen("P-256"), EVP_PKEY_free};
    const std::unique_ptr<X509, void (*)(X509*)> certificate{X509_new(), X509_free};
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key.get());
    X509_sign(certificate.get(), key.get(), EVP_sha256());
    const std::unique_ptr<FILE, int (*)(FILE*)> cert_file{std::fopen(certificate_path.c_str(), "w"),
                                                          std::fclose};
    PEM_write_X509(cert_file.get(), certificate.get());
    const std::unique_ptr<FILE, int (*)(FILE*)> key_file{std::fopen(key_path.c_str(), "w"), std::fclose};
    PEM_write_PrivateKey(key_file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
}

TEST_F(AdminServerTest, SpeaksTls) {
    options_.tls_certificate = folder_ / "cert.pem";
    options_.tls_key = folder_ / "key.pem";
    make_certificate(options_.tls_certificate, options_.tls_key);
    start();
    const auto ask = [&](int max_version) {
        const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context{SSL_CTX_new(TLS_client_method()),
                                                                   SSL_CTX_free};
        SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
        SSL_CTX_set_max_proto_version(context.get(), max_version);
        const auto client = tcp();
        const std::unique_ptr<SSL, void (*)(SSL*)> ssl{SSL_new(context.get()), SSL_free};
        SSL_set_fd(ssl.get(), client.fd());
        if (SSL_connect(ssl.get()) != 1) return std::string{"no handshake"};
        const auto request = get("/v1/who", std::string{kView} + "Connection: close\r\n");
        SSL_write(ssl.get(), request.data(), static_cast<int>(request.size()));
        std::string answer;
        std::array<char, 4096> buffer{};
        for (int n = 0; (n = SSL_read(ssl.get(), buffer.data(), static_cast<int>(buffer.size()))) > 0;)
            answer.append(buffer.data(), static_cast<std::size_t>(n));
        return answer;
    };
    EXPECT_TRUE(ask(TLS1_3_VERSION).ends_with("viewer|scraper|token from 127.0.0.1"));
    EXPECT_TRUE(ask(TLS1_2_VERSION).ends_with("viewer|scraper|token from 127.0.0.1"));
    EXPECT_EQ(ask(TLS1_1_VERSION), "no handshake");
    auto plain = tcp();
    plain.send(get("/livez"));
    EXPECT_EQ(plain.read_all().find("HTTP/1.1 200"), std::string::npos);

    const auto reload = [&] {
        std::promise<bool> done;
        asio::post(io_, [&] { done.set_value(static_cast<bool>(server_->reload_tls())); });
        return done.get_future().get();
    };
    const auto serial = [&] {
        const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context{SSL_CTX_new(TLS_client_method()),
                                                                   SSL_CTX_free};
        const auto client = tcp();
        const std::unique_ptr<SSL, void (*)(SSL*)> ssl{SSL_new(context.get()), SSL_free};
        SSL_set_fd(ssl.get(), client.fd());
        if (SSL_connect(ssl.get()) != 1) return std::string{"no handshake"};
        const std::unique_ptr<X509, void (*)(X509*)> shown{SSL_get1_peer_certificate(ssl.get()), X509_free};
        std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
        unsigned length = 0;
        X509_digest(shown.get(), EVP_sha256(), digest.data(), &length);
        return std::string{digest.begin(), digest.begin() + length};
    };
    const auto before = serial();
    make_certificate(options_.tls_certificate, options_.tls_key);
    EXPECT_EQ(serial(), before) << "not before it is asked for";
    EXPECT_TRUE(reload());
    const auto after = serial();
    EXPECT_NE(after, before);
    std::ofstream{options_.tls_key} << "no key";
    EXPECT_FALSE(reload());
    EXPECT_EQ(serial(), after) << "the old one stays";
}

}  // namespace
}  // namespace sluice::http
