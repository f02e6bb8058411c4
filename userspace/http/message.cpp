#include "http/message.hpp"

#include <cstring>
#include <optional>

#include "http/characters.hpp"
#include "http/reasons.hpp"

namespace sluice::http {
namespace {

constexpr std::size_t kMaxMethod = 32;

Refusal malformed(std::string_view detail) {
    return {400, kReasonMalformed, std::string{detail}};
}
Refusal conflicting(std::string_view detail) {
    return {400, kReasonConflictingLength, std::string{detail}};
}

// Cuts the line up to CR LF off `text`, which ends in CR LF.
std::string_view take_line(std::string_view& text) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end - 1);
    text.remove_prefix(end + 1);
    return line;
}

// What fields of both kinds of message tell about delimiting and the connection.
struct Common {
    std::optional<std::uint64_t> length;
    bool chunked = false;
    bool close = false;
    bool keep_alive = false;
    bool upgrade = false;  // Connection names it
    std::size_t hosts = 0;
    std::string_view host;
    std::size_t upgrades = 0;
    std::string_view upgrade_to;
    std::size_t expects = 0;
    std::string_view expect;
};

// 1 … 18 digits, so that no sum of two overflows.
std::optional<std::uint64_t> parse_length(std::string_view text) {
    if (text.empty() || text.size() > 18 || !all(text, kDigit)) return std::nullopt;
    std::uint64_t value = 0;
    for (const char c : text) value = value * 10 + hex_value(c);
    return value;
}

Refusal note_framing(const Field& field, Common& common) {
    switch (field.id) {
        case FieldId::kContentLength:
            if (common.length) return conflicting("more than one Content-Length");
            common.length = parse_length(field.value);
            if (!common.length) return conflicting("Content-Length is not a number");
            break;
        case FieldId::kTransferEncoding:
            if (common.chunked) return conflicting("more than one Transfer-Encoding");
            if (!equal_ignoring_case(field.value, "chunked")) {
                return conflicting("Transfer-Encoding other than chunked");
            }
            common.chunked = true;
            break;
        case FieldId::kHost:
            ++common.hosts;
            common.host = field.value;
            break;
        case FieldId::kUpgrade:
            ++common.upgrades;
            common.upgrade_to = field.value;
            break;
        case FieldId::kExpect:
            ++common.expects;
            common.expect = field.value;
            break;
        default:
            break;
    }
    return {};
}

Refusal parse_field(std::string_view line, Fields& fields, Common& common) {
    if (line.front() == ' ' || line.front() == '\t') return malformed("folded header line");
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return malformed("header line without ':'");
    const std::string_view name = line.substr(0, colon);
    if (name.empty() || !all(name, kTokenChar))
        return malformed("header name with a character that is not allowed");
    const std::string_view value = trim(line.substr(colon + 1));
    if (!all(value, kFieldValueChar)) return malformed("header value with a control character");
    fields.add(name, value);
    const Field& field = fields.all().back();
    if (field.id == FieldId::kOther) return {};
    if (name.find('_') != std::string_view::npos)
        return malformed("header name spelled with '_' in place of '-'");
    return note_framing(field, common);
}

// Reads every Connection field: the known options, and the names of fields that end here.
Refusal apply_connection(Fields& fields, Common& common) {
    for (const Field& field : fields) {
        if (field.id != FieldId::kConnection) continue;
        std::string_view rest = field.value;
        while (!rest.empty()) {
            const std::size_t comma = std::min(rest.find(','), rest.size());
            const std::string_view option = trim(rest.substr(0, comma));
            rest.remove_prefix(std::min(comma + 1, rest.size()));
            if (option.empty()) continue;
            if (!all(option, kTokenChar)) return malformed("Connection names something that is no token");
            if (equal_ignoring_case(option, "close")) {
                common.close = true;
            } else if (equal_ignoring_case(option, "keep-alive")) {
                common.keep_alive = true;
            } else if (equal_ignoring_case(option, "upgrade")) {
                common.upgrade = true;
            } else {
                const FieldId id = field_id(option);
                if (id == FieldId::kHost || id == FieldId::kContentLength ||
                    id == FieldId::kTransferEncoding) {
                    return malformed("Connection names a field that delimits or routes the message");
                }
                for (Field& named : fields.all()) {
                    if (equal_ignoring_case(named.name, option)) named.hop = true;
                }
            }
        }
    }
    for (Field& field : fields.all()) {
        field.hop = field.hop || field.id == FieldId::kConnection || field.id == FieldId::kHopByHop ||
                    field.id == FieldId::kUpgrade || field.id == FieldId::kTransferEncoding;
    }
    return {};
}

Refusal parse_fields(std::string_view text, std::size_t max_fields, Fields& fields, Common& common) {
    fields.clear();
    bool connection = false;
    while (true) {
        const std::string_view line = take_line(text);
        if (line.empty()) break;
        if (fields.size() == max_fields) {
            return {431, kReasonHeaderTooLarge, "more than " + std::to_string(max_fields) + " header fields"};
        }
        if (auto refusal = parse_field(line, fields, common)) return refusal;
        connection = connection || fields.all().back().id != FieldId::kOther;
    }
    if (connection) {
        if (auto refusal = apply_connection(fields, common)) return refusal;
    }
    if (common.length && common.chunked) return conflicting("both Content-Length and Transfer-Encoding");
    return {};
}

// "HTTP/1.0" and "HTTP/1.1" only; gives the minor version.
Refusal parse_version(std::string_view version, int& minor) {
    if (version.size() != 8 || version.substr(0, 5) != "HTTP/" || !is(version[5], kDigit) ||
        version[6] != '.' || !is(version[7], kDigit)) {
        return malformed("no HTTP version at the end of the request line");
    }
    if (version[5] != '1' || version[7] > '1')
        return {505, kReasonVersion, "only HTTP/1.0 and HTTP/1.1 are spoken"};
    minor = version[7] - '0';
    return {};
}

