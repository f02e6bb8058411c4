// The program as a whole against a fake daemon on a Unix socket: what it prints, what it exits with.
#include "cli/sluicectl.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "fake_daemon.hpp"

namespace sluice {
namespace {

namespace http = boost::beast::http;
using testing::TempDir;

constexpr const char* kStatus =
    R"({"version":"0.1.0","state":"serving","uptime_s":173,"policy":{"name":"starguide","hash":"0123456789abcdef",
    "generation":4,"applied_at":"2026-01-31T00:00:00Z"},"interfaces":[{"name":"eth0","mode":"native",
    "packets":{"passed":PASSED,"denied":0,"banned":7},"bytes":{"passed":6400,"banned":420}}],"bans":3,
    "ledger":{"kind":"embedded","up":true}})";

std::string status_with(const std::string& passed) {
    std::string text = kStatus;
    text.replace(text.find("PASSED"), 6, passed);
    return text;
}

TEST(Sluicectl, StatusIsATable) {
    const Outcome outcome = ask(answer(200, status_with("100")), {"status"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.err, "");
    EXPECT_EQ(outcome.out,
              "sluiced   0.1.0, serving, up 2m53s\n"
              "policy    starguide 0123456789ab, generation 4, applied 2026-01-31T00:00:00Z\n"
              "ledger    embedded, up\n"
              "bans      3\n"
              "\n"
              "INTERFACE  MODE    REASON  PACKETS  BYTES\n"
              "eth0       native  banned        7    420\n"
              "eth0       native  passed      100   6400\n");
}

TEST(Sluicectl, JsonIsTheDaemonsOwnBytes) {
    const std::string body = "{ \"version\" : \"0.1.0\",\"new_field\":[1,2] }";
    const Outcome outcome = ask(answer(200, body), {"status", "-o", "json"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, body + "\n");
}

TEST(Sluicectl, WatchShowsRatesFromTheSecondLookOn) {
    FakeDaemon daemon{{answer(200, status_with("100")), answer(200, status_with("100"))}};
    const Outcome outcome = sluicectl(daemon.path(), {"status", "--watch=0.1"}, true, 2);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_NE(outcome.out.find("PACKETS/S"), std::string::npos);
    EXPECT_NE(outcome.out.find("\x1b[H\x1b[2J"), std::string::npos);
}

TEST(Sluicectl, NoColourWithoutATerminalOrWhenTold) {
    const std::string body = R"({"status":"up","timestamp":"t","services":{"redis":"down"}})";
    EXPECT_EQ(ask(answer(200, body), {"health"}).out.find('\x1b'), std::string::npos);
    {
        FakeDaemon daemon{{answer(200, body)}};
        EXPECT_NE(sluicectl(daemon.path(), {"health"}, true).out.find('\x1b'), std::string::npos);
    }
    FakeDaemon daemon{{answer(200, body)}};
    EXPECT_EQ(sluicectl(daemon.path(), {"health", "--no-color"}, true).out.find('\x1b'), std::string::npos);
}

TEST(Sluicectl, HealthOfASickHostIsShownAndFails) {
    const Outcome outcome =
        ask(answer(503, R"({"status":"down","services":{"database":{"status":"down","reason":"refused"}}})"),
            {"health"});
    EXPECT_EQ(outcome.code, 1);
    EXPECT_NE(outcome.out.find("refused"), std::string::npos);
    EXPECT_EQ(outcome.err, "");
}

TEST(Sluicectl, NothingFromTheDaemonReachesTheTerminalAsACommand) {
    const Outcome outcome = ask(
        answer(200,
               R"({"bans":[{"source":"192.0.2.1","reason":"\u001b]0;owned\u0007\u202e","origin":"operator",
                       "expires_in_s":60,"packets":1}]})"),
        {"ban", "list"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_NE(outcome.out.find("\\x1b]0;owned\\x07\\u{202e}"), std::string::npos) << outcome.out;
    EXPECT_EQ(outcome.out.find('\x1b'), std::string::npos);
}

TEST(Sluicectl, AnswersMapToExitCodes) {
    for (const auto& [status, code] : {std::pair{400, 7},
                                       {401, 4},
                                       {403, 4},
                                       {404, 3},
                                       {409, 6},
                                       {412, 6},
                                       {422, 7},
                                       {429, 1},
                                       {500, 1},
                                       {503, 1}}) {
        const Outcome outcome =
            ask(answer(status, R"({"title":"No","detail":"because"})"), {"quota", "show", "jane"});
        EXPECT_EQ(outcome.code, code) << status;
        EXPECT_EQ(outcome.err, "sluicectl: No: because\n");
        EXPECT_EQ(outcome.out, "");
    }
}

