#include "http/session.hpp"

#include <sys/socket.h>

#include <array>
#include <utility>

#include "http/client_address.hpp"
#include "http/proxy_protocol.hpp"
#include "http/reasons.hpp"
#include "http/rewrite.hpp"
#include "http/worker.hpp"

namespace sluice::http {
namespace {

// Steps of one session before others get their turn: some 16 buffers full.
constexpr int kMaxStepsInARow = 32;
// What a client may still send after the last answer before the connection is closed under it.
constexpr std::size_t kMaxLingerBytes = 256 * 1024;

}  // namespace

Session::Session(Worker& worker, UniqueFd fd, const IpAddress& peer)
    : worker_(worker),
      client_(std::move(fd)),
      in_(worker.blocks()),
      client_out_(worker.blocks()),
      up_out_(worker.blocks()),
      peer_(peer),
      hop_(peer),
      hop_text_(peer.to_string()),
      timer_(*this) {
    forget_head();
}

Session::~Session() {
    unpark();
    if (deferred_) worker_.loop().cancel_deferred(*this);
}

void Session::start() {
    if (worker_.application().trusted_proxies().contains(peer_)) {
        phase_ = Phase::kProxyHeader;
    } else {
        after_proxy_header();
    }
    advance();
}

void Session::on_events(std::uint32_t events) {
    if (closed()) return;
    client_.note(events);
    const bool gone = (events & (EPOLLHUP | EPOLLERR)) != 0;
    if (gone && (phase_ == Phase::kExchange || phase_ == Phase::kTunnel)) {
        abort(kReasonClientGone);
    } else if (gone && phase_ != Phase::kLinger) {
        close();
    }
    advance();
}

void Session::on_upstream() {
    advance();
}

void Session::on_deferred() {
    deferred_ = false;
    advance();
}

void Session::advance() {
    bool moved = std::exchange(moved_, false);
    for (int steps = 0; !closed() && step(); ++steps) {
        moved = true;
        if (steps == kMaxStepsInARow) defer(EventLoop::Pass::kWork);
        if (deferred_) break;
    }
    if (closed()) return;
    if (deferred_) {
        moved_ = moved;
    } else {
        set_deadline(moved);
    }
}

void Session::defer(EventLoop::Pass pass) {
    if (deferred_) return;
    deferred_ = true;
    worker_.loop().defer(*this, pass);
}

bool Session::may_write() {
    if (worker_.loop().pass() == EventLoop::Pass::kWrite) return true;
    defer(EventLoop::Pass::kWrite);
    return false;
}

bool Session::step() {
    switch (phase_) {
        case Phase::kProxyHeader:
            return step_proxy_header();
        case Phase::kHandshake:
            return step_handshake();
        case Phase::kHead:
            return step_head();
        case Phase::kExchange:
            return step_exchange();
        case Phase::kTunnel:
            return step_tunnel();
        case Phase::kRefused:
            return step_refused();
        case Phase::kLinger:
            return step_linger();
        case Phase::kClosed:
            break;
    }
    return false;
}

bool Session::step_proxy_header() {
    if (!client_.readable()) return false;
    std::array<char, kMaxProxyHeaderBytes> bytes;
    const auto seen = client_.peek(bytes);
    if (seen.status == Stream::Status::kBlocked) return false;
    if (seen.status != Stream::Status::kOk) {
        close();
        return true;
    }
    const auto header = parse_proxy_header({reinterpret_cast<const std::uint8_t*>(bytes.data()), seen.bytes});
    switch (header.kind) {
        case ProxyHeader::Kind::kIncomplete:
            client_.wait_for_more();
            return false;
        case ProxyHeader::Kind::kInvalid:
            refuse_early({400, kReasonBadProxyHeader, "the PROXY protocol header is not valid"});
            return true;
        case ProxyHeader::Kind::kPresent:
            if (client_.read(std::span{bytes}.first(header.length)).bytes != header.length) {
                close();
                return true;
            }
            if (header.source) {
                hop_ = *header.source;
                hop_text_ = hop_.to_string();
                hop_was_told_ = true;
            }
            break;
        case ProxyHeader::Kind::kAbsent:
            break;
    }
    after_proxy_header();
    return true;
}

// What is known of a request before its head has been read.
void Session::forget_head() {
    scanner_.reset();
    head_.method = {};
    head_.client = hop_;
    head_.via_trusted_proxy = hop_was_told_;
}

void Session::after_proxy_header() {
    forget_head();
    phase_ = Phase::kHead;
    if (SSL_CTX* const context = worker_.tls()) {
        phase_ = Phase::kHandshake;
        if (!client_.start_tls(*context)) close();
    }
}

bool Session::step_handshake() {
    if (!client_.readable() && !client_.writable()) return false;
    const auto result = client_.handshake();
    switch (result.status) {
        case Stream::Status::kOk:
            phase_ = Phase::kHead;
            return true;
        case Stream::Status::kBlocked:
            return false;
        case Stream::Status::kFailed:
            refuse_early({0, kReasonTlsHandshake, {}});
            return true;
        case Stream::Status::kEnd:
            close();  // a probe of the port: nothing was asked
            return true;
    }
    return false;
}

bool Session::step_head() {
    switch (scanner_.scan(in_.data())) {
        case HeadScanner::State::kComplete:
            take_head(scanner_.length());
            return true;
        case HeadScanner::State::kBadLine:
            refuse_early({400, kReasonMalformed, "a line is empty or does not end in CR LF"});
            return true;
        case HeadScanner::State::kIncomplete:
            break;
    }
    if (in_.size() >= worker_.config().max_header_bytes) {
        refuse_early({431, kReasonHeaderTooLarge, "the header is longer than the limit"});
        return true;
    }
    if (!client_.readable()) return false;
    const auto got = client_.read(in_.space());
    if (got.status == Stream::Status::kOk) {
        in_.commit(got.bytes);
        if (worker_.loop().pass() == EventLoop::Pass::kRead) defer(EventLoop::Pass::kWork);
        return true;
    }
    if (got.status == Stream::Status::kBlocked) {
        in_.drop_if_empty();
        return false;
    }
    close();
    return true;
}

void Session::take_head(std::size_t length) {
    outcome_ = {};
    outcome_.received = worker_.loop().now();  // so that waiting behind others of this round counts as added
    if (length > worker_.config().max_header_bytes) {
        refuse_early({431, kReasonHeaderTooLarge, "the header is longer than the limit"});
        return;
    }
    const std::string_view text = in_.data().substr(0, length);
    auto refusal = parse_request_head(text, worker_.config().max_header_fields, head_, framing_);
    if (!refusal) refusal = check_head();
    if (refusal) {
        refuse_early(refusal);
        return;
    }
    in_.pin(length);
    begin_exchange();
}

// What is left to check and fill in of a head that is well-formed.
Refusal Session::check_head() {
    const PrefixSet& trusted = worker_.application().trusted_proxies();
    hop_is_trusted_ = trusted.contains(hop_);
    const ClientAddress client = resolve_client(hop_, head_.fields, trusted);
    head_.client = client.address;
    head_.peer = peer_;
    head_.via_trusted_proxy = client.via_trusted_proxy || hop_was_told_;
    head_.tls = client_.tls();
    if (const auto parsed = parse_target(head_.method, framing_.target, target_); !parsed) {
        return {400, kReasonAmbiguousPath, parsed.error().message};
    }
    if (head_.host.empty()) head_.host = target_.authority;
    if (!target_.authority.empty() && !equal_ignoring_case(target_.authority, head_.host)) {
        return {400, kReasonBadHost, "the target names another host than Host"};
    }
    head_.path = target_.path;
    head_.query = target_.query;
    head_.has_query = target_.has_query;
    if (framing_.length > worker_.config().max_body_bytes) {
        return {413, kReasonBodyTooLarge, "the body is longer than the limit"};
    }
    return {};
}

void Session::refuse_early(const Refusal& refusal) {
    EarlyRefusal early;
    early.reason = refusal.reason;
    early.status = refusal.status;
    early.peer = peer_;
    early.client = head_.client;
    early.via_trusted_proxy = head_.via_trusted_proxy;
    early.tls = client_.tls();
    early.method = head_.method;
    early.received = monotonic_now();
    worker_.mutable_counters().refused_early.add();
    worker_.application().refused_early(early);
    if (refusal.status == 0 || (worker_.tls() != nullptr && !client_.tls())) {
        close();
        return;
    }
    decision_.clear();
    decision_.response_fields.set("Content-Type", "application/problem+json");
    write_reply(refusal.status, decision_.response_fields,
                problem_body(refusal.status, refusal.reason, refusal.detail), true, false, 1,
                worker_.date_line(), client_out_);
    phase_ = Phase::kRefused;
}

bool Session::step_refused() {
    if (!client_out_.empty() && client_.writable() && !may_write()) return false;
    const bool moved = flush_client();
    if (phase_ == Phase::kRefused && client_out_.empty()) {
        close_politely(false);
        return true;
    }
    return moved;
}

// Writes what there is to the client. A client that is gone ends the session.
bool Session::flush_client() {
    bool moved = false;
    while (!client_out_.empty() && client_.writable()) {
        const auto sent = client_.write(client_out_.data());
        if (sent.status == Stream::Status::kBlocked) break;
        if (sent.status != Stream::Status::kOk) {
            if (phase_ == Phase::kRefused) {
                close();
            } else {
                abort(kReasonClientGone);
            }
            return true;
        }
        client_out_.consume(sent.bytes);
        moved = true;
        outcome_.done = monotonic_now();
        if (outcome_.response_started == 0 && outcome_.status != 0) outcome_.response_started = outcome_.done;
    }
    return moved;
}

// All is written. If the client may still be sending, closing now would reset the connection and could cost
// it the answer (RFC 9112 §9.6): its bytes are read for a while.
void Session::close_politely(bool request_was_read) {
    client_.shut_write();
    if (request_was_read && in_.empty() && !client_.readable()) {
        close();
        return;
    }
    in_.drop();
    client_out_.drop();
    phase_ = Phase::kLinger;
}

bool Session::step_linger() {
    if (!client_.readable()) return false;
    const auto got = client_.read(in_.space());
    if (got.status == Stream::Status::kBlocked) return false;
    lingered_bytes_ += got.bytes;
    if (got.status != Stream::Status::kOk || lingered_bytes_ > kMaxLingerBytes) close();
    return true;
}

void Session::close() {
    phase_ = Phase::kClosed;
    unpark();
    timer_.cancel();
    drop_upstream();
    client_.close();
    in_.drop();
    client_out_.drop();
    up_out_.drop();
    state_.reset();
    worker_.forget(*this);
}

void Session::drain() {
    if (closed()) return;
    const bool nothing_begun = phase_ == Phase::kProxyHeader || phase_ == Phase::kHandshake ||
                               (phase_ == Phase::kHead && in_.empty());
    if (nothing_begun) close();
}

void Session::cut() {
    if (closed()) return;
    if (phase_ == Phase::kExchange || phase_ == Phase::kTunnel) {
        abort(kReasonDrained);
    } else {
        close();
    }
}

Session::Wait Session::awaited() const {
    switch (phase_) {
        case Phase::kProxyHeader:
        case Phase::kHandshake:
            return Wait::kHeader;
        case Phase::kHead:
            return served_ && in_.empty() ? Wait::kIdle : Wait::kHeader;
        case Phase::kRefused:
            return Wait::kWrite;
        case Phase::kTunnel:
            return Wait::kTunnel;
        case Phase::kLinger:
            return Wait::kLinger;
        case Phase::kClosed:
            return Wait::kNone;
        case Phase::kExchange:
            break;
    }
    if (parked_) return Wait::kNone;  // the application has a deadline of its own
    if (!client_out_.empty()) return Wait::kWrite;
    if (upstream_ && !upstream_->connected) return Wait::kConnect;
    if (!request_done_ && up_out_.empty()) return Wait::kBody;
    if (response_ != ResponseState::kHead) return Wait::kGap;
    return request_done_ && up_out_.empty() ? Wait::kResponse : Wait::kSend;
}

// Bytes now and then must not buy a body more time than they are worth. Looked at when bytes come: silence has its
// own deadline.
bool Session::body_is_too_slow(Wait wait, Nanos now) {
    if (body_wait_began_ != 0) body_waited_ += now - body_wait_began_;
    body_wait_began_ = wait == Wait::kBody ? now : 0;
    const std::uint64_t rate = worker_.config().body_min_bytes_per_s;
    if (wait != Wait::kBody || rate == 0) return false;
    const Nanos earned = static_cast<Nanos>(outcome_.request_body_bytes / rate) * kSecond;
    return body_waited_ > worker_.config().body_deadline + earned;
}

void Session::set_deadline(bool moved) {
    const Wait wait = awaited();
    if ((wait == Wait::kBody || body_wait_began_ != 0) && body_is_too_slow(wait, worker_.loop().now())) {
        wait_ = Wait::kNone;
        end_wait(wait);
        advance();
        return;
    }
    const bool restarts =
        wait != Wait::kHeader && wait != Wait::kConnect && wait != Wait::kResponse && wait != Wait::kLinger;
    if (wait == wait_ && !(moved && restarts)) return;
    wait_ = wait;
    Deadlines& deadlines = worker_.deadlines();
    const Nanos now = worker_.loop().now();
    switch (wait) {
        case Wait::kNone:
            timer_.cancel();
            break;
        case Wait::kHeader:
            deadlines.header.arm(timer_, now);
            break;
        case Wait::kIdle:
            deadlines.idle.arm(timer_, now);
            break;
        case Wait::kBody:
            deadlines.body.arm(timer_, now);
            break;
        case Wait::kWrite:
            deadlines.write.arm(timer_, now);
            break;
        case Wait::kConnect:
            deadlines.connect.arm(timer_, now);
            break;
        case Wait::kSend:
        case Wait::kResponse:
            deadlines.response.arm(timer_, now);
            break;
        case Wait::kGap:
            deadlines.gap.arm(timer_, now);
            break;
        case Wait::kTunnel:
            deadlines.tunnel.arm(timer_, now);
            break;
        case Wait::kLinger:
            deadlines.linger.arm(timer_, now);
            break;
    }
}

void Session::on_deadline() {
    if (closed()) return;
    if (deferred_) {  // it has moved on since, and its deadline is set when it is called again
        wait_ = Wait::kNone;
        return;
    }
    const Wait wait = wait_;
    wait_ = Wait::kNone;
    end_wait(wait);
    advance();
}

void Session::end_wait(Wait wait) {
    switch (wait) {
        case Wait::kHeader:
            if (phase_ == Phase::kHandshake) {
                refuse_early({0, kReasonTlsHandshake, {}});
            } else if (in_.empty()) {
                close();  // connected and never asked anything, as browsers do in advance
            } else {
                refuse_early({408, kReasonHeaderDeadline, "the header did not come in time"});
            }
            break;
        case Wait::kBody:
            if (response_ == ResponseState::kHead) {
                reply_problem(408, kReasonBodyDeadline, "the body did not come in time");
            } else if (response_ == ResponseState::kDone) {
                keep_alive_ = false;  // answered; only the rest of a body nobody wants is missing
                discard_body_ = false;
            } else {
                abort(kReasonBodyDeadline);
            }
            break;
        case Wait::kWrite:
            if (phase_ == Phase::kRefused) {
                close();
            } else {
                abort(kReasonClientStalled);
            }
            break;
        case Wait::kConnect:
            connect_failed();
            break;
        case Wait::kSend:
        case Wait::kResponse:
            reply_problem(504, kReasonUpstreamDeadline, "the application did not answer in time");
            break;
        case Wait::kGap:
            abort(kReasonUpstreamDeadline);
            break;
        case Wait::kTunnel:
            end_tunnel(kReasonTunnelIdle);
            break;
        case Wait::kIdle:
        case Wait::kLinger:
            close();
            break;
        case Wait::kNone:
            break;
    }
}

}  // namespace sluice::http
