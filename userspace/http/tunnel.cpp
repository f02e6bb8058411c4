// Session, part three: after 101, bytes both ways until either side ends.
#include "http/reasons.hpp"
#include "http/session.hpp"
#include "http/worker.hpp"

namespace sluice::http {

bool Session::step_tunnel() {
    bool moved = flush_client();
    if (phase_ != Phase::kTunnel) return true;
    moved = flush_upstream() || moved;
    if (up_out_.empty()) {
        moved = relay(client_, in_, upstream_->stream, client_ended_, outcome_.request_body_bytes) || moved;
    }
    if (client_out_.empty()) {
        moved =
            relay(upstream_->stream, upstream_->in, client_, upstream_ended_, outcome_.response_body_bytes) ||
            moved;
    }
    const bool client_finished = client_ended_ && in_.empty();
    const bool upstream_finished = upstream_ended_ && upstream_->in.empty() && client_out_.empty();
    if (client_finished || upstream_finished) {
        end_tunnel({});
        return true;
    }
    return moved;
}

// Moves what can be moved from one side to the other, a buffer full at most. A failed side counts as ended,
// and what was still to be sent to it is lost.
bool Session::relay(Stream& from, Buffer& through, Stream& to, bool& from_ended, std::uint64_t& bytes) {
    bool moved = false;
    if (through.empty() && !from_ended && from.readable()) {
        const auto got = from.read(through.space());
        if (got.status == Stream::Status::kOk) {
            through.commit(got.bytes);
        } else if (got.status != Stream::Status::kBlocked) {
            from_ended = true;
        }
        moved = got.status != Stream::Status::kBlocked;
    }
    if (!through.empty() && to.writable()) {
        const auto sent = to.write(through.data());
        if (sent.status == Stream::Status::kOk) {
            bytes += sent.bytes;
            through.consume(sent.bytes);
        } else if (sent.status != Stream::Status::kBlocked) {
            through.consume(through.size());
            from_ended = true;
        }
        moved = moved || sent.status != Stream::Status::kBlocked;
    }
    return moved;
}

void Session::end_tunnel(std::string_view reason) {
    worker_.mutable_counters().tunnels.subtract();
    outcome_.reason = reason;
    outcome_.done = monotonic_now();
    report();
    client_.shut_write();
    close();
}

}  // namespace sluice::http
