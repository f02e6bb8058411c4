// What the gateway's data path asks of the application above it, and what it tells it. The data path knows no
// limiter: it reads a request, asks decide(), forwards or replies, and reports with finished().
//
// Threads: one Application per worker. Every call is made on that worker's thread, one at a time, and must
// not block: all connections of the worker wait meanwhile. WorkerContext::post() is the way in from other
// threads.
//
// Every request ends in exactly one of finished() (if decide() saw it) and refused_early() (if not).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"
#include "http/fields.hpp"

namespace sluice::http {

// A request's head after all checks. Views live until finished() of this request has returned.
struct RequestHead {
    std::string_view method;  // as sent; a token
    std::string_view
        path;  // canonical (http/path.hpp); the one that is matched and forwarded. "*" for OPTIONS *
    std::string_view query;  // as sent, without '?'
    bool has_query = false;  // "/a?" differs from "/a"
    std::string_view host;   // of the Host field, or of an absolute target; HTTP/1.0 may have neither: ""
    int version_minor = 1;   // HTTP/1.0 or HTTP/1.1
    Fields fields;
    IpAddress client;  // who the request is counted against (http/client_address.hpp)
    IpAddress peer;    // the other end of the socket
    bool via_trusted_proxy =
        false;         // `client` was told by a trusted proxy; a kernel ban of it would hit nobody
    bool tls = false;  // between peer and gateway
    bool has_body = false;
    std::optional<std::uint64_t> content_length;  // nullopt: none, or chunked
    bool upgrade = false;                         // asks for a WebSocket
};

// The head of an upstream's final response.
struct ResponseHead {
    int status = 0;
    int version_minor = 1;
    std::string_view reason;
    Fields fields;
};

// What the application keeps for one connection: made at its first request, handed to every call about it,
// reused for the requests that follow on it one after another.
class ExchangeState {
  public:
    virtual ~ExchangeState() = default;
};

// A request whose decision waits for something. Calls decide() once more, soon, on the worker's thread; does nothing if the
// request has gone. Any thread, once.
class DecisionTicket {
  public:
    virtual ~DecisionTicket() = default;
    virtual void resume() = 0;
};

// Where a decision that has to wait gets its ticket: the data path.
class TicketOffice {
  public:
    virtual ~TicketOffice() = default;
    virtual std::shared_ptr<DecisionTicket> ticket() = 0;
};

// The application's answer. The data path hands in a cleared one that keeps its capacity: in the steady
// state, filling it allocates nothing.
struct Decision {
    enum class Kind : std::uint8_t {
        kForward,
        kReply,
        kWait,  // until the ticket taken from `tickets` is used; the application sees to it that it is, and soon
    };

    Kind kind = Kind::kForward;
    TicketOffice* tickets = nullptr;  // the data path's, for kWait
    Nanos decided = 0;  // CLOCK_MONOTONIC, if the application has read it at the end anyway; 0: it has not
    AddedFields response_fields;  // forward: added to the upstream's response; reply: all but Content-Length,
                                  // Date, Connection
    // Forward:
    AddedFields request_fields;  // added to what goes upstream, such as X-Request-ID
    bool ends_with_client =
        false;  // a client that closes its side has gone: it is not waited for the response
    bool observe_request_body = false;   // hand its first 16 KiB to finished()
    bool observe_response_body = false;  // hand its first and last 32 KiB to finished()
    // Reply:
    int status = 0;
    std::string body;

    void clear();
};

enum class AnsweredBy : std::uint8_t {
    kUpstream,     // the upstream's response, complete or cut off
    kApplication,  // decide() replied
    kGateway,      // the data path itself: 413, 502, 503, 504 …
    kNobody,       // the client went away before a response was begun
};

// The word used in logs and metrics: "upstream", "application", "gateway", "nobody".
std::string_view to_string(AnsweredBy by);

// Start and end of a body, decoded from chunks but not from Content-Encoding. If total ≤ start.size() +
// end.size(), `start` followed by `end` is the whole body.
struct BodySample {
    std::string_view start;
    std::string_view end;
    std::uint64_t total = 0;

    bool complete() const { return total <= start.size() + end.size(); }
};

// How a request ended. Times are CLOCK_MONOTONIC; 0: never happened.
struct Outcome {
    int status = 0;  // what the client was sent; 0 if nothing
    AnsweredBy by = AnsweredBy::kNobody;
    std::string_view reason;  // empty: went well; else one of kReason… of http/reasons.hpp
    bool upgraded = false;    // was a tunnel; times and bytes include it

    Nanos received = 0;             // the round of the worker's loop in which the head was complete
    Nanos decided = 0;              // decide() returned
    Nanos upstream_sent = 0;        // the head went to an upstream (connecting comes before)
    Nanos upstream_first_byte = 0;  // the final response's head was complete
    Nanos response_started = 0;     // its first byte was given to the client's socket
    Nanos done = 0;  // its last byte was given to the client's socket, or the exchange given up

    std::uint64_t request_body_bytes = 0;
    std::uint64_t response_body_bytes = 0;

    const ResponseHead* response = nullptr;  // the upstream's, if it gave one; for Content-Type and the like
    BodySample request_body;                 // empty unless asked for
    BodySample response_body;

    Nanos total() const { return done - received; }
    // What the gateway cost: the time up to the first byte to the client, less the upstream's own.
    Nanos added() const;
};

// A request that never reached decide(), or a connection that never became a request.
struct EarlyRefusal {
    std::string_view reason;  // one of kReason… of http/reasons.hpp
    int status = 0;           // sent to the client; 0: closed without an answer (TLS failures)
    IpAddress peer;
    IpAddress client;  // as far as known: else the peer
    bool via_trusted_proxy = false;
    bool tls = false;
    std::string_view method;  // empty if not known
    Nanos received = 0;       // when it was refused
};

class Application {
  public:
    virtual ~Application() = default;

    // For each connection, before its first request is decided.
    virtual std::unique_ptr<ExchangeState> make_state() = 0;

    // The proxies whose word about a client's address is believed, as the live policy has it. Asked for each
    // connection and each request; the reference is used before the next call only.
    virtual const PrefixSet& trusted_proxies() = 0;

    // Judges one request. `decision` comes in cleared: kind kForward, nothing added.
    //
    // It does not block. With kWait the data path parks the request, reading nothing more from its client, and calls
    // again with the same request and state when the ticket is used.
    virtual void decide(const RequestHead& request, ExchangeState& state, Decision& decision) = 0;

    // The upstream, or the gateway in its place, has answered in full; the response's last byte is still to go to the
    // client. Whoever asks again when it has that byte must find what this request held given back. At most once, and not
    // for what is cut off or was a tunnel: finished() follows in any case.
    virtual void answered(ExchangeState& /*state*/) {}

    // Exactly once for every request that reached decide().
    virtual void finished(const RequestHead& request, ExchangeState& state, const Outcome& outcome) = 0;

    virtual void refused_early(const EarlyRefusal& refusal) = 0;
};

// The worker an Application runs on.
class WorkerContext {
  public:
    virtual ~WorkerContext() = default;
    // 0 … workers − 1.
    virtual unsigned index() const = 0;
    // Runs the task on the worker's thread, soon. Any thread. Tasks posted after the worker has ended are
    // dropped.
    virtual void post(std::function<void()> task) = 0;
};

// Called by GatewayServer::start() on the caller's thread, once for each worker, before the worker runs. The
// context outlives the Application. Applications are destroyed by the thread that stops the server, after the
// workers have ended.
using ApplicationFactory = std::function<std::unique_ptr<Application>(WorkerContext&)>;

}  // namespace sluice::http
