// The gateway: accepts, reads, asks the application, forwards. N worker threads that share nothing but
// listening ports.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "http/application.hpp"
#include "http/endpoint.hpp"

namespace sluice::http {

struct TlsFiles {
    std::string certificate;  // PEM chain, leaf first
    std::string key;          // PEM, without a passphrase
};

// Sealed at start.
struct GatewayConfig {
    std::vector<Endpoint> listen;    // at least one; TCP
    std::vector<Endpoint> upstream;  // at least one; taken in turn
    std::optional<TlsFiles> tls;     // all listeners, TLS 1.2 and 1.3
    unsigned workers = 1;            // 1 … 256

    std::size_t max_header_bytes = 16 * 1024;  // 431; also of upstream responses (502). 1 KiB … 1 MiB
    std::size_t max_header_fields = 100;       // 431
    std::uint64_t max_body_bytes = 64ULL * 1024 * 1024;  // 413
    std::size_t max_connections_per_worker = 10'000;     // 503
    // Of one IPv4 address or IPv6 /64, over all workers, trusted proxies excepted: 503. 0: no bound.
    std::size_t max_connections_per_source = 1024;
    std::size_t max_idle_upstream_per_worker = 256;  // kept for reuse; more are closed

    Nanos header_deadline =
        10 * kSecond;                    // from accept or a request's first byte to the end of its head: 408
    Nanos idle_deadline = 60 * kSecond;  // keep-alive connection between requests: closed silently
    Nanos body_deadline = 30 * kSecond;  // no byte of an announced body: 408
    // A body may keep the gateway waiting for body_deadline in all and a second for each so many bytes that have
    // come: 408. Only time spent waiting for the client counts. 0: no least rate. Apache's mod_reqtimeout demands
    // 500, Kestrel 240.
    std::uint64_t body_min_bytes_per_s = 500;
    Nanos write_deadline = 30 * kSecond;     // the client reads nothing of its answer: closed
    Nanos connect_deadline = 3 * kSecond;    // for one upstream; then the next is tried, then 502
    Nanos response_deadline = 60 * kSecond;  // from request sent to response head: 504
    Nanos response_gap_deadline =
        300 * kSecond;                      // silence within a response; generous, for server-sent events
    Nanos tunnel_deadline = 600 * kSecond;  // WebSocket without a byte either way
    Nanos upstream_idle_deadline = 4 * kSecond;  // kept for reuse; below uvicorn's keep-alive of 5 s
    Nanos upstream_skip = 2 * kSecond;  // an upstream that refused a connection is passed over this long
};

// Sums over all workers, since start unless said otherwise.
struct GatewayStats {
    std::uint64_t accepted = 0;
    std::uint64_t open = 0;      // now
    std::uint64_t requests = 0;  // heads that reached decide()
    std::uint64_t refused_early = 0;
    std::uint64_t refused_sources = 0;  // of these, connections beyond max_connections_per_source
    std::uint64_t upstream_connects = 0;
    std::uint64_t upstream_failures = 0;  // connections refused or timed out
    std::uint64_t upstream_reuses = 0;
    std::uint64_t upstream_open = 0;  // now, idle ones included
    std::uint64_t upstream_idle = 0;  // now
    std::uint64_t tunnels = 0;        // now
};

class GatewayServer {
  public:
    GatewayServer(GatewayConfig config, ApplicationFactory make_application);
    ~GatewayServer();  // stop()
    GatewayServer(const GatewayServer&) = delete;
    GatewayServer& operator=(const GatewayServer&) = delete;

    // Checks the config, binds every listener, loads TLS files, starts the workers. Once. On error nothing
    // runs.
    Result<> start();

    // Where it listens, in the order of the config, real ports in place of 0. After start().
    std::vector<Endpoint> listening() const;

    // Reads the TLS files again; connections accepted from now on use them. On error the old ones stay. Any
    // thread.
    Result<> reload_tls();

    // Stops accepting at once, closes idle connections, lets exchanges in progress end (their answers say
    // "Connection: close"), until none is left or `patience` nanoseconds have passed; then stops. Blocks the
    // caller. Returns how many connections had to be cut off. Then, as after stop(), the server is over.
    std::size_t drain(Nanos patience);

    // Cuts every connection off and joins the workers. May be called twice.
    void stop();

    // Any thread.
    GatewayStats stats() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::http
