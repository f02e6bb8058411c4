// The daemon's admin API as sluicectl sees it: one blocking request at a time, over the Unix socket or over
// TCP.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace sluice {

// Where the daemon listens. A URL, if there is one, goes before the socket.
struct ApiEndpoint {
    std::string socket_path = "/run/sluice/admin.sock";
    std::string url;      // "http://host:port" or "https://host:port"; IPv6 in brackets
    std::string token;    // bearer token; empty: none is sent
    std::string ca_file;  // trusted besides the system's certificates; empty: none

    // "/run/sluice/admin.sock" or the URL, for messages.
    const std::string& name() const { return url.empty() ? socket_path : url; }
};

struct ApiRequest {
    std::string method = "GET";
    std::string target;  // percent-encoded path and query
    std::string body;    // JSON; empty: none is sent
};

struct ApiResponse {
    unsigned status = 0;
    std::string body;
};

// One segment of a path, or a value in a query, percent-encoded: all but RFC 3986's unreserved characters.
std::string percent_encoded(std::string_view text);

class ApiClient {
  public:
    explicit ApiClient(ApiEndpoint endpoint) : endpoint_(std::move(endpoint)) {}

    // The answer, whatever its status. Errors: kUnavailable (nobody answers, or not within 30 s),
    // kNotPermitted (the socket may not be opened), kInvalid (the URL or the certificate authority's file is
    // no such thing).
    Result<ApiResponse> send(const ApiRequest& request) const;

    // Hands the body over as it comes in, until on_chunk says false (then: an answer without body) or the
    // daemon ends it (kUnavailable). An answer that is not 2xx is returned whole and on_chunk is not called.
    Result<ApiResponse> stream(const ApiRequest& request,
                               const std::function<bool(std::string_view chunk)>& on_chunk) const;

    // The same for an answer that has an end, which is success; so is SIGINT, which ends it early.
    Result<ApiResponse> download(const ApiRequest& request,
                                 const std::function<bool(std::string_view chunk)>& on_chunk) const;

    const ApiEndpoint& endpoint() const { return endpoint_; }

  private:
    ApiEndpoint endpoint_;
};

}  // namespace sluice
