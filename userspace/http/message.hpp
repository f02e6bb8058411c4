// HTTP/1 message heads, read strictly: whatever two implementations are known to read differently is refused,
// so that nothing can be smuggled past the gateway (RFC 9112, and the attacks published since). Pure.
//
// Beast's parser is not used: it accepts several of the forms refused here (RFC 9112 §11.2 lists why that
// matters), and a head that is complete in one contiguous buffer needs no incremental parser.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "http/application.hpp"
#include "http/fields.hpp"

namespace sluice::http {

// Why a message is refused; status 0: it is not.
struct Refusal {
    int status = 0;
    std::string_view reason;  // http/reasons.hpp
    std::string detail;       // for people

    explicit operator bool() const { return status != 0; }
};

// Looks for the end of a head in a buffer that grows.
class HeadScanner {
  public:
    enum class State : std::uint8_t { kIncomplete, kComplete, kBadLine };

    // `buffer` begins with what the last call saw. A line that does not end in CR LF is kBadLine at once.
    State scan(std::string_view buffer);
    // Bytes of the head, the empty line included. After kComplete.
    std::size_t length() const { return line_; }
    void reset() { *this = HeadScanner{}; }

  private:
    std::size_t line_ = 0;     // where the line being looked at begins
    std::size_t scanned_ = 0;  // no '\n' from line_ up to here
};

// How a request's body is delimited and what else of its head concerns only the connection.
struct RequestFraming {
    std::string_view target;  // as sent
    bool chunked = false;
    std::uint64_t length = 0;      // body bytes if not chunked
    bool keep_alive = true;        // the client may send another request
    bool expect_continue = false;  // the client waits for 100 before its body
};

// Parses a complete head (as HeadScanner delimits it) into `head`: method, version, fields (ids and hop marks
// set), host, body and upgrade. Not: path, query, addresses. Views point into `text`.
Refusal parse_request_head(std::string_view text, std::size_t max_fields, RequestHead& head,
                           RequestFraming& framing);

struct ResponseFraming {
    enum class Body : std::uint8_t { kNone, kLength, kChunked, kUntilClose };

    Body body = Body::kNone;
    std::uint64_t length = 0;
    bool keep_alive = true;  // the upstream connection may be used again
    bool upgrade = false;    // 101 to WebSocket
};

// As above, for an upstream's response to a request of `method`. The refusal's status is 502.
Refusal parse_response_head(std::string_view text, std::size_t max_fields, std::string_view method,
                            ResponseHead& head, ResponseFraming& framing);

}  // namespace sluice::http
