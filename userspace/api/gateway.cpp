#include "api/gateway.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "api/ai_usage.hpp"
#include "api/ratelimit_fields.hpp"
#include "http/rewrite.hpp"

namespace sluice {
namespace {

constexpr std::string_view kProblemJson = "application/problem+json";
constexpr std::string_view kRepeatedCredentials = "repeated_credentials";
constexpr std::string_view kAssessmentClass = "assessment";

// Of a request whose response is given up before it began, for metrics: nginx's number for "client closed
// request".
constexpr unsigned kClientClosedRequest = 499;

// The two RateLimit fields of these limits; nothing for none.
void tell_limits(std::span<const RateLimitItem> limits, http::AddedFields& fields) {
    if (limits.empty()) return;
    append_ratelimit_policy(fields.begin("RateLimit-Policy"), limits);
    fields.end();
    append_ratelimit(fields.begin("RateLimit"), limits);
    fields.end();
}

bool succeeded(int status) {
    return status >= 200 && status < 300;
}

}  // namespace

// What is kept of a request between its judgement and its end.
struct GatewayApplication::Exchange final : http::ExchangeState {
    Judgement judgement;
    Nanos ledger_time = 0;
    Nanos wall = 0;          // of the same moment
    Nanos asked = 0;         // monotonic, when a request that waits was judged first; 0: it does not
    bool ambiguous = false;  // a credential stood twice: answered 400, never judged
};

// A request that has ended, as metrics and log want it. Its facts cost a handful of strings: made only for a
// record that is written.
struct GatewayApplication::Ended {
    const http::RequestHead& request;
    const Exchange& exchange;
    const http::Outcome& outcome;

    // When it ended, without asking the clock again.
    Nanos wall() const { return exchange.wall + (outcome.done - outcome.decided); }

