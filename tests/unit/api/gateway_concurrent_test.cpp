// Limits with `concurrent` through the gateway's application: what takes a slot, what gives it back, what a client and an
// operator are told.
#include <nlohmann/json.hpp>

#include "api/gateway.hpp"
#include "api/judge.hpp"
#include "plane_fixture.hpp"
#include "telemetry/metrics.hpp"

namespace sluice {
namespace {

constexpr std::string_view kPolicy = R"(
name: test
identity: {api_keys: {header: X-API-Key, file: keys.yaml}}
routes:
  - {name: streams, path: "/streams/**", class: streams}
  - {name: few, path: "/few/**", class: few}
limits:
  - {name: streams, per: user, class: streams, concurrent: 2}
  - {name: user, per: user, when: authenticated, rate: 100/h}
  - {name: few, per: user, class: few, rate: 1/h}
  - {name: host, per: ip, concurrent: 50}
  - {name: trial, per: ip, class: streams, concurrent: 1, mode: shadow}
)";

class GatewayConcurrentTest : public PlaneTest {
  protected:
    void SetUp() override {
        write_api_keys({"anna", "ben"});
        use_policy(std::string{kPolicy});
        application_ = std::make_unique<GatewayApplication>(*plane_, metrics_.add_worker(), top_);
    }

    // A request on a connection of its own, between its decision and its end.
    struct Request {
        std::string key;
        std::string path;
        http::RequestHead head;
        std::unique_ptr<http::ExchangeState> state;
        http::Decision decision;

        bool admitted() const { return decision.kind == http::Decision::Kind::kForward; }
        std::string fields() const { return std::string{decision.response_fields.lines()}; }
    };
    using Live = std::unique_ptr<Request>;

    Live begin(std::string_view user, std::string path = "/streams/a") {
        auto request = std::make_unique<Request>();
        request->key = "key-of-" + std::string{user};
        request->path = std::move(path);
        request->state = application_->make_state();
        decide(*request);
        return request;
    }
    void decide(Request& request) {
        request.head = {};
        request.head.method = "GET";
        request.head.path = request.path;
        request.head.client = request.head.peer = IpAddress::parse("192.0.2.1").value();
        request.head.fields.add("x-api-key", request.key);
        request.decision.clear();
        application_->decide(request.head, *request.state, request.decision);
    }
    void finish(Request& request, int status = 200, std::string_view reason = {}) {
        http::Outcome outcome;
        outcome.status = request.admitted() ? status : request.decision.status;
        outcome.reason = reason;
        application_->finished(request.head, *request.state, outcome);
    }
    std::uint64_t held() const { return plane_->in_flight.stats().slots; }
    double metric(const std::string& series) {
        const std::string text = metrics_.scrape();
        const std::size_t at = text.find(series + " ");
        return at == std::string::npos ? 0 : std::stod(text.substr(at + series.size()));
    }
    std::uint64_t spent(std::string_view user) {
        Judgement judgement;
        RequestJudge judge{*plane_};
        judge.explain({"GET", "/", IpAddress::parse("192.0.2.1").value(), {}}, user, monotonic_now(),
                      judgement);
        return judgement.results[0].used;
    }

