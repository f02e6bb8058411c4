// One host's side of one key's lease: what it may spend, what it has to report, what it should ask for.
//
// A pure state machine: the caller passes the time (any monotonic clock of this host), carries the messages and says
// which became of them. docs/adr/0011 has the protocol and why it is safe. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>

#include "ledger/lease_message.hpp"
#include "limiter/window.hpp"

namespace sluice {

struct LeaseTimes {
    Nanos long_lease = 2 * kSecond;
    Nanos idle = 250 * kMillisecond;  // unused for so long: given back
    // The same of a key that no other host has used within its window: nobody misses what is kept. Before a lease is
    // renewed, which is at three quarters of it, so that giving back takes the place of a renewal.
    Nanos idle_alone = 1500 * kMillisecond;
};

class Lease {
  public:
    // id: of no other lease of this process, ever.
    explicit Lease(std::uint64_t id, const LeaseTimes& times = {}) : times_(times), id_(id) {}

    enum class Take : std::uint8_t {
        kTaken,   // spent
        kDenied,  // nothing is left anywhere before denied_until()
        kAsk,     // what is held does not do: want(cost), then begin()
    };
    // What would become of a request of `cost`; spends nothing.
    Take judge(const Rate& rate, std::uint64_t cost, Nanos now);
    // Spends what was judged kTaken at the same `now`.
    void spend(const Rate& rate, std::uint64_t cost, Nanos now);
    Take take(const Rate& rate, std::uint64_t cost, Nanos now) {
        const Take result = judge(rate, cost, now);
        if (result == Take::kTaken) spend(rate, cost, now);
        return result;
    }
    // Counts a use that no lease covers: what a host without its ledger let through.
    void use_unleased(const Rate& rate, std::uint64_t cost, Nanos now);
    // Forgets what was used: the key was reset.
    void forget();

    // A request waits for `cost` tokens, or does so no longer.
    void want(std::uint64_t cost) { waiting_ += cost; }
    void want_no_more(std::uint64_t cost) { waiting_ -= std::min(waiting_, cost); }

    // Whether there is something to say to Redis now: requests wait, the stock runs low, or there is something to report
    // or to give back. Never while a message is on its way.
    bool wants_to_speak(Nanos now) const;
    // The message; it is on its way from here on. `now` is just before it is sent, clock_bound_us of RedisClock.
    // short_lease: how long a request may take to spend what it waited for; a few round trips.
    LeaseRequest begin(Nanos now, std::int64_t clock_bound_us, Nanos short_lease);
    // Its answer. False if it is one to ignore: of a message that was given up.
    bool finish(std::uint64_t seq, const LeaseReply& reply, Nanos now);
    // No answer will be taken any more.
    void give_up() { sent_.reset(); }

    bool speaking() const { return sent_.has_value(); }
    std::uint64_t id() const { return id_; }
    std::uint64_t generation() const { return generation_; }
    std::uint64_t speaking_seq() const { return sent_ ? sent_->seq : 0; }
    Nanos speaking_since() const { return sent_ ? sent_->at : 0; }
    std::uint64_t held(Nanos now) const { return now < held_until_ ? held_ : 0; }
    std::uint64_t free_elsewhere() const { return free_; }  // as of the last answer
    std::uint64_t hosts() const { return hosts_; }          // the same
    std::uint64_t unreported() const { return used_ - known_; }
    Nanos denied_until() const { return denied_until_; }
    Nanos retry_at() const { return retry_at_; }  // when denied: the earliest time for more
    // Nothing is held, waited for or counting any more: the key may be forgotten.
    bool idle(Nanos now) const;
    // Looked after by a timer: has tokens, or uses that count longer than they should until they are reported.
    bool needs_care() const { return long_held_ || owes_; }
    // Redis may have forgotten: what was used within the window is compared with what it knows, soon.
    void check() { owes_ = owes_ || !log_.empty(); }

  private:
    struct Use {
        Nanos at;
        std::uint64_t count;
        std::uint64_t end;  // of these uses, by number
    };
    struct Sent {
        std::uint64_t seq;
        Nanos at;
        std::uint64_t end;  // uses reported
        Nanos short_lease;
        std::uint64_t used_since = 0;  // of what is held, since it was sent
    };

    void record(const Rate& rate, std::uint64_t cost, Nanos now);
    void set_rate(const Rate& rate, Nanos now);
    void trim(Nanos now);
    void begin_anew();
    std::uint64_t recently(Nanos now) const;
    bool alone() const { return hosts_ == 1; }  // with the key, as of the last answer
    bool unused_long(Nanos now) const {
        return now - last_use_ >= (alone() ? times_.idle_alone : times_.idle);
    }
    // Whether a stock would be used up soon enough.
    bool worth_a_stock(Nanos now) const;

    LeaseTimes times_;
    Rate rate_{};
    // What is held, and until when it may be spent
    std::uint64_t held_ = 0;
    Nanos held_until_ = 0;
    bool owes_ = false;       // Redis should hear of us soon
    bool long_held_ = false;  // uses not reported yet count much longer than they should
    // Uses within the window, oldest first; numbered from 0
    std::deque<Use> log_;
    std::uint64_t used_ = 0;   // all so far
    std::uint64_t known_ = 0;  // acknowledged by Redis
    // The message on its way
    std::optional<Sent> sent_;
    std::uint64_t seq_ = 0;
    std::uint64_t id_;
    std::uint64_t generation_ =
        0;  // Redis's record of us may have gone with its window: the next has another name
    Nanos forgotten_at_ = kNever;  // when it may have
    // What is waited for, and what was said of it
    std::uint64_t waiting_ = 0;
    Nanos denied_until_ = 0;
    Nanos retry_at_ = 0;
    std::uint64_t free_ = 0;
    std::uint64_t hosts_ = 1;
    // Demand: tokens used in this and the last half second
    Nanos demand_since_ = 0;
    std::uint64_t demand_ = 0;
    std::uint64_t demand_before_ = 0;
    Nanos last_use_ = 0;
};

}  // namespace sluice
