// Why the data path itself refused or gave up a request: the words that logs and metrics use, each once.
#pragma once

#include <string_view>

namespace sluice::http {

// Before decide(): EarlyRefusal::reason.
inline constexpr std::string_view kReasonMalformed = "malformed_request";           // 400
inline constexpr std::string_view kReasonAmbiguousPath = "ambiguous_path";          // 400
inline constexpr std::string_view kReasonConflictingLength = "conflicting_length";  // 400
inline constexpr std::string_view kReasonBadHost = "bad_host";                      // 400
inline constexpr std::string_view kReasonBadProxyHeader = "bad_proxy_header";       // 400: PROXY protocol
inline constexpr std::string_view kReasonMethod = "method_not_allowed";             // 405: CONNECT, TRACE
inline constexpr std::string_view kReasonVersion = "version_not_supported";         // 505
inline constexpr std::string_view kReasonExpectation = "expectation_failed";        // 417
inline constexpr std::string_view kReasonHeaderDeadline = "header_deadline";        // 408
inline constexpr std::string_view kReasonHeaderTooLarge = "header_too_large";       // 431
inline constexpr std::string_view kReasonBodyTooLarge = "body_too_large";  // 413; chunked: after decide()
inline constexpr std::string_view kReasonTooManyConnections = "too_many_connections";           // 503
inline constexpr std::string_view kReasonSourceConnections = "too_many_connections_of_source";  // 503
inline constexpr std::string_view kReasonTlsHandshake = "tls_handshake";                        // no answer

// After decide(): Outcome::reason.
inline constexpr std::string_view kReasonBodyMalformed = "malformed_body";  // 400: bad chunk
inline constexpr std::string_view kReasonBodyDeadline =
    "body_deadline";  // 408: the client stopped sending its body
inline constexpr std::string_view kReasonClientGone = "client_gone";  // closed before its answer was complete
inline constexpr std::string_view kReasonClientStalled = "client_stalled";  // did not read its answer
inline constexpr std::string_view kReasonUpstreamConnect =
    "upstream_connect";  // 502: no upstream took the connection
inline constexpr std::string_view kReasonUpstreamClosed = "upstream_closed";  // 502: closed before a response
inline constexpr std::string_view kReasonUpstreamMalformed = "upstream_malformed";  // 502: not valid HTTP/1
inline constexpr std::string_view kReasonUpstreamDeadline = "upstream_deadline";  // 504: no response in time
inline constexpr std::string_view kReasonUpstreamAborted = "upstream_aborted";    // response cut off midway
inline constexpr std::string_view kReasonTunnelIdle = "tunnel_idle";              // WebSocket without traffic
inline constexpr std::string_view kReasonDrained = "drained";  // cut off at the drain deadline

}  // namespace sluice::http