    Metrics metrics_;
    TopRequests top_;
    std::unique_ptr<GatewayApplication> application_;
};

TEST_F(GatewayConcurrentTest, TheNextOneIsRefusedUntilOneEnds) {
    const Live first = begin("anna");
    const Live second = begin("anna");
    ASSERT_TRUE(first->admitted() && second->admitted());
    EXPECT_TRUE(first->decision.ends_with_client);
    const Live third = begin("anna");
    EXPECT_FALSE(third->admitted());
    EXPECT_TRUE(begin("ben")->admitted()) << "another user";
    finish(*third);
    finish(*first);
    EXPECT_TRUE(begin("anna")->admitted());
}

TEST_F(GatewayConcurrentTest, ARefusalSaysWhat) {
    const Live first = begin("anna");
    EXPECT_NE(
        first->fields().find(
            R"(RateLimit-Policy: "user";q=100;w=3600, "streams";q=2;qu="concurrent-requests", "host";q=50)"),
        std::string::npos)
        << first->fields();
    EXPECT_NE(first->fields().find(R"("streams";r=1, "host";r=49)"), std::string::npos) << first->fields();
    const Live second = begin("anna");
    const Live third = begin("anna");
    EXPECT_EQ(third->decision.status, 429);
    EXPECT_NE(third->fields().find("Retry-After: 1\r\n"), std::string::npos) << third->fields();
    EXPECT_NE(third->fields().find("RateLimit: \"streams\";r=0\r\n"), std::string::npos) << third->fields();
    EXPECT_NE(third->fields().find("RateLimit-Policy: \"streams\";q=2;qu=\"concurrent-requests\"\r\n"),
              std::string::npos)
        << third->fields();
    EXPECT_EQ(nlohmann::json::parse(third->decision.body).at("violated-policies"),
              nlohmann::json::array({"streams"}));
    for (const Live* request : {&first, &second, &third}) finish(**request);
    EXPECT_EQ(metric(R"(sluice_decisions_total{limit="streams",verdict="refused"})"), 1);
    EXPECT_EQ(metric(R"(sluice_decisions_total{limit="streams",verdict="admitted"})"), 2);
    std::istringstream log{log_text("decision")};
    std::vector<nlohmann::json> of_streams;
    for (std::string line; std::getline(log, line);) {
        const auto limit = nlohmann::json::parse(line)["sluice"]["limit"];
        if (limit["name"] == "streams") of_streams.push_back(limit);
    }
    ASSERT_EQ(of_streams.size(), 1U);
    EXPECT_EQ(of_streams[0], nlohmann::json({{"name", "streams"}, {"count", 2}}));
}

TEST_F(GatewayConcurrentTest, WhateverEndsARequestGivesItsSlotsBackOnce) {
    const auto holds_none = [&](const char* what) { EXPECT_EQ(held(), 0U) << what; };
    Live request = begin("anna");
    EXPECT_EQ(held(), 3U);
    finish(*request);
    holds_none("done");

    decide(*request);  // the next on the same connection
    application_->answered(*request->state);
    holds_none("answered");
    finish(*request);
    holds_none("answered and done");

    decide(*request);
    finish(*request, 0, "client_gone");
    holds_none("client gone");

    decide(*request);
    finish(*request, 502, "upstream_closed");
    holds_none("upstream died");

    decide(*request);
    request.reset();
    holds_none("connection destroyed");

    request = begin("anna");
    decide(*request);  // judged again without having been told of an end
    EXPECT_EQ(held(), 3U);
    request.reset();
    holds_none("judged twice");
}

TEST_F(GatewayConcurrentTest, AllLimitsOrNone) {
    const Live first = begin("anna", "/few/a");
    EXPECT_TRUE(first->admitted());
    const Live second = begin("anna", "/few/a");
    EXPECT_FALSE(second->admitted()) << "by its rate";
    EXPECT_EQ(held(), 1U) << "who is refused by a rate holds nothing";

    const Live third = begin("anna");
    const Live fourth = begin("anna");
    EXPECT_EQ(spent("anna"), 3U);
    EXPECT_FALSE(begin("anna")->admitted());
    EXPECT_EQ(spent("anna"), 3U) << "who finds no slot is not charged";
    EXPECT_EQ(held(), 1U + 3U + 2U) << "the shadow has no room for the fourth";
}

TEST_F(GatewayConcurrentTest, AShadowLimitOnlyCounts) {
    const Live first = begin("anna");
    const Live second = begin("anna");
    EXPECT_TRUE(second->admitted());
    EXPECT_EQ(second->fields().find("trial"), std::string::npos);
    finish(*second);
    finish(*first);
    EXPECT_EQ(metric(R"(sluice_decisions_total{limit="trial",verdict="shadow"})"), 1);
    EXPECT_EQ(metric(R"(sluice_decisions_total{limit="trial",verdict="admitted"})"), 1);
}

TEST_F(GatewayConcurrentTest, APolicySwapKeepsWhatIsInFlight) {
    const auto with = [&](const std::string& number) {
        std::string text{kPolicy};
        return text.replace(text.find("concurrent: 2"), 13, "concurrent: " + number);
    };
    const Live first = begin("anna");
    Live second = begin("anna");
    use_policy(with("3"));
    Live third = begin("anna");
    EXPECT_TRUE(third->admitted());
    EXPECT_FALSE(begin("anna")->admitted());
    use_policy(with("1"));
    EXPECT_FALSE(begin("anna")->admitted());
    finish(*third);
    EXPECT_FALSE(begin("anna")->admitted()) << "two still are in flight";
    finish(*second);
    EXPECT_FALSE(begin("anna")->admitted()) << "one still is";
    finish(*first);
    EXPECT_TRUE(begin("anna")->admitted());
}

TEST_F(GatewayConcurrentTest, WithoutSuchALimitNothingIsHeld) {
    use_policy("name: plain\nlimits: [{name: ip, per: ip, rate: 5/h}]\n");
    const Live request = begin("anna", "/");
    EXPECT_TRUE(request->admitted());
    EXPECT_FALSE(request->decision.ends_with_client);
    EXPECT_EQ(held(), 0U);
}

TEST_F(GatewayConcurrentTest, ExplainTellsWhatIsInFlightAndTakesNothing) {
    const Live first = begin("anna");
    const Live second = begin("anna");
    Judgement judgement;
    RequestJudge judge{*plane_};
    judge.explain({"GET", "/streams/a", IpAddress::parse("192.0.2.1").value(), {}}, "anna", monotonic_now(),
                  judgement);
    EXPECT_EQ(judgement.verdict, Verdict::kLimited);
    EXPECT_EQ(judgement.retry_after, kSlotRetry);
    ASSERT_EQ(judgement.charges.size(), 4U);
    EXPECT_EQ(judgement.limit(1).name, "streams");
    EXPECT_EQ(judgement.results[1].used, 2U);
    EXPECT_EQ(judgement.results[1].remaining, 0U);
    EXPECT_TRUE(judgement.slots.empty());
    EXPECT_EQ(held(), 5U);
}

}  // namespace
}  // namespace sluice
