// Session, part two: one decided request, from begin_exchange() to finish_exchange() or abort().
#include <algorithm>

#include "http/reasons.hpp"
#include "http/rewrite.hpp"
#include "http/session.hpp"
#include "http/worker.hpp"

namespace sluice::http {
namespace {

constexpr std::size_t kRequestSampleBytes = 16 * 1024;
constexpr std::size_t kResponseSampleBytes = 32 * 1024;  // of the start, and again of the end
// The rest of a refused request's body is read up to here so that the connection can go on; a longer one ends
// it.
constexpr std::uint64_t kMaxDiscardedBytes = 64 * 1024;
// Free room below which a body waits for its buffer to be written.
constexpr std::size_t kMinRoom = 1024;
constexpr unsigned kMaxInterimResponses = 16;

// May be sent a second time although the first may have arrived (RFC 9110 §9.2.2).
bool is_idempotent(std::string_view method) {
    return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" ||
           method == "DELETE";
}

}  // namespace

// A ticket outlives its session; the session tells it when it goes.
class Session::Parked final : public DecisionTicket, public std::enable_shared_from_this<Parked> {
  public:
    explicit Parked(Session& session) : session_(&session), worker_(session.worker_) {}
    void forget_session() { session_ = nullptr; }
    void resume() override {
        worker_.post([self = shared_from_this()] {
            if (self->session_ != nullptr) self->session_->resume();
        });
    }

