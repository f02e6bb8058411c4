#include "http/rewrite.hpp"
#include "http/reason_phrase.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "http/characters.hpp"

namespace sluice::http {
namespace {

void put(Buffer& out, std::initializer_list<std::string_view> parts) {
    std::size_t bytes = 0;
    for (const auto part : parts) bytes += part.size();
    char* to = out.reserve(bytes);
    for (const auto part : parts) to = std::copy(part.begin(), part.end(), to);
    out.commit(bytes);
}

class Number {
  public:
    explicit Number(std::uint64_t value, int base = 10) {
        end_ = std::to_chars(text_.data(), text_.data() + text_.size(), value, base).ptr;
    }
    operator std::string_view() const {
        return {text_.data(), static_cast<std::size_t>(end_ - text_.data())};
    }

  private:
    std::array<char, 24> text_{};
    char* end_;
};

void put_field(Buffer& out, const Field& field) {
    put(out, {field.name, ": ", field.value, "\r\n"});
}

void put_forwarded_for(const RequestHead& request, std::string_view hop_text, bool hop_is_trusted,
                       Buffer& out) {
    out.append("X-Forwarded-For: ");
    if (hop_is_trusted) {
        for (const Field& field : request.fields) {
            if (field.id == FieldId::kXForwardedFor && !field.value.empty()) put(out, {field.value, ", "});
        }
    }
    put(out, {hop_text, "\r\n"});
}

bool known_proto(std::string_view value) {
    return equal_ignoring_case(value, "http") || equal_ignoring_case(value, "https");
}

// Whether an end-to-end field of the request goes on as it is.
bool passes(const Field& field, bool hop_is_trusted) {
    if (field.hop) return false;
    switch (field.id) {
        case FieldId::kHost:
        case FieldId::kContentLength:
        case FieldId::kExpect:
        case FieldId::kXForwardedFor:
        case FieldId::kXForwardedProto:
            return false;  // written apart
        case FieldId::kForwardingHint:
            return hop_is_trusted;
        default:
            return true;
    }
}

}  // namespace

void write_request_head(const RequestHead& request, const RequestFraming& framing, std::string_view hop_text,
                        bool hop_is_trusted, const AddedFields& added, Buffer& out) {
    put(out, {request.method, " ", request.path});
    if (request.has_query) put(out, {"?", request.query});
    put(out, {" HTTP/1.1\r\nHost: ", request.host, "\r\n"});
    std::string_view proto = request.tls ? "https" : "http";
    for (const Field& field : request.fields) {
        if (passes(field, hop_is_trusted) && !added.replaces(field.name)) put_field(out, field);
        if (hop_is_trusted && field.id == FieldId::kXForwardedProto && known_proto(field.value))
            proto = field.value;
    }
    put_forwarded_for(request, hop_text, hop_is_trusted, out);
    put(out, {"X-Forwarded-Proto: ", proto, "\r\n", added.lines()});
    if (framing.chunked) {
        out.append("Transfer-Encoding: chunked\r\n");
    } else if (request.content_length) {
        put(out, {"Content-Length: ", Number{framing.length}, "\r\n"});
    }
    if (request.upgrade) out.append("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    out.append("\r\n");
}

void write_response_head(const ResponseHead& response, const ResponseShape& shape, const AddedFields& added,
                         Buffer& out) {
    put(out,
        {"HTTP/1.1 ", Number{static_cast<std::uint64_t>(response.status)}, " ", response.reason, "\r\n"});
    const bool never_has_body = response.status < 200 || response.status == 204;
    for (const Field& field : response.fields) {
        if (field.hop || added.replaces(field.name)) continue;
        if (field.id == FieldId::kContentLength && never_has_body) continue;
        put_field(out, field);
    }
    out.append(added.lines());
    if (shape.chunked) out.append("Transfer-Encoding: chunked\r\n");
    if (shape.upgrade) {
        out.append("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    } else if (!shape.keep_alive) {
        out.append("Connection: close\r\n");
    } else if (shape.client_minor == 0) {
        out.append("Connection: keep-alive\r\n");
    }
    out.append("\r\n");
}

void write_reply(int status, const AddedFields& fields, std::string_view body, bool with_body,
                 bool keep_alive, int client_minor, std::string_view date_line, Buffer& out) {
    std::string_view connection;
    if (!keep_alive) {
        connection = "Connection: close\r\n";
    } else if (client_minor == 0) {
        connection = "Connection: keep-alive\r\n";
    }
    put(out, {"HTTP/1.1 ", Number{static_cast<std::uint64_t>(status)}, " ", reason_phrase(status), "\r\n",
              date_line, fields.lines(), connection});
    if (status == 204 || status == 304) {
        out.append("\r\n");
    } else {
        put(out, {"Content-Length: ", Number{body.size()}, "\r\n\r\n", with_body ? body : ""});
    }
}

std::string problem_body(int status, std::string_view reason, std::string_view detail) {
    // Reasons, phrases and details are our own words: nothing in them needs escaping but quotes.
    std::string body = R"({"type":"about:blank","title":")";
    body.append(reason_phrase(status)).append(R"(","status":)").append(std::to_string(status));
    body.append(R"(,"reason":")").append(reason).append(R"(","detail":")");
    for (const char c : detail) {
        if (c == '"' || c == '\\') body.push_back('\\');
        body.push_back(c);
    }
    body.append("\"}\n");
    return body;
}

void write_chunk(std::string_view data, Buffer& out) {
    put(out, {Number{data.size(), 16}, "\r\n", data, "\r\n"});
}

}  // namespace sluice::http