TEST(Sluicectl, AnAnswerThatIsNoProblemDocumentIsStillAnError) {
    const Outcome outcome = ask(answer(500, "<html>"), {"status", "-o", "json"});
    EXPECT_EQ(outcome.code, 1);
    EXPECT_EQ(outcome.err, "sluicectl: the daemon answered 500\n");
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(ask(answer(200, "surprise"), {"status"}).code, 1);
}

TEST(Sluicectl, ExplainShowsRequestAndPacketLimits) {
    const Outcome outcome =
        ask(answer(200, R"({"verdict":"dropped","reason":"banned","route":"ai","class":"ai",
        "retry_after_s":75,"charges":[{"limit":"ai","key":"jane","rate":"100/h","used":100,"remaining":0,"mode":"enforce"}],
        "kernel":{"verdict":"drop","reason":"banned","limits":[{"limit":"syn","key":"192.0.2.1","burst":200,
        "available":199,"mode":"enforce"}],"ban":{"reason":"scraping","origin":"operator","expires_in_s":59.5}}})"),
            {"explain", "--ip", "192.0.2.1"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out,
              "verdict   dropped\n"
              "reason    banned\n"
              "route     ai\n"
              "class     ai\n"
              "retry in  1m15s\n"
              "\n"
              "LIMIT  KEY   RATE   USED  REMAINING  MODE\n"
              "ai     jane  100/h   100          0  enforce\n"
              "\n"
              "packets   drop: banned\n"
              "ban       scraping, by operator, expires in 59s\n"
              "\n"
              "PACKET LIMIT  KEY        BURST  AVAILABLE  MODE\n"
              "syn           192.0.2.1    200        199  enforce\n");
}

TEST(Sluicectl, TroublesAreShown) {
    const std::string body = R"({"status":"degraded","troubles":["ledger: disk full"],"services":{}})";
    for (const auto* verb : {"status", "health"}) {
        const Outcome outcome = ask(answer(200, body), {verb});
        EXPECT_EQ(outcome.code, 0) << verb << ": a degraded host still serves";
        EXPECT_NE(outcome.out.find("trouble   ledger: disk full\n"), std::string::npos) << outcome.out;
    }
}

TEST(Sluicectl, MissingFieldsShowAsDashes) {
    const Outcome outcome = ask(answer(200, R"({"interfaces":[{}],"policy":null})"), {"status"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_NE(outcome.out.find("policy    - -, generation -"), std::string::npos) << outcome.out;
    for (const auto* verb : {"top", "explain"}) EXPECT_EQ(ask(answer(200, "7"), {verb}).code, 0) << verb;
}

TEST(Sluicectl, NoDaemonIsUnreachableWithAHint) {
    const Outcome outcome = sluicectl("/nonexistent/admin.sock", {"status"});
    EXPECT_EQ(outcome.code, 5);
    EXPECT_NE(outcome.err.find("/nonexistent/admin.sock"), std::string::npos);
    EXPECT_NE(outcome.err.find("--socket"), std::string::npos);
    EXPECT_EQ(outcome.out, "");
}

TEST(Sluicectl, ADaemonThatHangsUpIsUnreachable) {
    const Outcome outcome = ask("", {"status"});
    EXPECT_EQ(outcome.code, 5);
    EXPECT_NE(outcome.err.find("closed the connection"), std::string::npos) << outcome.err;
    EXPECT_EQ(ask("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", {"status"}).code, 5) << "cut off";
}

TEST(Sluicectl, UsageErrorsGoToStandardError) {
    const Outcome outcome = sluicectl("", {"ban", "frobnicate"});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(outcome.err.starts_with("sluicectl: ")) << outcome.err;
}

// --- policy
// ---------------------------------------------------------------------------------------------------------

class PolicyVerbs : public testing::Test {
  protected:
    PolicyVerbs() { std::ofstream{file_} << "name: x\n"; }
    const std::string file_ = TempDir() + "/verbs-policy.yaml";
    const std::string problems_ =
        R"({"title":"The policy is invalid","status":422,"detail":"1 mistake","problems":[{"severity":"error",
        "file":"p.yaml","line":3,"column":7,"path":"limits[0].rate","message":"\"x\" is no rate",
        "allowed":"N/s, N/m, N/h, N/d"}]})";
};

TEST_F(PolicyVerbs, EachMistakeIsOneLine) {
    const Outcome outcome = ask(answer(422, problems_), {"policy", "check", file_});
    EXPECT_EQ(outcome.code, 7);
    EXPECT_EQ(outcome.err,
              "sluicectl: The policy is invalid: 1 mistake\n"
              "p.yaml:3:7: error: limits[0].rate: \"x\" is no rate; allowed: N/s, N/m, N/h, N/d\n");
}

