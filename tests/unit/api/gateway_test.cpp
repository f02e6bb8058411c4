#include "api/gateway.hpp"

#include <nlohmann/json.hpp>

#include "plane_fixture.hpp"
#include "telemetry/metrics.hpp"

namespace sluice {
namespace {

// M1 to M5 in small: the same shape, limits that a test reaches quickly.
constexpr std::string_view kPolicy = R"(
name: test
trusted_proxies: [10.0.0.0/8]
kernel: {mode: enforce, allow: [192.0.2.200], limits: [{name: packets, count: packets, rate: 1000/s, burst: 1000}]}
identity:
  api_keys: {header: X-API-Key, file: keys.yaml}
routes:
  - {name: login, path: /api/login, methods: [POST], class: login}
  - {name: ai_openai, path: "/api/ai/openai/**", class: ai, provider: openai}
  - {name: voice, path: "/api/voice/**", class: voice}
limits:
  - {name: ip, per: ip, when: anonymous, rate: 10/h}
  - {name: user, per: user, when: authenticated, rate: 20/h}
  - {name: ai, per: user, class: ai, rate: 5/h}
  - {name: voice, per: user, class: voice, rate: 3/h}
  - {name: trial, per: ip, rate: 2/h, mode: shadow}
escalation: {after: 4, within: 60s, for: 600s}
)";

class GatewayTest : public PlaneTest {
  protected:
    void SetUp() override {
        write_api_keys({"anna", "ben"});
        use_policy(std::string{kPolicy});
        application_ = std::make_unique<GatewayApplication>(*plane_, metrics_.add_worker(), top_);
        state_ = application_->make_state();
    }

    // One request from head to end: answered by the upstream with `upstream_status`, or by us.
    struct Reply {
        int status;
        std::string fields;
        std::string body;
    };
    Reply send(std::string_view user, std::string_view path, int upstream_status = 200,
               std::string_view client = "192.0.2.1", std::string_view method = "GET") {
        http::RequestHead request;
        request.method = method;
        request.path = path;
        request.client = request.peer = IpAddress::parse(client).value();
        const std::string key = "key-of-" + std::string{user};
        if (!user.empty()) request.fields.add("x-api-key", key);
        for (const auto& [name, value] : extra_fields_) request.fields.add(name, value);

        http::Decision decision;
        application_->decide(request, *state_, decision);
        http::Outcome outcome = outcome_;
        const bool replied = decision.kind == http::Decision::Kind::kReply;
        outcome.status = replied ? decision.status : upstream_status;
        outcome.by = replied ? http::AnsweredBy::kApplication : http::AnsweredBy::kUpstream;
        application_->finished(request, *state_, outcome);
        return {outcome.status, std::string{decision.response_fields.lines()}, decision.body};
    }

    double metric(const std::string& series) {
        const std::string text = metrics_.scrape();
        const std::size_t at = text.find(series + " ");
        return at == std::string::npos ? 0 : std::stod(text.substr(at + series.size()));
    }

