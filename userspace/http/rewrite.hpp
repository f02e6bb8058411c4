// Messages as the gateway writes them: always made anew from the parsed form, never passed on as they came,
// so that what the next server reads is what was judged here. Pure: text is appended to a string-like buffer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/application.hpp"
#include "http/buffer.hpp"
#include "http/message.hpp"

namespace sluice::http {

// The request as it goes upstream: canonical path, end-to-end fields only, one Host, its own delimiting.
//
// X-Forwarded-For: what a trusted hop said, plus `hop_text` (that hop); from an untrusted peer only
// `hop_text`. X-Forwarded-Proto: a trusted hop's, else what the peer used. Forwarded, X-Real-IP and any other
// X-Forwarded-… field goes on only if it came from a trusted hop. Expect ends here: the gateway has answered
// it.
void write_request_head(const RequestHead& request, const RequestFraming& framing, std::string_view hop_text,
                        bool hop_is_trusted, const AddedFields& added, Buffer& out);

// What the response to the client looks like beyond the upstream's head.
struct ResponseShape {
    bool chunked = false;    // the body is sent in chunks of ours
    bool keep_alive = true;  // the client's connection stays open
    int client_minor = 1;    // its version: 1.0 must be told that it stays open
    bool upgrade = false;    // 101
};
void write_response_head(const ResponseHead& response, const ResponseShape& shape, const AddedFields& added,
                         Buffer& out);

// A complete response of the gateway's or the application's own. `date_line` is "Date: …\r\n"; without
// `with_body` (HEAD) only the head is written.
void write_reply(int status, const AddedFields& fields, std::string_view body, bool with_body,
                 bool keep_alive, int client_minor, std::string_view date_line, Buffer& out);

// RFC 9457: the body of the gateway's own refusals. `reason` is a word of http/reasons.hpp.
std::string problem_body(int status, std::string_view reason, std::string_view detail);

// One chunk's framing around `data`: at most kChunkOverhead more bytes than the data.
inline constexpr std::size_t kChunkOverhead = 2 * sizeof(std::uint64_t) + 4;
void write_chunk(std::string_view data, Buffer& out);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace sluice::http
