#include "telemetry/event_record.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

namespace sluice {
namespace {

using nlohmann::json;
using Pointer = json::json_pointer;

constexpr Nanos kWall = 1'769'904'000'123 * kMillisecond;  // 2026-02-01T00:00:00.123Z

RequestFacts facts() {
    RequestFacts request;
    request.client = IpAddress::parse("2001:db8::7");
    request.method = "POST";
    request.path = "/api/ai/openai/chat?api_key=abc";
    request.route = "ai_openai";
    request.class_name = "ai";
    request.user = "alice@example.org";
    request.user_agent = "curl/8.0";
    request.request_id = "r-1";
    request.status = 429;
    request.duration = 1'500'000;
    return request;
}

// One of each kind, with every list filled.
std::vector<Event> one_of_each() {
    PerformanceSummary performance;
    performance.dependencies.push_back({"database", true, kMillisecond});
    BanChange ban;
    ban.source = IpPrefix::parse("192.0.2.7").value();
    RefusalSummary summary;
    summary.client = IpAddress::parse("192.0.2.7");
    return {RequestLimited{facts(), "ai", 100, kHour, 30, false},
            RequestFailed{facts(), "upstream_timeout", "no answer in 30 s"},
            Authentication{Authentication::Action::kTokenRejected, facts(), false, "expired"},
            AiInteraction{facts(), "openai", "gpt-4o", 12, 34},
            AssessmentActivity{facts(), "attempt"},
            performance,
            ban,
            Audit{Audit::Action::kPolicyApplied, true, "root", "unix socket, uid 0", "admin", "abc", "test",
                  std::nullopt},
            SystemError{"ledger", "io_error", "write failed"},
            summary,
            LogLoss{LogCategory::kAudit, 3, 10, 12}};
}

json parsed(const Event& event, std::uint64_t sequence = 1) {
    const auto line = render(event, kWall, sequence);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    return json::parse(line);
}

TEST(EventRecord, AllKindsAreCovered) {
    EXPECT_EQ(one_of_each().size(), std::variant_size_v<Event>);
}

TEST(EventRecord, LimitedRequestInEcs) {
    const auto record = parsed(RequestLimited{facts(), "ai", 100, kHour, 30, false}, 42);
    EXPECT_EQ(record["@timestamp"], "2026-02-01T00:00:00.123Z");
    EXPECT_EQ(record["event"]["dataset"], "sluice.decision");
    EXPECT_EQ(record["event"]["action"], "request-limited");
    EXPECT_EQ(record["event"]["category"], (json{"api", "web"}));
    EXPECT_EQ(record["event"]["type"], (json{"access", "denied"}));
    EXPECT_EQ(record["event"]["outcome"], "success");
    EXPECT_EQ(record["event"]["sequence"], 42);
    EXPECT_EQ(record["event"]["duration"], 1'500'000);
    EXPECT_EQ(record["log"]["level"], "warn");
    EXPECT_EQ(record["client"]["ip"], "2001:db8::7");
    EXPECT_EQ(record["user"]["id"], "alice@example.org");
    EXPECT_EQ(record["http"]["request"]["method"], "POST");
    EXPECT_EQ(record["http"]["response"]["status_code"], 429);
    EXPECT_EQ(record["url"]["path"], "/api/ai/openai/chat");
    EXPECT_EQ(record["sluice"]["limit"], (json{{"name", "ai"}, {"count", 100}, {"window_s", 3600}}));
    EXPECT_EQ(record["sluice"]["retry_after_s"], 30);
    EXPECT_TRUE(record["message"].is_string());
}

TEST(EventRecord, EveryKindHasTheFieldsOfTheContract) {
    for (const auto& event : one_of_each()) {
        const auto record = parsed(event);
        for (const auto* name : {"/@timestamp", "/log/level", "/message", "/event/kind", "/event/action",
                                 "/event/dataset", "/event/category", "/event/type", "/event/sequence"})
            EXPECT_TRUE(record.contains(Pointer{name})) << name << " in " << record;
        EXPECT_TRUE(record["event"]["category"].is_array()) << record;
        EXPECT_TRUE(record["event"]["type"].is_array()) << record;
        EXPECT_EQ(record["event"]["dataset"], "sluice." + std::string{to_string(category_of(event))});
    }
}

TEST(EventRecord, WhatIsNotKnownIsLeftOut) {
    const auto record = parsed(RequestFailed{{}, "malformed", ""});
    for (const auto* name :
         {"/client", "/user", "/http", "/url", "/user_agent", "/error/message", "/event/duration"})
        EXPECT_FALSE(record.contains(Pointer{name})) << name;
}

TEST(EventRecord, KindsAreWordedApart) {
    EXPECT_EQ(parsed(Authentication{Authentication::Action::kLogin, facts(), true, ""})["event"]["outcome"],
              "success");
    EXPECT_EQ(parsed(Authentication{Authentication::Action::kApiKeyRejected, facts(), false,
                                    "unknown"})["event"]["action"],
              "api-key-rejected");
    const auto model = parsed(AiInteraction{facts(), "openai", "gpt-4o", 12, std::nullopt});
    EXPECT_EQ(model["gen_ai"], (json{{"provider", {{"name", "openai"}}},
                                     {"response", {{"model", "gpt-4o"}}},
                                     {"usage", {{"input_tokens", 12}}}}));
    BanChange ban{BanChange::Action::kBegan,
                  IpPrefix::parse("2001:db8::/64").value(),
                  "limit_udp",
                  "kernel",
                  "",
                  kMinute,
                  0};
    EXPECT_EQ(parsed(ban)["event"]["kind"], "alert");
    EXPECT_EQ(parsed(ban)["sluice"]["ban"]["source"], "2001:db8::/64");
    EXPECT_FALSE(parsed(ban).contains("client"));
    RefusalSummary summary{LogCategory::kAuth, std::nullopt, "expired", 7, kWall, kWall + kSecond};
    EXPECT_EQ(parsed(summary)["sluice"]["count"], 7);
    EXPECT_EQ(parsed(summary)["event"]["end"], "2026-02-01T00:00:01.123Z");
}

// A hundred secrets of the forms that APIs hand out.
std::vector<std::string> canaries() {
    std::mt19937 random{2026};
    const auto word = [&](std::size_t length, std::string_view alphabet) {
        std::string text;
        while (text.size() < length) text.push_back(alphabet[random() % alphabet.size()]);
        return text;
    };
    constexpr std::string_view kMixed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    constexpr std::string_view kHex = "0123456789abcdef";
    std::vector<std::string> secrets;
    for (int i = 0; i < 10; ++i) {
        secrets.push_back("eyJ" + word(20, kMixed) + '.' + word(40, kMixed) + '.' + word(43, kMixed));
        secrets.push_back("sk-" + word(48, kMixed));
        secrets.push_back("AKIA" + word(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"));
        secrets.push_back("ghp_" + word(36, kMixed));
        secrets.push_back("AIza" + word(35, kMixed));
        secrets.push_back("xoxb-" + word(11, "0123456789") + '-' + word(24, kMixed));
        secrets.push_back("1aZ" + word(40, kMixed));
        secrets.push_back("Bearer " + word(20, kMixed));
        secrets.push_back("password=" + word(10, kMixed));
        secrets.push_back("api_key: \"" + word(12, kHex));
    }
    return secrets;
}

// What of a canary must not appear: what follows the name or the scheme.
std::string core(const std::string& canary) {
    const auto at = canary.find_last_of(" =\"");
    return at == std::string::npos ? canary : canary.substr(at + 1);
}

TEST(EventRecord, NoCanaryComesThroughAnyText) {
    const auto secrets = canaries();
    ASSERT_EQ(secrets.size(), 100U);
    for (const auto& secret : secrets)
        for (const std::string& text :
             {secret, "/a/" + secret + "/b", "x (" + secret + "), y", "é " + secret}) {
            for (auto event : one_of_each()) {
                for_each_text(event, [&](std::string& field) { field = text; });
                bound_texts(event);
                ASSERT_EQ(render(event, kWall, 1).find(core(secret)), std::string::npos) << text;
            }
        }
}

TEST(EventRecord, CardNumbersAndMailAddressesInFreeText) {
    for (const std::string secret :
         {"4111111111111111", "5500-0000-0000-0004", "3400 000000 00009", "bob@example.com"}) {
        RequestFailed event{facts(), "x", "for " + secret + " it failed"};
        event.request.path = "/users/" + secret;
        event.request.user_agent = secret;
        EXPECT_EQ(render(event, kWall, 1).find(secret), std::string::npos) << secret;
    }
}

TEST(EventRecord, HostileTextStaysOneLineOfAscii) {
    std::mt19937 random{1};
    for (int i = 0; i < 300; ++i) {
        for (auto event : one_of_each()) {
            for_each_text(event, [&](std::string& field) {
                field.clear();
                for (auto n = random() % 60; n > 0; --n) field.push_back(static_cast<char>(random()));
            });
            const auto line = render(event, kWall, 1);
            ASSERT_TRUE(std::all_of(line.begin(), line.end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
            ASSERT_TRUE(json::accept(line));
        }
    }
    // Line separator, right-to-left override, escape, invalid UTF-8.
    const auto line = render(SystemError{"a", "b", "\u2028\u202e\x1b[31m\xff\n{\"x\":1}"}, kWall, 1);
    EXPECT_NE(line.find(R"(\u2028\u202e\u001b[31m\ufffd\n{\"x\":1})"), std::string::npos) << line;
}

TEST(EventRecord, TextsAreBounded) {
    for (auto event : one_of_each()) {
        for_each_text(event, [](std::string& field) { field.assign(100'000, 'a'); });
        bound_texts(event);
        for_each_text(event, [](std::string& field) {
            EXPECT_EQ(field.size(), 1024U);
            EXPECT_TRUE(field.ends_with("…"));
        });
        EXPECT_LT(render(event, kWall, 1).size(), 16'384U);
    }
}

}  // namespace
}  // namespace sluice
