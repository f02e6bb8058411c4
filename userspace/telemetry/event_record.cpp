#include "telemetry/event_record.hpp"

#include <nlohmann/json.hpp>

#include "telemetry/redact.hpp"

namespace sluice {
namespace {

using nlohmann::json;

constexpr std::string_view kEcsVersion = "9.1.0";  // the first with gen_ai.*
constexpr std::size_t kMaxTextBytes = 1024;

// A record under construction. Names are ECS's, dotted; values end up nested.
class Record {
  public:
    // A value of Sluice's own: a word of an enumeration, a number, an address.
    template <class T>
    void set(std::string_view name, T&& value) {
        at(name) = std::forward<T>(value);
    }
    // A text from elsewhere; left out when empty.
    void text(std::string_view name, std::string_view value, TextKind kind = TextKind::kFree) {
        if (!value.empty()) at(name) = redact(value, kind);
    }
    void identifier(std::string_view name, std::string_view value) {
        text(name, value, TextKind::kIdentifier);
    }
    void address(std::string_view name, const std::optional<IpAddress>& value) {
        if (value) at(name) = value->to_string();
    }
    // What ECS wants of every event; category and types from its closed lists.
    void event(std::string_view action, std::string_view outcome, json category, json type) {
        json& event = doc_["event"];
        event["action"] = action;
        if (!outcome.empty()) event["outcome"] = outcome;
        event["category"] = std::move(category);
        event["type"] = std::move(type);
    }
    void level(std::string_view level, std::string message) {
        doc_["log"]["level"] = level;
        doc_["message"] = std::move(message);
    }
    // ASCII in one line: control characters, line separators and bidirectional overrides all end up escaped.
    std::string dump() const { return doc_.dump(-1, ' ', true, json::error_handler_t::replace); }

  private:
    json& at(std::string_view name) {
        json* place = &doc_;
        for (std::size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.')) {
            place = &(*place)[std::string{name.substr(0, dot)}];
            name.remove_prefix(dot + 1);
        }
        return (*place)[std::string{name}];
    }