TEST_F(PolicyVerbs, WithJsonTheProblemIsTheDocument) {
    const Outcome outcome = ask(answer(422, problems_), {"policy", "check", file_, "-o", "json"});
    EXPECT_EQ(outcome.code, 7);
    EXPECT_EQ(outcome.out, problems_ + "\n");
}

TEST_F(PolicyVerbs, WarningsDoNotMakeItInvalid) {
    const Outcome outcome = ask(answer(200, R"({"valid":true,"hash":"abc","warnings":[{"severity":"warning",
        "file":"p.yaml","line":1,"column":1,"path":"routes","message":"never matched"}]})"),
                                {"policy", "check", file_});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, "valid, hash abc\n");
    EXPECT_EQ(outcome.err, "p.yaml:1:1: warning: routes: never matched\n");
}

TEST_F(PolicyVerbs, DiffExitsOneOnlyForADifference) {
    EXPECT_EQ(ask(answer(200, R"({"changes":[]})"), {"policy", "diff", file_}).code, 0);
    const Outcome differs =
        ask(answer(200,
                   R"({"changes":[{"path":"limits.ai.rate","kind":"changed","before":"100/h","after":"200/h"},
        {"path":"limits.new","kind":"added","before":null,"after":"5/s"},
        {"path":"limits.old","kind":"removed","before":"1/s","after":null}]})"),
            {"policy", "diff", file_});
    EXPECT_EQ(differs.code, 1);
    EXPECT_EQ(differs.out, "~ limits.ai.rate: 100/h -> 200/h\n+ limits.new: 5/s\n- limits.old: 1/s\n");
    EXPECT_EQ(ask(answer(422, problems_), {"policy", "diff", file_}).code, 7);
    EXPECT_EQ(ask(answer(500, "{}"), {"policy", "diff", file_}).code, 2) << "1 would say: they differ";
    EXPECT_EQ(sluicectl("/nonexistent/s", {"policy", "diff", file_}).code, 5);
}

TEST_F(PolicyVerbs, ApplySendsTheTextAndSaysWhatIsInForce) {
    FakeDaemon daemon{{answer(200, R"({"name":"x","hash":"0123456789abcdef","generation":5,
        "confirm_deadline":"2026-01-31T00:01:00Z","warnings":[]})")}};
    const Outcome outcome = sluicectl(daemon.path(), {"policy", "apply", file_, "--confirm-within", "60s"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, "in force: x 0123456789ab, generation 5\n");
    EXPECT_NE(outcome.err.find("sluicectl policy confirm"), std::string::npos);
    const auto& request = daemon.requests().at(0);
    EXPECT_EQ(request.method_string(), "POST");
    EXPECT_EQ(request[http::field::content_type], "application/json");
    EXPECT_NE(request.body().find(R"("text":"name: x\n")"), std::string::npos) << request.body();
}

TEST_F(PolicyVerbs, ShowPrintsAPolicyStill) {
    const Outcome outcome =
        ask(answer(200, R"({"name":"x","hash":"abc","generation":1,"applied_at":"t","origin":"file",
        "text":"name: x\n# ü\n"})"),
            {"policy", "show"});
    EXPECT_EQ(outcome.out, "# x abc, generation 1, applied t from file\nname: x\n# ü\n");
}

// --- changes
// --------------------------------------------------------------------------------------------------------

TEST(Sluicectl, ALiftThatWasNotVerifiedFails) {
    const Outcome good =
        ask(answer(200, R"({"source":"192.0.2.1","lifted":true,"verified":true,"took_ms":1.5})"),
            {"ban", "lift", "192.0.2.1"});
    EXPECT_EQ(good.code, 0);
    EXPECT_EQ(good.out, "lifted 192.0.2.1; the kernel map was read back and no longer holds it (1.5 ms)\n");
    EXPECT_EQ(ask(answer(200, R"({"source":"192.0.2.1","lifted":true,"verified":false})"),
                  {"ban", "lift", "192.0.2.1"})
                  .code,
              1);
}

TEST(Sluicectl, BanAddSaysForHowLong) {
    const Outcome outcome = ask(
        answer(201,
               R"({"source":"192.0.2.1","reason":"r","origin":"operator","expires_in_s":600,"packets":0})"),
        {"ban", "add", "192.0.2.1", "--for", "10m", "--reason", "r"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, "banned 192.0.2.1 for 10m\n");
}

TEST(Sluicectl, QuotaShowsOverrides) {
    const Outcome outcome = ask(answer(200, R"({"user":"jane","limits":[
        {"name":"ai","rate":"200/h","used":200,"remaining":0,"reset_s":412,"override":{"rate":"200/h","expires_in_s":3600}},
        {"name":"user","rate":"5000/h","used":1,"remaining":4999,"reset_s":0,"override":null}]})"),
                                {"quota", "show", "jane"});
    EXPECT_EQ(outcome.out,
              "user jane\n\n"
              "LIMIT  RATE    USED  REMAINING  RESETS IN  OVERRIDE\n"
              "ai     200/h    200          0      6m52s  200/h for 1h\n"
              "user   5000/h     1       4999         0s  -\n");
}

