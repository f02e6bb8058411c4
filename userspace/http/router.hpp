// The admin API's table of endpoints: method, path, role, handler; dispatched in one place. Knows no socket.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "http/token_auth.hpp"

namespace sluice::http {

// Who asks.
struct Caller {
    Role role = Role::kNone;
    std::string name;     // "root", or the token's name; empty: nobody known
    std::string how;      // "unix socket, uid 0", "token from 192.0.2.1"
    std::string address;  // the peer's IP address; empty on the unix socket
};

struct AdminRequest {
    using Values = std::map<std::string, std::string, std::less<>>;

    std::string method;
    std::string path;  // as sent, without the query
    Values params;     // of {name} in the pattern, percent-decoded
    Values query;      // percent-decoded; of a key given twice the first
    std::string body;
    std::string content_type;
    std::string last_event_id;  // server-sent events
    Caller caller;

    // "" when there is none.
    std::string_view param(std::string_view name) const;
    std::string_view query_value(std::string_view name) const;
};

// A body that comes in pieces: server-sent events, a capture. Functions are called on the server's thread;
// `wake`, which on_ready is given once, may be called from any thread, also after the client has gone. The
// body is dropped as soon as it has.
struct StreamBody {
    std::function<void(std::string& out)> take;  // appends what waits
    std::function<void(std::function<void()> wake)> on_ready;
    // Asked when there is nothing to take: true ends the answer. Empty: it has no end.
    std::function<bool()> over = {};
    // Sent every 15 s in which there is nothing to take, so that a peer that vanished is noticed; by default
    // a comment among events. Empty: none.
    std::string_view heartbeat = ": heartbeat\n\n";
};

struct AdminResponse {
    int status = 200;
    std::string content_type = "application/json";
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
    std::optional<StreamBody> stream;  // instead of the body

    static AdminResponse json(std::string text, int status = 200);
    static AdminResponse text(std::string text, std::string_view content_type, int status = 200);
    static AdminResponse events(StreamBody body);
    static AdminResponse streamed(StreamBody body, std::string_view content_type);
    // RFC 9457 problem+json: {"type":"about:blank","title","status","detail"}.
    static AdminResponse problem(int status, std::string_view detail);
    // The same with the status of the code: 400, 404, 409, 403, 503, 507, 501, 500.
    static AdminResponse problem(const Error& error);
};

// Runs on the server's thread, so it may use what that thread owns and must not block.
using AdminHandler = std::function<AdminResponse(const AdminRequest&)>;

struct AdminRoute {
    std::string_view method;   // "GET" (answers HEAD too), "POST", …
    std::string_view pattern;  // "/v1/bans/{source}": a {name} is one segment
    Role role = Role::kAdmin;  // at least; kNone: anyone who can connect
    AdminHandler handler;
};

class Router {
  public:
    explicit Router(std::vector<AdminRoute> routes);

    struct Match {
        const AdminRoute* route = nullptr;
        AdminRequest::Values params;
        std::string allow;  // if a route has the path but not the method: the methods it has, "GET, POST"
    };
    Match match(std::string_view method, std::string_view path) const;

    // What keeps the caller from the target: 401 without a role (also where there is no such path, so that
    // nothing can be probed), 404, 405, 403. Nullopt: nothing does. The body need not have been read.
    std::optional<AdminResponse> refusal(const Match& match, const Caller& caller) const;

    // refusal(), or the handler's answer. An exception of a handler becomes a 500 that does not tell it.
    AdminResponse dispatch(AdminRequest request) const;

  private:
    std::vector<AdminRoute> routes_;
};

// Not http/path.hpp, which is the gateway's: the admin API has no application behind it to agree with.
// Splits "/path?query" into the path and decoded pairs; nullopt: not a path, or a bad percent escape.
struct AdminTarget {
    std::string path;
    AdminRequest::Values query;
};
std::optional<AdminTarget> parse_admin_target(std::string_view target);

}  // namespace sluice::http