    json doc_ = json::object();
};

std::string_view outcome(bool success) {
    return success ? "success" : "failure";
}

std::string_view outcome_of_status(unsigned status) {
    if (status == 0) return "unknown";
    return outcome(status < 400);
}

void add_request(Record& record, const RequestFacts& request) {
    record.address("client.ip", request.client);
    record.text("http.request.method", request.method);
    record.text("url.path", std::string_view{request.path}.substr(0, request.path.find_first_of("?#")));
    record.identifier("sluice.route", request.route);
    record.identifier("sluice.class", request.class_name);
    record.identifier("user.id", request.user);
    record.text("user_agent.original", request.user_agent);
    record.text("http.request.id", request.request_id);
    if (request.status) record.set("http.response.status_code", request.status);
    if (request.duration > 0) record.set("event.duration", request.duration);
}

// --- one function a kind
// ----------------------------------------------------------------------------------------------

void fill(Record& record, const RequestLimited& e) {
    // ECS: an enforcer that refused what it should refuse was successful; that it refused is in event.type.
    record.event(e.shadow ? "request-limited-shadow" : "request-limited", "success", {"api", "web"},
                 {"access", e.shadow ? "allowed" : "denied"});
    record.level("warn", e.shadow ? "a limit in shadow mode would have refused a request"
                                  : "a limit refused a request");
    add_request(record, e.request);
    record.identifier("rule.name", e.limit);
    record.identifier("sluice.limit.name", e.limit);
    record.set("sluice.limit.count", e.limit_count);
    const bool at_once = e.limit_window == 0 && e.limit_count != 0;
    if (!at_once) record.set("sluice.limit.window_s", e.limit_window / kSecond);
    record.set("sluice.retry_after_s", e.retry_after_s);
    record.set("sluice.verdict", e.shadow ? "shadow" : "refused");
    record.set("sluice.count", 1);
}

void fill(Record& record, const RequestFailed& e) {
    const bool ours = e.request.status >= 500 || e.request.status == 0;
    record.event("request-failed", "failure", {"web"}, {"access", "error"});
    record.level(ours ? "error" : "warn", ours ? "a request failed" : "a request was malformed");
    add_request(record, e.request);
    record.text("error.code", e.reason);
    record.text("error.message", e.detail);
    record.set("sluice.count", 1);
}

std::string_view to_string(Authentication::Action action) {
    switch (action) {
        case Authentication::Action::kTokenRejected:
            return "token-rejected";
        case Authentication::Action::kApiKeyRejected:
            return "api-key-rejected";
        case Authentication::Action::kLogin:
            return "login";
        case Authentication::Action::kRoleChange:
            return "role-change";
    }
    return "authentication";
}

void fill(Record& record, const Authentication& e) {
    const bool role = e.action == Authentication::Action::kRoleChange;
    const bool login = e.action == Authentication::Action::kLogin;
    record.event(to_string(e.action), outcome(e.success), role ? json{"iam"} : json{"authentication"},
                 role    ? json{"user", "change"}
                 : login ? json{"start"}
                         : json{"info"});
    record.level(e.success ? "info" : "warn",
                 std::string{to_string(e.action)} + (e.success ? "" : ": refused"));
    add_request(record, e.request);
    record.text("event.reason", e.reason);
    record.set("sluice.count", 1);
}

void fill(Record& record, const AiInteraction& e) {
    record.event("model-request", outcome_of_status(e.request.status), {"api"}, {"access"});
    record.level("info", "a model was asked");
    add_request(record, e.request);
    record.identifier("gen_ai.provider.name", e.provider);
    record.identifier("gen_ai.response.model", e.model);
    if (e.input_tokens) record.set("gen_ai.usage.input_tokens", *e.input_tokens);
    if (e.output_tokens) record.set("gen_ai.usage.output_tokens", *e.output_tokens);
}

void fill(Record& record, const AssessmentActivity& e) {
    record.event("assessment-" + redact(e.activity), outcome_of_status(e.request.status), {"api"},
                 {"access"});
    record.level("info", "an assessment request was answered");
    add_request(record, e.request);
}

void fill(Record& record, const PerformanceSummary& e) {
    record.event("performance-summary", "", {"process"}, {"info"});
    record.set("event.kind", "metric");
    record.level("info", "performance of the last interval");
    record.set("event.duration", e.interval);
    record.set("process.memory.resident_bytes", e.resident_bytes);
    record.set("process.cpu.share", e.cpu_share);
    record.set("sluice.requests", e.requests);
    record.set("sluice.refused", e.refused);
    record.set("sluice.request_p50_ns", e.request_p50);
    record.set("sluice.request_p99_ns", e.request_p99);
    record.set("sluice.added_p99_ns", e.added_p99);
    json dependencies = json::array();
    for (const auto& d : e.dependencies)
        dependencies.push_back({{"name", redact(d.name)}, {"up", d.up}, {"latency_ns", d.latency}});
    record.set("sluice.dependencies", std::move(dependencies));
}

std::string_view to_string(BanChange::Action action) {
    switch (action) {
        case BanChange::Action::kBegan:
            return "ban-began";
        case BanChange::Action::kSummary:
            return "ban-summary";
        case BanChange::Action::kEnded:
            return "ban-ended";
        case BanChange::Action::kLifted:
            return "ban-lifted";
        case BanChange::Action::kSuppressed:
            return "ban-suppressed";
    }
    return "ban";
}

void fill(Record& record, const BanChange& e) {
    const bool began = e.action == BanChange::Action::kBegan;
    record.event(to_string(e.action), "success", {"intrusion_detection", "network"},
                 {began ? "denied" : "info"});
    if (began) record.set("event.kind", "alert");
    record.level(began ? "warn" : "info", std::string{to_string(e.action)} + ": " + e.source.to_string());
    // client.ip has to be one address; a prefix has its own field.
    if (e.source.is_host()) record.set("client.ip", e.source.to_string());
    record.set("sluice.ban.source", e.source.to_string());
    record.text("sluice.ban.reason", e.reason);
    record.text("sluice.ban.origin", e.origin);
    record.text("sluice.ban.host", e.host);
    record.identifier("user.name", e.by);
    if (e.duration > 0) record.set("sluice.ban.duration_s", e.duration / kSecond);
    if (!began) record.set("sluice.ban.packets", e.packets);
    if (e.action == BanChange::Action::kSummary) record.set("sluice.ban.packets_since", e.since);
    if (e.untold > 0) record.set("sluice.ban.untold", e.untold);
}

std::string_view to_string(Audit::Action action) {
    switch (action) {
        case Audit::Action::kPolicyApplied:
            return "policy-applied";
        case Audit::Action::kPolicyRefused:
            return "policy-refused";
        case Audit::Action::kPolicyRolledBack:
            return "policy-rolled-back";
        case Audit::Action::kPolicyConfirmed:
            return "policy-confirmed";
        case Audit::Action::kBanAdded:
            return "ban-added";
        case Audit::Action::kBanLifted:
            return "ban-lifted";
        case Audit::Action::kCaptureStarted:
            return "capture-started";
        case Audit::Action::kQuotaSet:
            return "quota-set";
        case Audit::Action::kQuotaUnset:
            return "quota-unset";
        case Audit::Action::kQuotaReset:
            return "quota-reset";
        case Audit::Action::kAccessDenied:
            return "access-denied";
        case Audit::Action::kDaemonStarted:
            return "daemon-started";
        case Audit::Action::kDaemonStopped:
            return "daemon-stopped";
    }
    return "audit";
}

void fill(Record& record, const Audit& e) {
    const bool denied = e.action == Audit::Action::kAccessDenied;
    const bool process =
        e.action == Audit::Action::kDaemonStarted || e.action == Audit::Action::kDaemonStopped;
    const bool capture = e.action == Audit::Action::kCaptureStarted;
    record.event(to_string(e.action), outcome(e.success),
                 process   ? json{"process"}
                 : capture ? json{"network"}
                           : json{"configuration"},
                 denied    ? json{"access"}
                 : capture ? json{"info"}
                 : process ? json{e.action == Audit::Action::kDaemonStarted ? "start" : "end"}
                           : json{"change"});
    record.level(e.success ? "info" : "warn",
                 std::string{to_string(e.action)} + (e.success ? "" : ": failed"));
    record.address("client.ip", e.client);
    record.identifier("user.name", e.actor);
    if (!e.role.empty()) record.set("user.roles", json{redact(e.role)});
    record.text("sluice.audit.via", e.via);
    record.identifier("sluice.audit.object", e.object);
    record.text("event.reason", e.reason);
}

void fill(Record& record, const SystemError& e) {
    record.event("system-error", "failure", json::array(), {"error"});
    record.level("error", redact(e.component + ": " + e.message));
    record.text("log.logger", e.component);
    record.text("error.code", e.code);
    record.text("error.message", e.message);
}

void fill(Record& record, const RefusalSummary& e) {
    switch (e.category) {
        case LogCategory::kAuth:
            record.event("rejected-summary", "failure", {"authentication"}, {"info"});
            break;
        case LogCategory::kDecision:
            record.event("request-limited-summary", "success", {"api", "web"}, {"access", "denied"});
            break;
        default:
            record.event("refused-summary", "failure", {"web"}, {"access", "error"});
            break;
    }
    record.level("warn", "more of the same were refused");
    record.address("client.ip", e.client);
    record.identifier(e.category == LogCategory::kDecision ? "sluice.limit.name" : "event.reason", e.what);
    record.set("sluice.count", e.count);
    record.set("event.start", to_rfc3339(e.first));
    record.set("event.end", to_rfc3339(e.last));
}

void fill(Record& record, const LogLoss& e) {
    record.event("log-loss", "failure", json::array(), {"error"});
    record.level("error", "records of this log were dropped");
    record.set("sluice.count", e.count);
    record.set("sluice.first_sequence", e.first_sequence);
    record.set("sluice.last_sequence", e.last_sequence);
}

// --- the texts of each kind
// -------------------------------------------------------------------------------------------

using TextVisitor = std::function<void(std::string&)>;

void visit_texts(RequestFacts& e, const TextVisitor& f) {
    for (auto* text : {&e.method, &e.path, &e.route, &e.class_name, &e.user, &e.user_agent, &e.request_id})
        f(*text);
}
void visit_texts(RequestLimited& e, const TextVisitor& f) {
    visit_texts(e.request, f);
    f(e.limit);
}
void visit_texts(RequestFailed& e, const TextVisitor& f) {
    visit_texts(e.request, f);
    f(e.reason);
    f(e.detail);
}
void visit_texts(Authentication& e, const TextVisitor& f) {
    visit_texts(e.request, f);
    f(e.reason);
}
void visit_texts(AiInteraction& e, const TextVisitor& f) {
    visit_texts(e.request, f);
    f(e.provider);
    f(e.model);
}
void visit_texts(AssessmentActivity& e, const TextVisitor& f) {
    visit_texts(e.request, f);
}
void visit_texts(PerformanceSummary& e, const TextVisitor& f) {
    for (auto& dependency : e.dependencies) f(dependency.name);
}
void visit_texts(BanChange& e, const TextVisitor& f) {
    for (auto* text : {&e.reason, &e.origin, &e.by, &e.host}) f(*text);
}
void visit_texts(Audit& e, const TextVisitor& f) {
    for (auto* text : {&e.actor, &e.via, &e.role, &e.object, &e.reason}) f(*text);
}
void visit_texts(SystemError& e, const TextVisitor& f) {
    for (auto* text : {&e.component, &e.code, &e.message}) f(*text);
}
void visit_texts(RefusalSummary& e, const TextVisitor& f) {
    f(e.what);
}
void visit_texts(LogLoss&, const TextVisitor&) {}

}  // namespace

std::string_view to_string(LogCategory category) {
    switch (category) {
        case LogCategory::kAudit:
            return "audit";
        case LogCategory::kAuth:
            return "auth";
        case LogCategory::kBan:
            return "ban";
        case LogCategory::kError:
            return "error";
        case LogCategory::kAi:
            return "ai";
        case LogCategory::kAssessment:
            return "assessment";
        case LogCategory::kDecision:
            return "decision";
        case LogCategory::kPerformance:
            return "performance";
    }
    return "error";
}

LogCategory category_of(const Event& event) {
    struct Of {
        LogCategory operator()(const RequestLimited&) const { return LogCategory::kDecision; }
        LogCategory operator()(const RequestFailed&) const { return LogCategory::kError; }
        LogCategory operator()(const Authentication&) const { return LogCategory::kAuth; }
        LogCategory operator()(const AiInteraction&) const { return LogCategory::kAi; }
        LogCategory operator()(const AssessmentActivity&) const { return LogCategory::kAssessment; }
        LogCategory operator()(const PerformanceSummary&) const { return LogCategory::kPerformance; }
        LogCategory operator()(const BanChange&) const { return LogCategory::kBan; }
        LogCategory operator()(const Audit&) const { return LogCategory::kAudit; }
        LogCategory operator()(const SystemError&) const { return LogCategory::kError; }
        LogCategory operator()(const RefusalSummary& e) const { return e.category; }
        LogCategory operator()(const LogLoss& e) const { return e.category; }
    };
    return std::visit(Of{}, event);
}

void for_each_text(Event& event, const std::function<void(std::string&)>& f) {
    std::visit([&](auto& e) { visit_texts(e, f); }, event);
}

void bound_texts(Event& event) {
    for_each_text(event, [](std::string& text) {
        constexpr std::string_view kCut = "…";
        if (text.size() > kMaxTextBytes) text.replace(kMaxTextBytes - kCut.size(), std::string::npos, kCut);
    });
}

std::string render(const Event& event, Nanos wall, std::uint64_t sequence) {
    Record record;
    record.set("@timestamp", to_rfc3339(wall));
    record.set("ecs.version", kEcsVersion);
    record.set("service.name", "sluice");
    record.set("event.kind", "event");
    record.set("event.module", "sluice");
    record.set("event.dataset", "sluice." + std::string{to_string(category_of(event))});
    record.set("event.sequence", sequence);
    std::visit([&](const auto& e) { fill(record, e); }, event);
    return record.dump();
}

}  // namespace sluice
