// The admin API's HTTP server: a unix socket whose callers are known by their peer credentials, and
// optionally TCP with bearer tokens, plain or TLS. Not a hot path: coroutines on one io_context, the control
// thread's.
//
// TCP needs a token for everything but the routes of Role::kNone. Browsers never add an Authorization header
// of their own accord, so a foreign page can neither read nor change anything; as a second line a request
// whose Origin is not its Host is refused, and `allowed_hosts` may pin the Host.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"
#include "base/result.hpp"
#include "http/router.hpp"

namespace sluice::http {

struct AdminServerOptions {
    std::string socket;           // path; empty: none
    std::string socket_group;     // name of the group that may use it; empty: the daemon's own
    std::string listen;           // "127.0.0.1:9900", "[::1]:9900"; empty: no TCP
    std::string tokens_file;      // required with `listen`
    std::string tls_certificate;  // PEM chain; with tls_key: TLS 1.2 or newer
    std::string tls_key;
    // Host names TCP answers to, without port; empty: any, which is safe as long as nothing is done without a bearer
    // token: a page that rebinds its name to this address has none to send.
    std::vector<std::string> allowed_hosts;
    std::size_t max_body_bytes = 1'048'576;  // a policy may be that large
    std::size_t max_header_bytes = 8'192;
    std::size_t max_connections = 64;  // of each of the two doors, so that TCP cannot shut out the socket
    std::size_t max_connections_per_peer = 16;  // of TCP: IPv4 address or IPv6 /64
    Nanos stranger_deadline =
        2 * kSecond;                    // on TCP, until a token was shown: for the handshake, for each header
    Nanos read_deadline = 5 * kSecond;  // for a whole request, from its first byte
    Nanos idle_deadline = 60 * kSecond;   // between two requests
    Nanos heartbeat = 15 * kSecond;       // of streams
    Nanos write_deadline = 10 * kSecond;  // for each piece of an answer
    // Told when the tokens file changed but cannot be used; the old tokens stay valid until it can. May be
    // empty.
    std::function<void(const Error&)> on_error;
};

// Someone was not let in. There may be as many as someone cares to send: aggregate before logging.
struct AdminDenied {
    enum class Reason : std::uint8_t {
        kNoToken,
        kBadToken,
        kTooManyBadTokens,
        kRole,
        kPeer,
        kOrigin,
        kAmbiguous
    };
    Reason reason = Reason::kNoToken;
    Caller caller;
    std::string method;
    std::string path;  // "" if there is no such endpoint: what strangers make up is not worth a record
};
std::string_view to_string(AdminDenied::Reason reason);

class AdminServer {
  public:
    // Opens the doors; requests are served as soon as the executor runs, which must be single-threaded. A
    // stale socket file is replaced; one that answers, or a path that is no socket, is refused. `on_denied`
    // may be empty.
    static Result<std::unique_ptr<AdminServer>> open(boost::asio::any_io_executor executor,
                                                     AdminServerOptions options, Router router,
                                                     std::function<void(const AdminDenied&)> on_denied);
    // Closes everything and removes the socket file. On the executor's thread, or when it no longer runs.
    ~AdminServer();

    // Reads the TLS files again; connections accepted from now on use them. On an error the old ones stay. On the
    // executor's thread.
    Result<> reload_tls();

    // The TCP port in use, when `listen` asked for port 0; 0: no TCP.
    std::uint16_t port() const;

  private:
    class Impl;
    explicit AdminServer(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace sluice::http
