#include "ledger/lease.hpp"

#include <algorithm>

namespace sluice {
namespace {

// By how much this host's clock and Redis's may differ in speed. Twice what the worst quartz does; time that was measured
// here is shortened or stretched by it, whichever is the safe side.
constexpr std::int64_t kDriftPerMillion = 200;
constexpr std::int64_t kMillion = 1'000'000;
constexpr Nanos kDemandSpan = kSecond / 2;
// Fewer than so many a second are asked for one by one: a stock would lie there unused.
constexpr std::uint64_t kLeastDemand = 8;
constexpr std::uint64_t kLeastDemandAlone = 2;
// A refusal is believed for so long when others hold tokens that they may give back.
constexpr Nanos kLeastDenial = 5 * kMillisecond;
constexpr Nanos kDenialsPerWindow = 1000;
constexpr std::int64_t kRedisSlots = 2048;
// More runs than one message should have are reported some together, at the time of the latest of them.
constexpr std::size_t kMostUses = 2048;
// Uses so near one another are told as one run. Redis rounds again, so it is a small part of its slot if that does not make more
// runs than a message takes, which is sent at least every two seconds.
constexpr std::int64_t kRunsPerSlot = 4;
constexpr Nanos kLeastRun = 2 * kMillisecond;

Nanos shortened(Nanos elapsed) {
    return elapsed - elapsed / kMillion * kDriftPerMillion - kMicrosecond;
}

}  // namespace

std::int64_t lease_unit_us(const Rate& rate) {
    if (rate.count <= kExactCount) return 1;
    const std::int64_t window_us = rate.window / kMicrosecond;
    return std::max<std::int64_t>(1, (window_us + kRedisSlots - 1) / kRedisSlots);
}

void Lease::set_rate(const Rate& rate, Nanos now) {
    rate_ = rate;
    if (now >= held_until_) held_ = 0;
    if (now - demand_since_ >= 2 * kDemandSpan) {
        demand_before_ = demand_ = 0;
        demand_since_ = now;
    } else if (now - demand_since_ >= kDemandSpan) {
        demand_before_ = demand_;
        demand_ = 0;
        demand_since_ += kDemandSpan;
    }
}

Lease::Take Lease::judge(const Rate& rate, std::uint64_t cost, Nanos now) {
    const bool raised = rate.count > rate_.count;  // what was denied was denied for less
    set_rate(rate, now);
    if (raised) denied_until_ = 0;
    if (held_ >= cost) return Take::kTaken;
    if (cost > std::min(rate.count, kMaxCount)) {
        retry_at_ = kNever;
        return Take::kDenied;
    }
    return now < denied_until_ ? Take::kDenied : Take::kAsk;
}

void Lease::spend(const Rate& rate, std::uint64_t cost, Nanos now) {
    held_ -= std::min(held_, cost);
    if (sent_) sent_->used_since += cost;
    record(rate, cost, now);
}

void Lease::use_unleased(const Rate& rate, std::uint64_t cost, Nanos now) {
    set_rate(rate, now);
    record(rate, cost, now);
    owes_ = true;
}

void Lease::record(const Rate& rate, std::uint64_t cost, Nanos now) {
    trim(now);
    used_ += cost;
    demand_ += cost;
    last_use_ = now;
    const std::uint64_t closed =
        sent_ ? std::max(sent_->end, known_) : known_;  // told already: not to be changed
    const Nanos slot = lease_unit_us(rate) * kMicrosecond;
    const Nanos unit = std::min(slot, std::max(slot / kRunsPerSlot, kLeastRun));
    if (!log_.empty() && log_.back().end > closed && now / unit == log_.back().at / unit &&
        log_.back().end - log_.back().count >= closed) {
        log_.back().at = now;
        log_.back().count += cost;
        log_.back().end = used_;
        return;
    }
    log_.push_back({now, cost, used_});
}

void Lease::forget() {
    for (Use& use : log_) use.at = INT64_MIN / 2;
    denied_until_ = 0;
}

// Uses that left the window and were acknowledged.
void Lease::trim(Nanos now) {
    while (!log_.empty() && log_.front().end <= known_ && log_.front().at <= now - rate_.window)
        log_.pop_front();
}

std::uint64_t Lease::recently(Nanos now) const {
    if (now - demand_since_ >= 2 * kDemandSpan) return 0;
    return demand_ + demand_before_;
}

bool Lease::worth_a_stock(Nanos now) const {
    return !unused_long(now) && recently(now) >= (alone() ? kLeastDemandAlone : kLeastDemand);
}

bool Lease::wants_to_speak(Nanos now) const {
    if (sent_) return false;
    const std::uint64_t held_now = held(now);
    if (waiting_ > held_now && now >= denied_until_) return true;
    if (owes_) return true;
    if (long_held_) {
        if (unused_long(now)) return true;
        if (held_now > 0 && held_until_ - now < times_.long_lease / 4) return true;
    }
    return worth_a_stock(now) && held_now < recently(now) / 4 && free_ / (2 * hosts_) > held_now &&
           now >= denied_until_;
}

// Uses that were told before are as old as the record and have left the window too; the others are told again.
void Lease::begin_anew() {
    while (!log_.empty() && log_.front().end <= known_) log_.pop_front();
    for (Use& use : log_) use.end -= known_;
    used_ -= known_;
    known_ = 0;
    held_ = 0;
    ++generation_;
    forgotten_at_ = kNever;
}

LeaseRequest Lease::begin(Nanos now, std::int64_t clock_bound_us, Nanos short_lease) {
    set_rate(rate_, now);
    if (now >= forgotten_at_) begin_anew();
    trim(now);
    const std::uint64_t demand = recently(now);
    if (unused_long(now)) held_ = 0;
    LeaseRequest request;
    request.limit = std::min(rate_.count, kMaxCount);
    request.window_us = rate_.window / kMicrosecond;
    request.unit_us = lease_unit_us(rate_);
    request.lease = id_;
    request.generation = generation_;
    request.seq = ++seq_;
    request.base = known_;
    request.bound_us = clock_bound_us;
    request.keep = held_;
    request.need = waiting_ > held_ ? waiting_ - held_ : 0;
    request.want = request.need;
    const std::uint64_t stock = demand + demand / 2;
    if (worth_a_stock(now) && stock > held_) request.want = std::max(request.need, stock - held_);
    request.long_us = times_.long_lease / kMicrosecond;
    request.short_us = short_lease / kMicrosecond;

    std::uint64_t told = known_;
    for (const Use& use : log_) {
        if (use.end <= told) continue;
        const std::uint64_t start = use.end - use.count;
        // Uses that have left the window are not in the log; they are numbered all the same.
        if (start > told) request.uses.push_back({request.window_us, start - told});
        const Nanos elapsed = std::min(now - use.at, rate_.window + kSecond);
        request.uses.push_back(
            {std::max<Nanos>(0, shortened(elapsed)) / kMicrosecond, use.end - std::max(start, told)});
        told = use.end;
    }
    if (told < used_) request.uses.push_back({request.window_us, used_ - told});
    if (request.uses.size() > kMostUses) {
        const std::size_t together = (request.uses.size() + kMostUses - 1) / kMostUses;
        std::vector<LeaseUse> runs;
        for (std::size_t i = 0; i < request.uses.size(); ++i) {
            if (i % together == 0) runs.push_back({0, 0});
            runs.back() = {request.uses[i].age_us, runs.back().count + request.uses[i].count};
        }
        request.uses = std::move(runs);
    }
    sent_ = Sent{.seq = seq_, .at = now, .end = used_, .short_lease = short_lease};
    return request;
}

bool Lease::finish(std::uint64_t seq, const LeaseReply& reply, Nanos now) {
    if (!sent_ || sent_->seq != seq) return false;
    const Sent sent = *sent_;
    sent_.reset();
    hosts_ = std::max<std::uint64_t>(1, reply.hosts);

    if (reply.status == LeaseReply::Status::kStale) {
        seq_ = std::max(seq_, reply.seq);
        return true;
    }
    if (reply.status == LeaseReply::Status::kLost) {
        // Redis was emptied, or a replica took over that had missed writes: what it does not know is told again, and what
        // it may have given to others meanwhile is not spent here.
        known_ = std::min(reply.known, known_);
        seq_ = std::max(seq_, reply.seq);
        held_ = 0;
        owes_ = true;
        return true;
    }
    known_ = std::clamp(reply.known, known_, used_);
    owes_ = owes_ && known_ < used_;
    held_ = reply.tokens - std::min(reply.tokens, sent.used_since);
    held_until_ = sent.at + shortened(reply.lease_us * kMicrosecond);
    if (now >= held_until_) held_ = 0;
    long_held_ = reply.lease_us * kMicrosecond > sent.short_lease;
    forgotten_at_ = sent.at + reply.lease_us * kMicrosecond + rate_.window;
    free_ = reply.free;
    denied_until_ = 0;
    if (reply.retry_us > 0) {
        retry_at_ = now + reply.retry_us * kMicrosecond;
        denied_until_ = retry_at_;
        if (reply.leased_away > 0)
            denied_until_ =
                std::min(retry_at_, now + std::max(kLeastDenial, rate_.window / kDenialsPerWindow));
    }
    return true;
}

bool Lease::idle(Nanos now) const {
    return !sent_ && waiting_ == 0 && held(now) == 0 && now >= forgotten_at_ &&
           (log_.empty() || log_.back().at <= now - rate_.window);
}

}  // namespace sluice