    RequestFacts facts() const {
        const Judgement& judgement = exchange.judgement;
        RequestFacts facts;
        facts.client = request.client;
        facts.method = request.method;
        facts.path = request.path;
        facts.route = judgement.route_name();
        facts.class_name = judgement.class_name();
        facts.user = judgement.identity.user;
        facts.user_agent = request.fields.find("User-Agent").value_or("");
        facts.request_id = request.fields.find("X-Request-ID").value_or("");
        facts.status = static_cast<unsigned>(outcome.status);
        facts.duration = outcome.total();
        return facts;
    }
};

GatewayApplication::GatewayApplication(RequestPlane& plane, WorkerMetrics& metrics, TopRequests& top)
    : plane_(plane), judge_(plane), metrics_(metrics), top_(top) {}

GatewayApplication::~GatewayApplication() {
    write_summaries(LogCategory::kDecision, limited_.drain());
    write_summaries(LogCategory::kAuth, rejected_.drain());
    write_summaries(LogCategory::kError, failed_.drain());
}

std::unique_ptr<http::ExchangeState> GatewayApplication::make_state() {
    return std::make_unique<Exchange>();
}

void GatewayApplication::decide(const http::RequestHead& request, http::ExchangeState& state,
                                http::Decision& decision) {
    auto& exchange = static_cast<Exchange&>(state);
    exchange.wall = wall_now_coarse();
    const std::string_view key_header = judge_.policy().verifier->api_key_header();

    Question question{request.method, request.path, request.client, {}};
    question.credentials.authorization = request.fields.find("Authorization").value_or("");
    if (!key_header.empty()) question.credentials.api_key = request.fields.find(key_header).value_or("");
    exchange.ambiguous = request.fields.count("Authorization") > 1 ||
                         (!key_header.empty() && request.fields.count(key_header) > 1);
    if (exchange.ambiguous) {
        exchange.judgement = Judgement{};
        decision.kind = http::Decision::Kind::kReply;
        decision.status = 400;
        decision.response_fields.set("Content-Type", kProblemJson);
        decision.body =
            http::problem_body(400, kRepeatedCredentials, "a credential field stands more than once");
        return;
    }

    const Nanos now = monotonic_now();
    exchange.ledger_time = ledger_time_at(now);
    const Patience patience{
        exchange.asked, [&decision] { return [ticket = decision.tickets->ticket()] { ticket->resume(); }; }};
    judge_.judge(question, now, exchange.wall, exchange.judgement, patience);
    if (exchange.judgement.waiting) {
        if (exchange.asked == 0) exchange.asked = now;
        decision.kind = http::Decision::Kind::kWait;
        return;
    }
    exchange.asked = 0;
    decision.decided = now + exchange.judgement.deciding;
    if (exchange.judgement.verdict == Verdict::kAdmitted)
        admit(exchange, request, decision);
    else
        refuse(exchange, decision);
}

void GatewayApplication::admit(const Exchange& exchange, const http::RequestHead& request,
                               http::Decision& decision) {
    const Judgement& judgement = exchange.judgement;
    // An application that goes on working for nobody would keep them.
    decision.ends_with_client = !judgement.slots.empty();
    if (judgement.route != nullptr && !judgement.route->provider.empty()) {
        decision.observe_request_body = request.has_body;
        decision.observe_response_body = true;
        // Token usage is read from the body as it passes, and a sample of a compressed one tells nothing.
        decision.request_fields.set("Accept-Encoding", "identity");
    }

    std::array<RateLimitItem, kMaxCharges> items;
    std::size_t count = 0;
    for (std::size_t i = 0; i < judgement.charges.size(); ++i) {
        const RequestLimit& limit = judgement.limit(i);
        if (limit.mode == LimitMode::kShadow) continue;  // not the client's business
        const ChargeResult& result = judgement.results[i];
        const Rate& rate = judgement.charges.charges()[i].rate;
        // Slots and clock ticks round up, so it may be a moment more than the window; a client need not be puzzled by it.
        items[count++] = {limit.name, rate, result.remaining,
                          std::min(result.more_at - exchange.ledger_time, rate.window)};
    }
    tell_limits({items.data(), count}, decision.response_fields);
}

void GatewayApplication::refuse(const Exchange& exchange, http::Decision& decision) {
    const Judgement& judgement = exchange.judgement;
    const std::int64_t retry_after_s = whole_seconds(judgement.retry_after);
    decision.kind = http::Decision::Kind::kReply;
    decision.status = 429;
    decision.response_fields.set("Retry-After", std::to_string(retry_after_s));
    decision.response_fields.set("Content-Type", kProblemJson);
    if (judgement.verdict == Verdict::kBanned) {
        append_banned(decision.body, retry_after_s);
        return;
    }

    std::array<RateLimitItem, kMaxCharges> items;
    std::array<std::string_view, kMaxCharges> violated;
    std::size_t count = 0;
    for (std::size_t i = 0; i < judgement.charges.size(); ++i) {
        const RequestLimit& limit = judgement.limit(i);
        const ChargeResult& result = judgement.results[i];
        if (!result.refused || limit.mode == LimitMode::kShadow) continue;
        violated[count] = limit.name;
        items[count++] = {limit.name, judgement.charges.charges()[i].rate, result.remaining,
                          result.retry_at - exchange.ledger_time};
    }
    tell_limits({items.data(), count}, decision.response_fields);
    append_quota_exceeded(decision.body, {violated.data(), count});
}

void GatewayApplication::answered(http::ExchangeState& state) {
    static_cast<Exchange&>(state).judgement.slots.clear();
}

void GatewayApplication::finished(const http::RequestHead& request, http::ExchangeState& state,
                                  const http::Outcome& outcome) {
    auto& exchange = static_cast<Exchange&>(state);
    exchange.judgement.slots.clear();
    const Judgement& judgement = exchange.judgement;
    const unsigned status =
        outcome.status == 0 ? kClientClosedRequest : static_cast<unsigned>(outcome.status);
    metrics_.request_finished(request.method, judgement.route_name(), status, outcome.total());
    metrics_.added_latency(outcome.added());

    const Ended ended{request, exchange, outcome};
    if (!outcome.reason.empty())
        log_failure(ended, outcome.reason);
    else if (exchange.ambiguous)
        log_failure(ended, kRepeatedCredentials);
    else if (outcome.status >= 500)
        log_failure(ended, "upstream_error");
    const bool undecided = std::exchange(exchange.asked, 0) != 0;  // it went away while it waited
    if (exchange.ambiguous || undecided) return;

    count_decisions(exchange);
    const bool refused = judgement.verdict != Verdict::kAdmitted;
    top_.record(judgement.policy->policy->source_prefix.of(request.client), judgement.identity.user, refused,
                exchange.ledger_time);
    if (judgement.identity.authenticated())
        plane_.active_users.seen(judgement.identity.user, exchange.ledger_time);
    log_identity(ended);
    log_limits(ended);
    if (!refused) log_activity(ended);
    escalate(exchange, request.client);
}

void GatewayApplication::count_decisions(const Exchange& exchange) {
    const Judgement& judgement = exchange.judgement;
    if (judgement.verdict == Verdict::kBanned) return;
    metrics_.decision_duration(judgement.deciding);
    for (std::size_t i = 0; i < judgement.charges.size(); ++i) {
        const RequestLimit& limit = judgement.limit(i);
        if (judgement.results[i].refused)
            metrics_.decision(limit.name, limit.mode == LimitMode::kShadow ? LimitVerdict::kShadow
                                                                           : LimitVerdict::kRefused);
        else if (judgement.verdict == Verdict::kAdmitted)
            metrics_.decision(limit.name, LimitVerdict::kAdmitted);
    }
}

void GatewayApplication::log_identity(const Ended& ended) {
    const Identity& identity = ended.exchange.judgement.identity;
    if (identity.failure) {
        const std::string_view reason = to_string(*identity.failure);
        if (!rejected_.record(ended.request.client, reason, ended.wall())) return;
        const bool api_key = *identity.failure == AuthFailure::kUnknownApiKey;
        plane_.log.write(Authentication{
            api_key ? Authentication::Action::kApiKeyRejected : Authentication::Action::kTokenRejected,
            ended.facts(), false, std::string{reason}});
        return;
    }
    if (!identity.roles.empty() && plane_.roles.changed(identity.user, identity.roles))
        plane_.log.write(
            Authentication{Authentication::Action::kRoleChange, ended.facts(), true, "roles_changed"});
}

void GatewayApplication::log_limits(const Ended& ended) {
    const Judgement& judgement = ended.exchange.judgement;
    const IpAddress& client = ended.request.client;
    const auto retry_after_s = static_cast<std::uint64_t>(whole_seconds(judgement.retry_after));
    if (judgement.verdict == Verdict::kBanned) {
        if (limited_.record(client, "ban", ended.wall()))
            plane_.log.write(RequestLimited{ended.facts(), "ban", 0, 0, retry_after_s, false});
        return;
    }
    for (std::size_t i = 0; i < judgement.charges.size(); ++i) {
        if (!judgement.results[i].refused) continue;
        const RequestLimit& limit = judgement.limit(i);
        if (!limited_.record(client, limit.name, ended.wall())) continue;
        const Rate& rate = judgement.charges.charges()[i].rate;
        plane_.log.write(RequestLimited{ended.facts(), limit.name, rate.count, rate.window, retry_after_s,
                                        limit.mode == LimitMode::kShadow});
    }
}

void GatewayApplication::log_activity(const Ended& ended) {
    const http::Outcome& outcome = ended.outcome;
    const Route* route = ended.exchange.judgement.route;
    if (route == nullptr) return;
    if (route->class_name == kLoginClass && outcome.by == http::AnsweredBy::kUpstream)
        plane_.log.write(Authentication{Authentication::Action::kLogin, ended.facts(),
                                        succeeded(outcome.status),
                                        succeeded(outcome.status) ? "" : "refused_by_application"});
    if (route->class_name == kAssessmentClass) plane_.log.write(AssessmentActivity{ended.facts(), "attempt"});
    if (route->provider.empty()) return;

    const AiUsage usage = read_ai_usage(outcome.request_body, outcome.response_body);
    if (succeeded(outcome.status))
        metrics_.ai_usage(route->provider, usage.model.empty() ? "unknown" : usage.model);
    plane_.log.write(
        AiInteraction{ended.facts(), route->provider, usage.model, usage.input_tokens, usage.output_tokens});
}

void GatewayApplication::log_failure(const Ended& ended, std::string_view reason) {
    if (failed_.record(ended.request.client, reason, ended.wall()))
        plane_.log.write(RequestFailed{ended.facts(), std::string{reason}, {}});
}

void GatewayApplication::escalate(const Exchange& exchange, const IpAddress& client) {
    const Judgement& judgement = exchange.judgement;
    const EscalationRules& rules = judgement.policy->escalation;
    if (!rules.rule || judgement.verdict == Verdict::kBanned) return;
    const std::uint64_t identity =
        judgement.identity.authenticated() ? plane_.hasher.identity(judgement.identity.user) : 0;
    if (judgement.verdict == Verdict::kAdmitted) {
        plane_.escalation.on_admitted(rules, client, identity, exchange.ledger_time);
        return;
    }
    if (const auto escalation = plane_.escalation.on_refused(rules, client, identity, exchange.ledger_time))
        plane_.escalate(*escalation);
}

void GatewayApplication::refused_early(const http::EarlyRefusal& refusal) {
    if (refusal.status != 0)
        metrics_.request_finished(refusal.method, "", static_cast<unsigned>(refusal.status), 0);
    if (!failed_.record(refusal.client, refusal.reason, wall_now())) return;
    RequestFacts facts;
    facts.client = refusal.client;
    facts.method = refusal.method;
    facts.status = static_cast<unsigned>(refusal.status);
    plane_.log.write(RequestFailed{facts, std::string{refusal.reason}, {}});
}

void GatewayApplication::tick(Nanos wall) {
    write_summaries(LogCategory::kDecision, limited_.due(wall));
    write_summaries(LogCategory::kAuth, rejected_.due(wall));
    write_summaries(LogCategory::kError, failed_.due(wall));
}

void GatewayApplication::write_summaries(LogCategory category,
                                         const std::vector<BurstAggregator::Summary>& summaries) {
    for (const BurstAggregator::Summary& summary : summaries)
        plane_.log.write(RefusalSummary{category, summary.client, summary.what, summary.count, summary.first,
                                        summary.last});
}

}  // namespace sluice
