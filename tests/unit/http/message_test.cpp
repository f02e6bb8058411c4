#include "http/message.hpp"

#include <gtest/gtest.h>

#include <string>

#include "http/reasons.hpp"

namespace sluice::http {
namespace {

using namespace std::string_literals;

struct Parsed {
    Refusal refusal;
    RequestHead head;
    RequestFraming framing;
    std::string text;  // what the views point into
};

// The head scanned and parsed; a scan that finds no end or a bad line is a 400 of its own.
std::unique_ptr<Parsed> parse(std::string text) {
    auto parsed = std::make_unique<Parsed>();
    parsed->text = std::move(text);
    HeadScanner scanner;
    if (scanner.scan(parsed->text) != HeadScanner::State::kComplete) {
        parsed->refusal = {400, kReasonMalformed, "scan"};
        return parsed;
    }
    parsed->refusal = parse_request_head(std::string_view{parsed->text}.substr(0, scanner.length()), 100,
                                         parsed->head, parsed->framing);
    return parsed;
}

std::unique_ptr<Parsed> parse_get(const std::string& fields) {
    return parse("GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n");
}

TEST(RequestParse, ReadsAHead) {
    const auto p = parse(
        "POST /a?b HTTP/1.1\r\nHost: example.com:80\r\nX-A: 1\r\nx-a:  2\t\r\nContent-Length: "
        "5\r\n\r\nhello");
    ASSERT_FALSE(p->refusal) << p->refusal.detail;
    EXPECT_EQ(p->head.method, "POST");
    EXPECT_EQ(p->framing.target, "/a?b");
    EXPECT_EQ(p->head.host, "example.com:80");
    EXPECT_EQ(p->head.fields.find("x-A"), "1");
    EXPECT_EQ(p->head.fields.count("X-a"), 2U);
    EXPECT_EQ(p->head.content_length, 5U);
    EXPECT_TRUE(p->head.has_body);
    EXPECT_TRUE(p->framing.keep_alive);
}

struct Hostile {
    std::string name;
    std::string text;
    int status;
};

TEST(RequestParse, RefusesHostileHeads) {
    const std::string h = "Host: a\r\n";
    const Hostile cases[] = {
        {"CL and TE", "POST / HTTP/1.1\r\n" + h + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"TE and CL", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
         400},
        {"two different CL", "POST / HTTP/1.1\r\n" + h + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
         400},
        {"two equal CL", "POST / HTTP/1.1\r\n" + h + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
        {"CL list", "POST / HTTP/1.1\r\n" + h + "Content-Length: 5, 5\r\n\r\n", 400},
        {"CL plus sign", "POST / HTTP/1.1\r\n" + h + "Content-Length: +5\r\n\r\n", 400},
        {"CL negative", "POST / HTTP/1.1\r\n" + h + "Content-Length: -1\r\n\r\n", 400},
        {"CL hex", "POST / HTTP/1.1\r\n" + h + "Content-Length: 0x5\r\n\r\n", 400},
        {"CL empty", "POST / HTTP/1.1\r\n" + h + "Content-Length: \r\n\r\n", 400},
        {"CL overflow", "POST / HTTP/1.1\r\n" + h + "Content-Length: 18446744073709551617\r\n\r\n", 400},
        {"CL underscore", "POST / HTTP/1.1\r\n" + h + "Content_Length: 5\r\n\r\n", 400},
        {"TE identity", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: identity\r\n\r\n", 400},
        {"TE gzip, chunked", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: gzip, chunked\r\n\r\n", 400},
        {"TE chunked twice", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
        {"TE twice", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
         400},
        {"TE xchunked", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: xchunked\r\n\r\n", 400},
        {"TE quoted", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: \"chunked\"\r\n\r\n", 400},
        {"TE with vertical tab", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: \vchunked\r\n\r\n", 400},
        {"TE in 1.0", "POST / HTTP/1.0\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n", 400},
        {"TE blank before colon", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding : chunked\r\n\r\n", 400},
        {"TE underscore", "POST / HTTP/1.1\r\n" + h + "Transfer_Encoding: chunked\r\n\r\n", 400},
        {"folded", "GET / HTTP/1.1\r\n" + h + "X: a\r\n b\r\n\r\n", 400},
        {"folded with tab", "GET / HTTP/1.1\r\n" + h + "X: a\r\n\tb\r\n\r\n", 400},
        {"folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
        {"bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400},
        {"bare LF in fields", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
        {"bare CR", "GET / HTTP/1.1\r\n" + h + "X: a\rb\r\n\r\n", 400},
        {"CR CR LF", "GET / HTTP/1.1\r\n" + h + "X: a\r\r\n\r\n", 400},
        {"NUL in value", "GET / HTTP/1.1\r\n" + h + "X: a\0b\r\n\r\n"s, 400},
        {"NUL in name", "GET / HTTP/1.1\r\n" + h + "X\0: a\r\n\r\n"s, 400},
        {"blank in name", "GET / HTTP/1.1\r\n" + h + "X Y: a\r\n\r\n", 400},
        {"no colon", "GET / HTTP/1.1\r\n" + h + "X\r\n\r\n", 400},
        {"empty name", "GET / HTTP/1.1\r\n" + h + ": a\r\n\r\n", 400},
        {"parenthesis in name", "GET / HTTP/1.1\r\n" + h + "X(: a\r\n\r\n", 400},
        {"obs-text in name", "GET / HTTP/1.1\r\n" + h + "X\xe9: a\r\n\r\n", 400},
        {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
        {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        {"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
        {"Host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
        {"Host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
        {"Host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
        {"leading empty line", "\r\nGET / HTTP/1.1\r\n" + h + "\r\n", 400},
        {"leading blank", " GET / HTTP/1.1\r\n" + h + "\r\n", 400},
        {"two blanks", "GET  / HTTP/1.1\r\n" + h + "\r\n", 400},
        {"blank in target", "GET /a b HTTP/1.1\r\n" + h + "\r\n", 400},
        {"tab", "GET\t/ HTTP/1.1\r\n" + h + "\r\n", 400},
        {"HTTP/0.9", "GET /\r\n\r\n", 400},
        {"no version", "GET / \r\n" + h + "\r\n", 400},
        {"trailing blank", "GET / HTTP/1.1 \r\n" + h + "\r\n", 400},
        {"lower-case version", "GET / http/1.1\r\n" + h + "\r\n", 400},
        {"version 1.10", "GET / HTTP/1.10\r\n" + h + "\r\n", 400},
        {"version 1.", "GET / HTTP/1.\r\n" + h + "\r\n", 400},
        {"version 1.2", "GET / HTTP/1.2\r\n" + h + "\r\n", 505},
        {"version 2.0", "PRI * HTTP/2.0\r\n\r\n", 505},
        {"version 3.1", "GET / HTTP/3.1\r\n" + h + "\r\n", 505},
        {"method with brackets", "GE[T / HTTP/1.1\r\n" + h + "\r\n", 400},
        {"long method", std::string(33, 'A') + " / HTTP/1.1\r\n" + h + "\r\n", 400},
        {"CONNECT", "CONNECT a:443 HTTP/1.1\r\n" + h + "\r\n", 405},
        {"TRACE", "TRACE / HTTP/1.1\r\n" + h + "\r\n", 405},
        {"Connection names Host", "GET / HTTP/1.1\r\n" + h + "Connection: host\r\n\r\n", 400},
        {"Connection names CL", "GET / HTTP/1.1\r\n" + h + "Connection: content-length\r\n\r\n", 400},
        {"Connection names TE", "GET / HTTP/1.1\r\n" + h + "Connection: close, Transfer-Encoding\r\n\r\n",
         400},
        {"Connection no token", "GET / HTTP/1.1\r\n" + h + "Connection: a b\r\n\r\n", 400},
        {"X_Forwarded_For", "GET / HTTP/1.1\r\n" + h + "X_Forwarded_For: 1.2.3.4\r\n\r\n", 400},
        {"Expect", "POST / HTTP/1.1\r\n" + h + "Expect: something\r\n\r\n", 417},
        {"two Expect", "POST / HTTP/1.1\r\n" + h + "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
         417},
        {"PROXY from a stranger", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n" + h + "\r\n", 400},
    };
    for (const auto& c : cases) EXPECT_EQ(parse(c.text)->refusal.status, c.status) << c.name;
}

TEST(RequestParse, CountsFields) {
    std::string fields;
    for (int i = 0; i < 99; ++i) fields += "X: y\r\n";
    EXPECT_FALSE(parse_get(fields)->refusal);
    EXPECT_EQ(parse_get(fields + "X: y\r\n")->refusal.status, 431);
}

TEST(RequestParse, KeepAlive) {
    EXPECT_TRUE(parse_get("")->framing.keep_alive);
    EXPECT_FALSE(parse_get("Connection: Close\r\n")->framing.keep_alive);
    EXPECT_FALSE(parse_get("Connection: x, close\r\n")->framing.keep_alive);
    EXPECT_FALSE(parse("GET / HTTP/1.0\r\nHost: a\r\n\r\n")->framing.keep_alive);
    EXPECT_EQ(parse("GET / HTTP/1.0\r\n\r\n")->head.host, "");  // RFC 9112 §3.2 demands one of HTTP/1.1 only
    EXPECT_TRUE(parse("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n")->framing.keep_alive);
}

TEST(RequestParse, MarksHopByHopFields) {
    const auto p = parse_get(
        "Connection: X-Private, keep-alive\r\nx-private: 1\r\nX-Public: 2\r\nTE: trailers\r\nUpgrade: "
        "h2c\r\n");
    ASSERT_FALSE(p->refusal);
    for (const auto& field : p->head.fields) {
        EXPECT_EQ(field.hop, field.name != "Host" && field.name != "X-Public") << field.name;
    }
}

TEST(RequestParse, OnlyWebSocketIsAnUpgrade) {
    EXPECT_TRUE(parse_get("Connection: Upgrade\r\nUpgrade: WebSocket\r\n")->head.upgrade);
    EXPECT_TRUE(parse_get("Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n")->head.upgrade);
    EXPECT_FALSE(parse_get("Connection: Upgrade\r\nUpgrade: h2c\r\n")->head.upgrade);
    EXPECT_FALSE(parse_get("Upgrade: websocket\r\n")->head.upgrade);
    EXPECT_FALSE(
        parse_get("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n")->head.upgrade);
    EXPECT_FALSE(parse("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                     ->head.upgrade);
}

TEST(HeadScanner, FindsTheEndAtEveryCut) {
    const std::string text = "GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    for (std::size_t cut = 0; cut < text.size(); ++cut) {
        HeadScanner scanner;
        const bool whole = cut >= text.size() - 4;
        const auto first = scanner.scan(std::string_view{text}.substr(0, cut));
        ASSERT_EQ(first, whole ? HeadScanner::State::kComplete : HeadScanner::State::kIncomplete) << cut;
        if (!whole) {
            EXPECT_EQ(scanner.scan(text), HeadScanner::State::kComplete) << cut;
        }
        EXPECT_EQ(scanner.length(), text.size() - 4) << cut;
    }
}

struct Answer {
    Refusal refusal;
    ResponseHead head;
    ResponseFraming framing;
    std::string text;
};

std::unique_ptr<Answer> answer(std::string text, std::string_view method = "GET") {
    auto parsed = std::make_unique<Answer>();
    parsed->text = std::move(text);
    parsed->refusal = parse_response_head(parsed->text, 100, method, parsed->head, parsed->framing);
    return parsed;
}

TEST(ResponseParse, Delimiting) {
    using Body = ResponseFraming::Body;
    EXPECT_EQ(answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")->framing.body, Body::kLength);
    EXPECT_EQ(answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")->framing.body, Body::kNone);
    EXPECT_EQ(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")->framing.body, Body::kChunked);
    EXPECT_EQ(answer("HTTP/1.1 200 OK\r\n\r\n")->framing.body, Body::kUntilClose);
    EXPECT_FALSE(answer("HTTP/1.1 200 OK\r\n\r\n")->framing.keep_alive);
    EXPECT_EQ(answer("HTTP/1.1 200\r\nContent-Length: 3\r\n\r\n", "HEAD")->framing.body, Body::kNone);
    EXPECT_EQ(answer("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n")->framing.body, Body::kNone);
    EXPECT_EQ(answer("HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n")->framing.body, Body::kNone);
    EXPECT_FALSE(answer("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n")->framing.keep_alive);
    EXPECT_TRUE(
        answer("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")->framing.upgrade);
}

TEST(ResponseParse, RefusesBadOnes) {
    for (const std::string text :
         {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n",
          "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n",
          "HTTP/1.1 600 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "ICY 200 OK\r\n\r\n", "HTTP/1.1\r\n\r\n",
          "HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
          "HTTP/1.1 200 O\x01K\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
        EXPECT_EQ(answer(text)->refusal.status, 502) << text;
    }
}

}  // namespace
}  // namespace sluice::http