  private:
    Session* session_;  // the worker's thread alone
    Worker& worker_;
};

void Session::begin_exchange() {
    if (!state_) state_ = worker_.application().make_state();
    phase_ = Phase::kExchange;
    served_ = true;
    keep_alive_ = framing_.keep_alive && !worker_.draining();
    request_chunks_.reset();
    request_left_ = framing_.length;
    body_wait_began_ = body_waited_ = 0;
    request_done_ = !head_.has_body;
    discard_body_ = false;
    response_ = ResponseState::kHead;
    replayed_ = false;
    connect_attempts_ = 0;
    worker_.mutable_counters().requests.add();
    decide();
}

std::shared_ptr<DecisionTicket> Session::ticket() {
    unpark();
    parked_ = std::make_shared<Parked>(*this);
    return parked_;
}

void Session::unpark() {
    if (parked_) parked_->forget_session();
    parked_.reset();
}

void Session::resume() {
    unpark();
    decide();
    defer(EventLoop::Pass::kWork);
}

void Session::decide() {
    decision_.clear();
    decision_.tickets = this;
    worker_.application().decide(head_, *state_, decision_);
    if (decision_.kind == Decision::Kind::kWait) return;
    unpark();  // taken, but not needed
    outcome_.decided = decision_.decided != 0 ? decision_.decided : monotonic_now();
    request_sampler_.begin(decision_.observe_request_body ? kRequestSampleBytes : 0, 0);
    const std::size_t response_sample = decision_.observe_response_body ? kResponseSampleBytes : 0;
    response_sampler_.begin(response_sample, response_sample);
    if (decision_.kind == Decision::Kind::kReply) {
        reply(decision_.status, decision_.body, AnsweredBy::kApplication, {});
    } else {
        forward();
    }
}

void Session::forward() {
    upstream_write_broken_ = false;
    interim_responses_ = 0;
    outcome_.upstream_sent = 0;
    write_request_head(head_, framing_, hop_text_, hop_is_trusted_, decision_.request_fields, up_out_);
    // Admitted: the client may send its body. Asking the upstream first would cost a round trip, and not all
    // know how.
    if (framing_.expect_continue && in_.empty()) client_out_.append("HTTP/1.1 100 Continue\r\n\r\n");
    acquire_upstream(!replayed_);
}

void Session::acquire_upstream(bool may_be_idle) {
    UpstreamPool& pool = worker_.upstreams();
    const bool replayable = !head_.has_body && is_idempotent(head_.method);
    while (may_be_idle && !upstream_ && (upstream_ = pool.take_idle())) {
        // Only what can be sent again may find out by sending whether the connection still lives.
        if (!replayable && upstream_->is_stale()) drop_upstream();
    }
    while (!upstream_ && connect_attempts_ < pool.upstreams()) {
        ++connect_attempts_;
        upstream_ = pool.connect();
    }
    if (!upstream_) {
        reply_problem(502, kReasonUpstreamConnect, "the application does not accept connections");
        return;
    }
    upstream_->user = this;
    response_scanner_.reset();
}

void Session::connect_failed() {
    worker_.upstreams().failed(*upstream_);
    drop_upstream();
    acquire_upstream(false);
}

void Session::drop_upstream() {
    if (upstream_) worker_.upstreams().discard(std::move(upstream_));
}

bool Session::step_exchange() {
    if (parked_) return false;
    if (decision_.ends_with_client && request_done_ && response_ != ResponseState::kDone &&
        client_.end_seen()) {
        abort(kReasonClientGone);
        return true;
    }
    bool moved = false;
    if (upstream_ && !upstream_->connected) moved = step_connect();
    if (phase_ == Phase::kExchange && !request_done_) moved = pump_request_body() || moved;
    if (phase_ == Phase::kExchange && upstream_ && upstream_->connected) {
        if (!up_out_.empty() && upstream_->stream.writable() && may_write())
            moved = flush_upstream() || moved;
        moved = pump_response() || moved;
    }
    if (phase_ == Phase::kExchange && !client_out_.empty() && client_.writable() && may_write())
        moved = flush_client() || moved;
    if (phase_ != Phase::kExchange) return true;
    if (response_ == ResponseState::kDone && client_out_.empty() && (request_done_ || !discard_body_)) {
        finish_exchange();
        return true;
    }
    return moved;
}

bool Session::step_connect() {
    if (!upstream_->stream.writable()) return false;
    if (!UpstreamPool::finish_connect(*upstream_)) connect_failed();
    return true;
}

// Client → upstream buffer, as far as there is room; or client → nowhere.
bool Session::pump_request_body() {
    bool moved = false;
    while (phase_ == Phase::kExchange && !request_done_) {
        const bool wanted = discard_body_ || (upstream_ && up_out_.room() >= kMinRoom);
        if (!wanted) break;
        if (in_.empty()) {
            if (!client_.readable()) break;
            const auto got = client_.read(in_.space());
            if (got.status == Stream::Status::kBlocked) break;
            if (got.status != Stream::Status::kOk) {
                abort(kReasonClientGone);
                return true;
            }
            in_.commit(got.bytes);
        }
        moved = true;
        if (!take_request_piece()) return true;
        // A body that never pauses must not keep the worker from its other connections: write what there is
        // first.
        if (!discard_body_ && up_out_.room() < kMinRoom) break;
    }
    return moved;
}

// Moves one piece of the body from in_ on; false if the exchange was ended by it.
bool Session::take_request_piece() {
    std::string_view data;
    std::size_t consumed = 0;
    const std::size_t room = discard_body_ ? in_.size() : up_out_.room() - kChunkOverhead - kLastChunk.size();
    if (framing_.chunked) {
        const auto step = request_chunks_.next(in_.data().substr(0, room));
        if (step.state == ChunkedDecoder::State::kBad) {
            keep_alive_ = false;
            if (response_ != ResponseState::kHead) {
                abort(kReasonBodyMalformed);
            } else {
                reply_problem(400, kReasonBodyMalformed, "the body is not valid chunked coding");
            }
            return false;
        }
        data = step.data;
        consumed = step.consumed;
        request_done_ = step.state == ChunkedDecoder::State::kDone;
    } else {
        consumed =
            static_cast<std::size_t>(std::min<std::uint64_t>(request_left_, std::min(room, in_.size())));
        data = in_.data().substr(0, consumed);
        request_left_ -= consumed;
        request_done_ = request_left_ == 0;
    }
    outcome_.request_body_bytes += data.size();
    if (framing_.chunked && outcome_.request_body_bytes > worker_.config().max_body_bytes) {
        if (response_ != ResponseState::kHead) {
            abort(kReasonBodyTooLarge);
        } else {
            reply_problem(413, kReasonBodyTooLarge, "the body is longer than the limit");
        }
        return false;
    }
    if (!discard_body_) {
        request_sampler_.add(data);
        if (!framing_.chunked) {
            up_out_.append(data);
        } else {
            if (!data.empty()) write_chunk(data, up_out_);
            if (request_done_) up_out_.append(kLastChunk);
        }
    }
    in_.consume(consumed);
    return true;
}

bool Session::flush_upstream() {
    bool moved = false;
    while (!up_out_.empty() && upstream_->stream.writable()) {
        const auto sent = upstream_->stream.write(up_out_.data());
        if (sent.status == Stream::Status::kBlocked) break;
        if (outcome_.upstream_sent == 0) outcome_.upstream_sent = monotonic_now();
        moved = true;
        if (sent.status != Stream::Status::kOk) {
            // It reads no more, but may have answered before: pump_response() will see.
            upstream_write_broken_ = true;
            up_out_.drop();
            discard_body_ = !request_done_;
            upstream_->stream.note(EPOLLERR);
            break;
        }
        up_out_.consume(sent.bytes);
    }
    up_out_.drop_if_empty();
    return moved;
}

// Upstream → client buffer, as far as there is room.
bool Session::pump_response() {
    bool moved = false;
    while (phase_ == Phase::kExchange && upstream_ && response_ != ResponseState::kDone &&
           outcome_.upstream_sent != 0 && client_out_.room() >= kMinRoom) {
        Buffer& in = upstream_->in;
        if (!in.empty()) {
            if (response_ == ResponseState::kBody) {
                take_response_piece();
                moved = true;
                continue;
            }
            const auto state = response_scanner_.scan(in.data());
            const std::size_t max = worker_.config().max_header_bytes;
            const bool too_long = state == HeadScanner::State::kIncomplete ? in.size() >= max
                                                                           : response_scanner_.length() > max;
            if (state == HeadScanner::State::kBadLine || too_long) {
                reply_problem(502, kReasonUpstreamMalformed, "the application's answer is not valid HTTP");
                return true;
            }
            if (state == HeadScanner::State::kComplete) {
                take_response_head(response_scanner_.length());
                moved = true;
                continue;
            }
        }
        if (!upstream_->stream.readable()) break;
        const auto got = upstream_->stream.read(in.space());
        if (got.status == Stream::Status::kBlocked) break;
        moved = true;
        if (got.status == Stream::Status::kOk) {
            in.commit(got.bytes);
        } else {
            upstream_ended(got.status == Stream::Status::kEnd);
        }
    }
    return moved;
}

void Session::take_response_head(std::size_t length) {
    Buffer& in = upstream_->in;
    const auto refusal = parse_response_head(in.data().substr(0, length), worker_.config().max_header_fields,
                                             head_.method, response_head_, response_framing_);
    const int status = response_head_.status;
    const bool bad_switch = !refusal && status == 101 && !(head_.upgrade && response_framing_.upgrade);
    if (refusal || bad_switch || (status < 200 && ++interim_responses_ > kMaxInterimResponses)) {
        reply_problem(502, kReasonUpstreamMalformed, "the application's answer is not valid HTTP");
        return;
    }
    ResponseShape shape;
    shape.client_minor = head_.version_minor;
    if (status < 200 && status != 101) {
        // 100 is ours to send; others are for clients that know them (RFC 9110 §15.2).
        static const AddedFields nothing;
        if (status != 100 && head_.version_minor == 1)
            write_response_head(response_head_, shape, nothing, client_out_);
        in.consume(length);
        response_scanner_.reset();
        return;
    }
    outcome_.upstream_first_byte = monotonic_now();
    outcome_.status = status;
    outcome_.by = AnsweredBy::kUpstream;
    outcome_.response = &response_head_;
    in.pin(length);
    using Body = ResponseFraming::Body;
    const bool length_unknown =
        response_framing_.body == Body::kChunked || response_framing_.body == Body::kUntilClose;
    response_chunked_ = length_unknown && head_.version_minor == 1;
    keep_alive_ = keep_alive_ && !worker_.draining() && (!length_unknown || response_chunked_);
    shape.chunked = response_chunked_;
    shape.keep_alive = keep_alive_;
    shape.upgrade = status == 101;
    write_response_head(response_head_, shape, decision_.response_fields, client_out_);
    response_chunks_.reset();
    response_left_ = response_framing_.length;
    response_ = ResponseState::kBody;
    if (status == 101) {
        outcome_.upgraded = true;
        client_ended_ = upstream_ended_ = false;
        worker_.mutable_counters().tunnels.add();
        phase_ = Phase::kTunnel;
    } else if (response_framing_.body == Body::kNone) {
        response_complete();
    }
}

void Session::take_response_piece() {
    Buffer& in = upstream_->in;
    const std::string_view available =
        in.data().substr(0, client_out_.room() - kChunkOverhead - kLastChunk.size());
    std::string_view data = available;
    std::size_t consumed = available.size();
    bool ended = false;
    if (response_framing_.body == ResponseFraming::Body::kChunked) {
        const auto step = response_chunks_.next(available);
        if (step.state == ChunkedDecoder::State::kBad) {
            response_broken(kReasonUpstreamMalformed);
            return;
        }
        data = step.data;
        consumed = step.consumed;
        ended = step.state == ChunkedDecoder::State::kDone;
    } else if (response_framing_.body == ResponseFraming::Body::kLength) {
        consumed = static_cast<std::size_t>(std::min<std::uint64_t>(response_left_, available.size()));
        data = available.substr(0, consumed);
        response_left_ -= consumed;
        ended = response_left_ == 0;
    }
    outcome_.response_body_bytes += data.size();
    if (decision_.observe_response_body) response_sampler_.add(data);
    if (!response_chunked_) {
        client_out_.append(data);
    } else if (!data.empty()) {
        write_chunk(data, client_out_);
    }
    in.consume(consumed);
    if (ended) response_complete();
}

void Session::response_complete() {
    response_ = ResponseState::kDone;
    worker_.application().answered(*state_);
    if (response_chunked_ && response_framing_.body != ResponseFraming::Body::kNone)
        client_out_.append(kLastChunk);
    if (!request_done_) {
        // Answered before the request was read to its end: nobody wants the rest.
        discard_body_ = !framing_.chunked && request_left_ <= kMaxDiscardedBytes;
        keep_alive_ = keep_alive_ && discard_body_;
    }
}

void Session::upstream_ended(bool cleanly) {
    if (response_ == ResponseState::kBody) {
        if (cleanly && response_framing_.body == ResponseFraming::Body::kUntilClose) {
            response_complete();
        } else {
            response_broken(kReasonUpstreamAborted);
        }
        return;
    }
    const bool untouched = upstream_->in.empty() && interim_responses_ == 0;
    const bool replay =
        upstream_->reused && untouched && !replayed_ && !head_.has_body && is_idempotent(head_.method);
    drop_upstream();
    up_out_.drop();
    if (replay) {  // a kept connection that was closed while the request was on its way
        replayed_ = true;
        forward();
    } else {
        reply_problem(502, kReasonUpstreamClosed, "the application closed the connection without an answer");
    }
}

// The upstream's response can't be completed. If the client has seen nothing of it yet, it gets a clean
// refusal.
void Session::response_broken(std::string_view reason) {
    const bool nothing_sent =
        outcome_.response_started == 0 && interim_responses_ == 0 && !framing_.expect_continue;
    if (nothing_sent) {
        client_out_.drop();
        reply_problem(502, reason, "the application's answer broke off");
        return;
    }
    flush_client();
    if (phase_ == Phase::kExchange) abort(reason);
}

// A complete answer that is not the upstream's; nothing of a final response has been written yet.
void Session::reply(int status, std::string_view body, AnsweredBy by, std::string_view reason) {
    drop_upstream();
    up_out_.drop();
    outcome_.status = status;
    outcome_.by = by;
    outcome_.reason = reason;
    outcome_.response = nullptr;
    outcome_.response_body_bytes = body.size();
    if (!request_done_) {
        const bool body_comes = !framing_.expect_continue || outcome_.request_body_bytes > 0 || !in_.empty();
        discard_body_ = keep_alive_ && body_comes && !framing_.chunked && request_left_ <= kMaxDiscardedBytes;
        keep_alive_ = discard_body_;
    }
    write_reply(status, decision_.response_fields, body, head_.method != "HEAD", keep_alive_,
                head_.version_minor, worker_.date_line(), client_out_);
    response_ = ResponseState::kDone;
    worker_.application().answered(*state_);
}

void Session::reply_problem(int status, std::string_view reason, std::string_view detail) {
    if (status < 500) keep_alive_ = false;  // the client's own fault: what it sends next can't be trusted
    decision_.response_fields.set("Content-Type", "application/problem+json");
    reply(status, problem_body(status, reason, detail), AnsweredBy::kGateway, reason);
}

void Session::report() {
    if (outcome_.done == 0) outcome_.done = monotonic_now();
    outcome_.request_body = request_sampler_.sample();
    outcome_.response_body = response_sampler_.sample();
    worker_.application().finished(head_, *state_, outcome_);
    // Up to 112 KiB, and needed by few requests: an idle connection does not keep them.
    if (decision_.observe_request_body) request_sampler_ = {};
    if (decision_.observe_response_body) response_sampler_ = {};
}

void Session::finish_exchange() {
    report();
    if (upstream_) {
        const bool reusable = response_framing_.keep_alive && request_done_ && up_out_.empty() &&
                              !upstream_write_broken_ && upstream_->in.empty() && !worker_.draining();
        if (reusable) {
            worker_.upstreams().give_back(std::move(upstream_));
        } else {
            drop_upstream();
        }
    }
    up_out_.drop();
    client_out_.drop_if_empty();
    if (!keep_alive_ || worker_.draining()) {
        close_politely(request_done_);
        return;
    }
    in_.unpin();
    in_.drop_if_empty();
    forget_head();
    wait_ = Wait::kNone;  // the next head has a deadline of its own
    phase_ = Phase::kHead;
}

// Ends an exchange that can't be completed: the client sees its connection cut off.
void Session::abort(std::string_view reason) {
    if (phase_ == Phase::kTunnel) worker_.mutable_counters().tunnels.subtract();
    outcome_.reason = reason;
    outcome_.done = monotonic_now();
    if (outcome_.response_started == 0) {
        outcome_.status = 0;
        outcome_.by = AnsweredBy::kNobody;
    }
    report();
    if (response_ == ResponseState::kBody) client_.reset_on_close();
    close();
}

}  // namespace sluice::http
