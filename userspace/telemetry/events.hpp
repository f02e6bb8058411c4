// What can be logged, as plain structs: one struct is one kind of record. The category follows from the kind,
// the JSON from event_record.hpp. Build one where the thing happens and hand it to EventLog::write().
//
// Text members may hold anything a client sent: they are cut to 1 KiB, searched for secrets and escaped
// later, once, on the log's own thread. What is not a member here (headers, queries, bodies, tokens) cannot
// reach a log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"

namespace sluice {

// In the order in which a writer under pressure serves them. Each has its file, `<category>.log`, and its
// dataset, `sluice.<category>`.
enum class LogCategory : std::uint8_t {
    kAudit,
    kAuth,
    kBan,
    kError,
    kAi,
    kAssessment,
    kDecision,
    kPerformance
};
inline constexpr std::size_t kLogCategories = 8;

// "audit", "auth", …
std::string_view to_string(LogCategory category);

// What is known of a request when it is answered. Leave empty what is not known.
struct RequestFacts {
    std::optional<IpAddress> client;
    std::string method;
    std::string path;   // canonical; a query, if there is one, is cut off
    std::string route;  // the policy's name for it
    std::string class_name;
    std::string user;  // verified; empty: anonymous
    std::string user_agent;
    std::string request_id;
    unsigned status = 0;  // 0: not answered
    Nanos duration = 0;   // from the first byte of the request to the last of the answer
};

// sluice.decision: a limit refused (or in shadow mode would have refused) a request.
struct RequestLimited {
    RequestFacts request;
    std::string limit;              // its name
    std::uint64_t limit_count = 0;  // its rate: count …
    Nanos limit_window = 0;         // … in any window; 0: in flight at once
    std::uint64_t retry_after_s = 0;
    bool shadow = false;
};

// sluice.error: a request that was malformed, or that the upstream or Sluice failed.
struct RequestFailed {
    RequestFacts request;
    std::string reason;  // snake_case: "malformed_path", "upstream_timeout"
    std::string detail;  // free text
};

// sluice.auth: what identity found, and what the application's login and role endpoints answered.
struct Authentication {
    enum class Action : std::uint8_t { kTokenRejected, kApiKeyRejected, kLogin, kRoleChange };
    Action action = Action::kTokenRejected;
    RequestFacts request;
    bool success = false;
    std::string reason;  // snake_case: "expired", "bad_signature"
};

// sluice.ai: one call of a model.
struct AiInteraction {
    RequestFacts request;
    std::string provider;
    std::string model;  // empty: not told by the answer
    std::optional<std::uint64_t> input_tokens;
    std::optional<std::uint64_t> output_tokens;
};

// sluice.assessment: one request to an assessment route; its outcome follows from the status.
struct AssessmentActivity {
    RequestFacts request;
    std::string activity = "attempt";  // or "scoring", "adaptive_adjustment"
};

// sluice.performance: how the last interval went.
struct PerformanceSummary {
    struct Dependency {
        std::string name;
        bool up = false;
        Nanos latency = 0;
    };
    Nanos interval = 0;
    std::uint64_t requests = 0;
    std::uint64_t refused = 0;
    Nanos request_p50 = 0;
    Nanos request_p99 = 0;
    Nanos added_p99 = 0;
    std::uint64_t resident_bytes = 0;
    double cpu_share = 0;  // of one CPU
    std::vector<Dependency> dependencies;
};

// sluice.ban: a source was banned, is no longer, or would have been.
struct BanChange {
    enum class Action : std::uint8_t {
        kBegan,
        kSummary,     // it stands and drops packets
        kEnded,       // ran out
        kLifted,      // by someone
        kSuppressed,  // asked for, but the source is allowed or a trusted proxy
    };
    Action action = Action::kBegan;
    IpPrefix source;
    std::string reason;         // "limit_packets", "escalation", what the operator wrote
    std::string origin;         // "kernel", "escalation", "operator", "peer"
    std::string by;             // who, when a person did it
    Nanos duration = 0;         // began: how long it will last
    std::uint64_t packets = 0;  // summary, ended, lifted: packets it dropped in all
    std::string host{};         // another host's decision: its name
    std::uint64_t since = 0;    // summary: packets since the last one, or since it began
    std::uint64_t untold = 0;   // summary: other bans that dropped packets and have none this time
};

// sluice.audit: someone changed something, or was not allowed to.
struct Audit {
    enum class Action : std::uint8_t {
        kPolicyApplied,
        kPolicyRefused,
        kPolicyRolledBack,
        kPolicyConfirmed,
        kBanAdded,
        kBanLifted,
        kCaptureStarted,
        kQuotaSet,
        kQuotaUnset,
        kQuotaReset,
        kAccessDenied,
        kDaemonStarted,
        kDaemonStopped,
    };
    Action action = Action::kPolicyApplied;
    bool success = true;
    std::string actor;  // "root", a token's name; "file" for a watched file; empty: unknown
    std::string via;    // "unix socket, uid 0", "token from 192.0.2.1"
    std::string role;
    std::string object;  // the policy's hash, the ban's source, user and limit
    std::string reason;  // what the actor gave, or why it failed
    std::optional<IpAddress> client;
};

// sluice.error: Sluice itself has trouble.
struct SystemError {
    std::string component;  // "ledger", "kernel", "log"
    std::string code;       // snake_case
    std::string message;
};

// The rest of a burst of which the first was written at once (see burst_aggregator.hpp): `count` further
// ones.
struct RefusalSummary {
    LogCategory category = LogCategory::kDecision;  // kDecision: limited; kAuth: rejected; kError: malformed
    std::optional<IpAddress> client;                // none: the clients that had no place of their own
    std::string what;                               // the limit, or the reason
    std::uint64_t count = 0;
    Nanos first = 0;  // wall clock
    Nanos last = 0;
};

// In any category: records of it were dropped. Written by the log itself.
struct LogLoss {
    LogCategory category = LogCategory::kError;
    std::uint64_t count = 0;
    std::uint64_t first_sequence = 0;
    std::uint64_t last_sequence = 0;
};

using Event = std::variant<RequestLimited, RequestFailed, Authentication, AiInteraction, AssessmentActivity,
                           PerformanceSummary, BanChange, Audit, SystemError, RefusalSummary, LogLoss>;

LogCategory category_of(const Event& event);

}  // namespace sluice