    Metrics metrics_;
    TopRequests top_;
    std::vector<std::pair<std::string_view, std::string_view>> extra_fields_;
    http::Outcome outcome_;
    std::unique_ptr<GatewayApplication> application_;
    std::unique_ptr<http::ExchangeState> state_;
};

TEST_F(GatewayTest, AnonymousRequestsAreCountedAgainstTheirAddressToTheExactRequest) {
    for (int i = 0; i < 10; ++i) EXPECT_EQ(send("", "/").status, 200) << i;
    const Reply refused = send("", "/");
    EXPECT_EQ(refused.status, 429);
    EXPECT_EQ(send("", "/", 200, "192.0.2.2").status, 200) << "another address";
    EXPECT_EQ(send("anna", "/").status, 200) << "a user is counted against the user's own limit";
    EXPECT_EQ(metric(R"(sluice_decisions_total{limit="ip",verdict="refused"})"), 1);
    EXPECT_EQ(metric(R"(sluice_decisions_total{limit="ip",verdict="admitted"})"), 11);
    EXPECT_EQ(metric(R"(api_requests_total{method="GET",endpoint="other",status="429"})"), 1);
}

TEST_F(GatewayTest, ARefusalSaysWhatAndUntilWhen) {
    for (int i = 0; i < 10; ++i) send("", "/");
    const Reply refused = send("", "/");
    EXPECT_NE(refused.fields.find("Retry-After: 3600\r\n"), std::string::npos) << refused.fields;
    EXPECT_NE(refused.fields.find("RateLimit-Policy: \"ip\";q=10;w=3600\r\n"), std::string::npos)
        << refused.fields;
    EXPECT_NE(refused.fields.find("RateLimit: \"ip\";r=0;t=3600\r\n"), std::string::npos) << refused.fields;
    EXPECT_NE(refused.fields.find("Content-Type: application/problem+json\r\n"), std::string::npos);
    const auto problem = nlohmann::json::parse(refused.body);
    EXPECT_EQ(problem.at("violated-policies"), nlohmann::json::array({"ip"}));
    EXPECT_EQ(problem.at("status"), 429);
}

// A limit above 256 is kept in slots, which round up: a client must not be told to wait longer than the window.
TEST_F(GatewayTest, AnAdmittedResponseNeverTellsMoreThanTheWindow) {
    use_policy("name: slots\nlimits: [{name: ip, per: ip, rate: 500/2s}]\n");
    for (int i = 0; i < 500; ++i) {
        const Reply reply = send("", "/");
        ASSERT_EQ(reply.status, 200) << i;
        const std::size_t at = reply.fields.find(";t=");
        ASSERT_NE(at, std::string::npos);
        ASSERT_LE(std::stoi(reply.fields.substr(at + 3)), 2) << reply.fields;
    }
}

TEST_F(GatewayTest, AnAdmittedResponseTellsTheLimitsChargedButNotShadowOnes) {
    const Reply reply = send("anna", "/api/ai/openai/chat");
    EXPECT_NE(reply.fields.find(R"(RateLimit-Policy: "user";q=20;w=3600, "ai";q=5;w=3600)"),
              std::string::npos)
        << reply.fields;
    EXPECT_NE(reply.fields.find(R"("user";r=19;t=)"), std::string::npos) << reply.fields;
    EXPECT_NE(reply.fields.find(R"("ai";r=4;t=)"), std::string::npos);
    EXPECT_EQ(reply.fields.find("trial"), std::string::npos);
}

TEST_F(GatewayTest, ARefusedRequestConsumesNothing) {
    for (int i = 0; i < 5; ++i) EXPECT_EQ(send("anna", "/api/ai/openai/chat").status, 200);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(send("anna", "/api/ai/openai/chat").status, 429);
    for (int i = 0; i < 15; ++i) EXPECT_EQ(send("anna", "/").status, 200) << i;
    EXPECT_EQ(send("anna", "/").status, 429) << "20 of the user's limit are spent, not 23";
}

TEST_F(GatewayTest, ABadCredentialIsAnonymousAndOneEvent) {
    for (int i = 0; i < 10; ++i) EXPECT_EQ(send("mallory-" + std::to_string(i), "/").status, 200);
    EXPECT_EQ(send("mallory-x", "/").status, 429) << "no key of its own for each forged credential";
    const std::string log = log_text("auth");
    EXPECT_EQ(std::ranges::count(log, '\n'), 1) << log;
    EXPECT_NE(log.find("unknown_api_key"), std::string::npos) << log;
    EXPECT_EQ(log.find("key-of-mallory"), std::string::npos) << "the credential itself is never logged";
}

TEST_F(GatewayTest, ARepeatedCredentialIsRefused) {
    extra_fields_ = {{"X-API-Key", "key-of-ben"}};
    EXPECT_EQ(send("anna", "/").status, 400);
    EXPECT_NE(log_text("error").find("repeated_credentials"), std::string::npos);
}

TEST_F(GatewayTest, ShadowLimitsCountButNeverRefuse) {
    for (int i = 0; i < 6; ++i) EXPECT_EQ(send("anna", "/").status, 200);
    EXPECT_EQ(metric(R"(sluice_decisions_total{limit="trial",verdict="shadow"})"), 4);
    EXPECT_NE(log_text("decision").find("request-limited-shadow"), std::string::npos);
}

TEST_F(GatewayTest, ABannedSourceIsRefusedUnlessThePolicyAllowsIt) {
    const Nanos until = ledger_now() + 90 * kSecond;
    plane_->bans.publish(std::make_shared<const BanSet>(
        std::vector<PlacedBan>{{IpPrefix::parse("192.0.2.1").value(), "operator", "abuse", until},
                               {IpPrefix::parse("192.0.2.200").value(), "operator", "abuse", until}}));
    const Reply refused = send("anna", "/");
    EXPECT_EQ(refused.status, 429);
    EXPECT_NE(refused.fields.find("Retry-After: 90\r\n"), std::string::npos) << refused.fields;
    EXPECT_EQ(send("anna", "/", 200, "192.0.2.200").status, 200);
    EXPECT_EQ(send("anna", "/", 200, "192.0.2.2").status, 200);
    EXPECT_EQ(metric(R"(sluice_decisions_total{limit="user",verdict="refused"})"), 0);
}

TEST_F(GatewayTest, WhoKeepsGoingIsEscalatedOnce) {
    for (int i = 0; i < 10; ++i) send("", "/");
    for (int i = 0; i < 3; ++i) send("", "/");
    EXPECT_TRUE(escalations_.empty());
    for (int i = 0; i < 5; ++i) send("", "/");
    ASSERT_EQ(escalations_.size(), 1U);
    EXPECT_EQ(escalations_[0].kind, Escalation::Kind::kBan);
    EXPECT_EQ(escalations_[0].source.to_string(), "192.0.2.1");
    EXPECT_EQ(escalations_[0].duration, 600 * kSecond);
}

TEST_F(GatewayTest, NeitherATrustedProxyNorAnAllowedSourceIsEscalated) {
    for (const auto* client : {"10.1.2.3", "192.0.2.200"})
        for (int i = 0; i < 30; ++i) send("", "/", 200, client);
    EXPECT_TRUE(escalations_.empty());
}

TEST_F(GatewayTest, RefusalsOfAFloodAreSummedUpAndNoneIsLost) {
    for (int i = 0; i < 110; ++i) send("", "/");
    application_->tick(wall_now() + BurstAggregator::kInterval + kSecond);
    std::istringstream log{log_text("decision")};
    std::uint64_t refusals = 0;
    std::size_t lines = 0;
    for (std::string line; std::getline(log, line); ++lines) {
        const auto record = nlohmann::json::parse(line);
        if (line.find("\"trial\"") != std::string::npos) continue;
        const auto& ours = record.at("sluice");
        refusals += ours.contains("count") ? ours.at("count").get<std::uint64_t>() : 1;
    }
    EXPECT_EQ(refusals, 100U);
    EXPECT_LE(lines, 4U);
}

TEST_F(GatewayTest, AiUsageIsReadFromTheAnswer) {
    constexpr std::string_view kBody =
        R"({"id":"1","model":"gpt-4o-mini","usage":{"prompt_tokens":12,"completion_tokens":34}})";
    outcome_.response_body = {kBody, "", kBody.size()};
    send("anna", "/api/ai/openai/chat");
    EXPECT_EQ(metric(R"(ai_model_usage_total{provider="openai",model="gpt-4o-mini"})"), 1);
    const std::string log = log_text("ai");
    EXPECT_NE(log.find("gpt-4o-mini"), std::string::npos) << log;
    EXPECT_NE(log.find("34"), std::string::npos) << log;
}

TEST_F(GatewayTest, OnlyRoutesOfAProviderAreObserved) {
    http::RequestHead request;
    request.method = "POST";
    request.has_body = true;
    request.client = IpAddress::parse("192.0.2.1").value();
    http::Decision decision;
    request.path = "/api/ai/openai/chat";
    application_->decide(request, *state_, decision);
    EXPECT_TRUE(decision.observe_request_body && decision.observe_response_body);
    EXPECT_EQ(decision.request_fields.lines(), "Accept-Encoding: identity\r\n");
    decision.clear();
    request.path = "/api/voice/x";
    application_->decide(request, *state_, decision);
    EXPECT_FALSE(decision.observe_request_body || decision.observe_response_body);
    EXPECT_TRUE(decision.request_fields.empty());
}

TEST_F(GatewayTest, LoginsAreAuthenticationEvents) {
    send("", "/api/login", 401, "192.0.2.1", "POST");
    send("", "/api/login", 200, "192.0.2.1", "POST");
    const std::string log = log_text("auth");
    EXPECT_NE(log.find(R"("outcome":"failure")"), std::string::npos) << log;
    EXPECT_NE(log.find(R"("outcome":"success")"), std::string::npos) << log;
}

TEST_F(GatewayTest, WhatNeverReachedTheJudgeIsCountedAndLogged) {
    http::EarlyRefusal refusal;
    refusal.reason = "ambiguous_path";
    refusal.status = 400;
    refusal.method = "GET";
    refusal.peer = refusal.client = IpAddress::parse("192.0.2.9").value();
    application_->refused_early(refusal);
    EXPECT_EQ(metric(R"(api_requests_total{method="GET",endpoint="other",status="400"})"), 1);
    EXPECT_NE(log_text("error").find("ambiguous_path"), std::string::npos);
}

TEST_F(GatewayTest, APolicySwapKeepsWhatWasSpent) {
    for (int i = 0; i < 10; ++i) send("", "/");
    std::string raised{kPolicy};
    raised.replace(raised.find("rate: 10/h"), 10, "rate: 12/h");
    use_policy(raised);
    EXPECT_EQ(send("", "/").status, 200);
    EXPECT_EQ(send("", "/").status, 200);
    EXPECT_EQ(send("", "/").status, 429);
}

}  // namespace
}  // namespace sluice
