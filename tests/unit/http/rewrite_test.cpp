#include "http/rewrite.hpp"

#include <gtest/gtest.h>

#include <string>

#include "http/body_sampler.hpp"
#include "http/endpoint.hpp"

namespace sluice::http {
namespace {

class Rewrite : public ::testing::Test {
  protected:
    // The request as it goes upstream, parsed from `text`; its path is the target as it came.
    std::string forwarded(const std::string& text, bool trusted = false, const AddedFields& added = {}) {
        RequestHead head;
        RequestFraming framing;
        const auto refusal = parse_request_head(text, 100, head, framing);
        EXPECT_FALSE(refusal) << refusal.detail;
        head.path = framing.target;
        Buffer out{pool_};
        write_request_head(head, framing, "192.0.2.7", trusted, added, out);
        return std::string{out.data()};
    }

    BlockPool pool_{1024};
};

TEST_F(Rewrite, RequestIsMadeAnew) {
    EXPECT_EQ(
        forwarded(
            "POST /a HTTP/1.0\r\nhost: h\r\nContent-Length: 007\r\nX-A:  1 \r\nConnection: x-b\r\nX-B: 2\r\n"
            "Keep-Alive: 5\r\nTE: trailers\r\nExpect: 100-continue\r\n\r\n"),
        "POST /a HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n"
        "Content-Length: 7\r\n\r\n");
}

TEST_F(Rewrite, StrangersSayNothingAboutForwarding) {
    const std::string text =
        "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: "
        "https\r\nX-Forwarded-Host: evil\r\n"
        "X-Real-IP: 2.2.2.2\r\nForwarded: for=3.3.3.3\r\n\r\n";
    EXPECT_EQ(forwarded(text),
              "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n\r\n");
    EXPECT_EQ(forwarded(text, true),
              "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Host: evil\r\nX-Real-IP: 2.2.2.2\r\nForwarded: "
              "for=3.3.3.3\r\n"
              "X-Forwarded-For: 1.1.1.1, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\r\n");
}

TEST_F(Rewrite, StrangersNameNoOtherMethodOrPathThanTheOneThatWasLimited) {
    for (const std::string field :
         {"X-HTTP-Method-Override: PUT", "x-http-method: PUT", "X-Method-Override: PUT",
          "X-Original-URL: /api/ai/x", "X-Rewrite-URL: /api/ai/x"}) {
        const std::string text = "GET /api/x HTTP/1.1\r\nHost: h\r\n" + field + "\r\n\r\n";
        EXPECT_EQ(forwarded(text).find(field), std::string::npos) << field;
        EXPECT_NE(forwarded(text, true).find(field), std::string::npos) << field;
    }
}

TEST_F(Rewrite, AddedFieldsReplace) {
    AddedFields added;
    added.set("X-Request-ID", "ours\r\nX-Evil: 1");
    EXPECT_EQ(forwarded("GET / HTTP/1.1\r\nHost: h\r\nx-request-id: theirs\r\n\r\n", false, added),
              "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n"
              "X-Request-ID: ours??X-Evil: 1\r\n\r\n");
}

TEST_F(Rewrite, WebSocketUpgradeGoesOn) {
    const std::string out = forwarded(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, X\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "
        "k\r\n\r\n");
    EXPECT_NE(out.find("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), std::string::npos) << out;
    EXPECT_NE(out.find("Sec-WebSocket-Key: k"), std::string::npos);
    const std::string h2c =
        forwarded("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    EXPECT_EQ(h2c.find("Upgrade"), std::string::npos) << h2c;
}

TEST_F(Rewrite, ProblemIsEscaped) {
    EXPECT_EQ(
        problem_body(400, "malformed_request", "a \"b\""),
        "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"reason\":\"malformed_request\","
        "\"detail\":\"a \\\"b\\\"\"}\n");
}

TEST_F(Rewrite, BufferGrowsAndKeepsWhatIsPinned) {
    Buffer buffer{pool_};
    buffer.append("headbody");
    buffer.pin(4);
    EXPECT_EQ(buffer.data(), "body");
    buffer.consume(4);
    EXPECT_EQ(buffer.space().size(), 1024U - 4U);
    buffer.append("next");
    buffer.consume(1);
    buffer.unpin();
    EXPECT_EQ(buffer.data(), "ext");
    const std::string large(5000, 'x');
    buffer.append(large);
    EXPECT_EQ(buffer.size(), 5003U);
    EXPECT_EQ(buffer.data().substr(0, 4), "extx");
}

TEST(BodySampler, KeepsBothEnds) {
    BodySampler sampler;
    sampler.begin(4, 3);
    for (const char c : std::string{"abcdefghijklm"}) sampler.add({&c, 1});
    EXPECT_EQ(sampler.sample().start, "abcd");
    EXPECT_EQ(sampler.sample().end, "klm");
    EXPECT_EQ(sampler.sample().total, 13U);
    EXPECT_FALSE(sampler.sample().complete());
    sampler.begin(4, 3);
    sampler.add("abcdefg");
    EXPECT_TRUE(sampler.sample().complete());
    EXPECT_EQ(sampler.sample().end, "efg");
    sampler.begin(4, 3);
    sampler.add("abcdefghijklmnopqrstuvwxyz");
    EXPECT_EQ(sampler.sample().end, "xyz");
    sampler.begin(0, 0);
    sampler.add("abc");
    EXPECT_EQ(sampler.sample().start, "");
}

TEST(Endpoint, RoundTrips) {
    for (const std::string_view text : {"127.0.0.1:8000", "[::1]:80", "0.0.0.0:0", "unix:/run/app.sock"}) {
        const auto endpoint = Endpoint::parse(text);
        ASSERT_TRUE(endpoint) << text;
        EXPECT_EQ(endpoint->to_string(), text);
    }
}

TEST(Endpoint, RefusesWithAnExample) {
    for (const std::string_view text :
         {"", "127.0.0.1", "localhost:80", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:", "::1:80",
          "[127.0.0.1]:80", "unix:", "unix:relative", "[::1]", "[::1]80"}) {
        const auto endpoint = Endpoint::parse(text);
        ASSERT_FALSE(endpoint) << text;
        EXPECT_NE(endpoint.error().message.find("write 127.0.0.1:8000"), std::string::npos);
    }
    EXPECT_FALSE(Endpoint::parse("unix:/" + std::string(200, 'a')));
}

}  // namespace
}  // namespace sluice::http