Refusal parse_request_line(std::string_view line, RequestHead& head, RequestFraming& framing) {
    const std::size_t first = line.find(' ');
    const std::size_t last = line.rfind(' ');
    if (first == std::string_view::npos || first == last)
        return malformed("request line is not METHOD TARGET VERSION");
    head.method = line.substr(0, first);
    framing.target = line.substr(first + 1, last - first - 1);
    if (head.method.empty() || head.method.size() > kMaxMethod || !all(head.method, kTokenChar)) {
        return malformed("method is not a token");
    }
    if (framing.target.empty() || framing.target.find_first_of(" \t") != std::string_view::npos) {
        return malformed("request target is empty or has a blank");
    }
    if (auto refusal = parse_version(line.substr(last + 1), head.version_minor)) return refusal;
    if (head.method == "CONNECT" || head.method == "TRACE") {
        return {405, kReasonMethod, "CONNECT and TRACE are not forwarded"};
    }
    return {};
}

}  // namespace

HeadScanner::State HeadScanner::scan(std::string_view buffer) {
    while (true) {
        const std::size_t newline = buffer.find('\n', scanned_);
        if (newline == std::string_view::npos) {
            scanned_ = buffer.size();
            return State::kIncomplete;
        }
        if (newline == line_ || buffer[newline - 1] != '\r') return State::kBadLine;
        const bool empty = newline == line_ + 1;
        const bool first = line_ == 0;
        line_ = newline + 1;
        scanned_ = line_;
        if (empty) return first ? State::kBadLine : State::kComplete;
    }
}

Refusal parse_request_head(std::string_view text, std::size_t max_fields, RequestHead& head,
                           RequestFraming& framing) {
    framing = {};
    Common common;
    if (auto refusal = parse_request_line(take_line(text), head, framing)) return refusal;
    if (auto refusal = parse_fields(text, max_fields, head.fields, common)) return refusal;
    if (common.hosts > 1) return {400, kReasonBadHost, "more than one Host"};
    // Only HTTP/1.1 demands one (RFC 9112 §3.2); it goes on as the empty Host that stands for "none".
    if (common.hosts == 0 && head.version_minor == 1) return {400, kReasonBadHost, "no Host"};
    if (common.hosts == 1 && (common.host.empty() || !all(common.host, kHostChar)))
        return {400, kReasonBadHost, "Host is not a host"};
    head.host = common.host;
    if (common.chunked && head.version_minor == 0) return conflicting("Transfer-Encoding in HTTP/1.0");
    framing.chunked = common.chunked;
    framing.length = common.length.value_or(0);
    framing.keep_alive = !common.close && (head.version_minor == 1 || common.keep_alive);
    head.has_body = common.chunked || framing.length > 0;
    head.content_length = common.length;
    if (common.expects > 0) {
        if (common.expects > 1 || !equal_ignoring_case(common.expect, "100-continue")) {
            return {417, kReasonExpectation, "Expect other than 100-continue"};
        }
        framing.expect_continue = head.version_minor == 1 && head.has_body;
    }
    // Any other protocol (h2c above all) would carry requests that nobody limits: the fields end here, and
    // the request is served as HTTP/1.
    head.upgrade = common.upgrade && common.upgrades == 1 &&
                   equal_ignoring_case(common.upgrade_to, "websocket") && head.method == "GET" &&
                   head.version_minor == 1 && !head.has_body;
    return {};
}

Refusal parse_response_head(std::string_view text, std::size_t max_fields, std::string_view method,
                            ResponseHead& head, ResponseFraming& framing) {
    framing = {};
    const auto bad = [](std::string detail) {
        return Refusal{502, kReasonUpstreamMalformed, std::move(detail)};
    };
    const std::string_view line = take_line(text);
    const std::string_view code = line.substr(0, 12).substr(std::min<std::size_t>(9, line.size()));
    if (line.size() < 12 || parse_version(line.substr(0, 8), head.version_minor) || line[8] != ' ' ||
        !all(code, kDigit) || code.front() == '0' || code.front() > '5' ||
        (line.size() > 12 && line[12] != ' ')) {
        return bad("bad status line");
    }
    head.status = static_cast<int>(hex_value(code[0]) * 100 + hex_value(code[1]) * 10 + hex_value(code[2]));
    head.reason = line.size() > 13 ? line.substr(13) : std::string_view{};
    if (!all(head.reason, kFieldValueChar)) return bad("control character in the status line");
    Common common;
    if (auto refusal = parse_fields(text, max_fields, head.fields, common))
        return bad(std::move(refusal.detail));
    if (common.chunked && head.version_minor == 0) return bad("Transfer-Encoding in HTTP/1.0");
    framing.keep_alive = !common.close && (head.version_minor == 1 || common.keep_alive);
    framing.upgrade = head.status == 101 && common.upgrade && common.upgrades == 1 &&
                      equal_ignoring_case(common.upgrade_to, "websocket");
    using Body = ResponseFraming::Body;
    if (method == "HEAD" || head.status < 200 || head.status == 204 || head.status == 304) {
        framing.body = Body::kNone;
    } else if (common.chunked) {
        framing.body = Body::kChunked;
    } else if (common.length) {
        framing.body = *common.length > 0 ? Body::kLength : Body::kNone;
        framing.length = *common.length;
    } else {
        framing.body = Body::kUntilClose;
        framing.keep_alive = false;
    }
    return {};
}

}  // namespace sluice::http