TEST(Sluicectl, QuotaSaysOverWhomItCountsWhenHostsShareALimit) {
    const Outcome outcome = ask(answer(200, R"({"user":"jane","limits":[
        {"name":"ai","rate":"200/h","used":150,"remaining":50,"reset_s":412,"override":null,"counted":"fleet","leased":12},
        {"name":"user","rate":"5000/h","used":1,"remaining":4999,"reset_s":0,"override":null,"counted":"host_ledger_away","leased":0},
        {"name":"streams","rate":"2","used":1,"remaining":1,"reset_s":0,"override":null,"counted":"host","leased":0}]})"),
                                {"quota", "show", "jane"});
    EXPECT_EQ(outcome.out,
              "user jane\n\n"
              "LIMIT    RATE    USED  REMAINING  RESETS IN  OVERRIDE  COUNTED\n"
              "ai       200/h    150         50      6m52s  -         all hosts, 12 on lease\n"
              "user     5000/h     1       4999         0s  -         this host, as Redis is away\n"
              "streams  2          1          1         0s  -         \n");
}

// --- events
// ---------------------------------------------------------------------------------------------------------

const std::string kEvents =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST(Sluicectl, EventsAreFollowedFilteredAndCounted) {
    const std::string ban =
        R"({"@timestamp":"t1","event":{"dataset":"sluice.ban","action":"ban-created"},"client":{"ip":"192.0.2.1"},"message":"hi"})";
    const std::string auth = R"({"@timestamp":"t2","event":{"dataset":"sluice.auth","action":"login"}})";
    const std::string stream = kEvents + chunk("data: " + auth + "\n\nda") + chunk("ta: " + ban + "\n\n") +
                               chunk("data: " + ban + "\n\n");
    const Outcome table = ask(stream, {"events", "--category", "ban", "-n", "1"});
    EXPECT_EQ(table.code, 0) << table.err;
    EXPECT_EQ(table.out, "t1 sluice.ban ban-created ip=192.0.2.1 hi\n");
    const Outcome json = ask(stream, {"events", "-n", "2", "-o", "json"});
    EXPECT_EQ(json.code, 0);
    EXPECT_EQ(json.out, auth + "\n" + ban + "\n");
}

TEST(Sluicectl, EventsEndWithTheDaemon) {
    const Outcome outcome = ask(kEvents + chunk("data: {}\n\n") + "0\r\n\r\n", {"events"});
    EXPECT_EQ(outcome.code, 5);
    EXPECT_NE(outcome.err.find("closed the connection"), std::string::npos) << outcome.err;
    EXPECT_EQ(ask(answer(403, R"({"title":"Not permitted"})"), {"events"}).code, 4);
}

// --- over TCP
// -------------------------------------------------------------------------------------------------------

TEST(Sluicectl, AUrlThatIsNoneIsInvalid) {
    for (const auto* url :
         {"localhost:9900", "ftp://x", "http://", "http://a/b", "http://[::1", "http://a:b", "https://u@h"})
        EXPECT_EQ(sluicectl("", {"--url", url, "status"}).code, 7) << url;
}

TEST(Sluicectl, ATokenComesFromAFileOnly) {
    const std::string file = TempDir() + "/token";
    std::ofstream{file} << "\n";
    EXPECT_EQ(sluicectl("", {"status", "--token-file", file}).code, 7);
    EXPECT_EQ(sluicectl("", {"status", "--token-file", "/nonexistent/t"}).code, 3);
    std::ofstream{file} << "se\ncret";
    EXPECT_EQ(sluicectl("", {"status", "--token-file", file}).code, 7) << "would break out of its header";
    std::ofstream{file} << "secret\n";
    const Outcome in_clear = sluicectl("", {"--url", "http://0.0.0.0:1", "--token-file", file, "status"});
    EXPECT_NE(in_clear.err.find("use https://"), std::string::npos) << in_clear.err;
    FakeDaemon daemon{{answer(200, "{}")}};
    EXPECT_EQ(sluicectl(daemon.path(), {"status", "--token-file", file}).code, 0);
    EXPECT_EQ(daemon.requests().at(0)[http::field::authorization], "Bearer secret");
}

}  // namespace
}  // namespace sluice
