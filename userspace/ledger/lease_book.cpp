#include "ledger/lease_book.hpp"

#include <algorithm>

#include "ledger/lease_script.hpp"

namespace sluice {

// One request at work: its shards, locked, and what each charge found.
struct LeaseBook::Round {
    struct Place {
        Entry* entry;
        Lease::Take take;
        bool away;  // the Redis that has the key
    };

    Round(LeaseBook& book, const Request& asked) : request(asked) {
        for (const Charge& charge : asked.charges) {
            Shard* const shard = &book.shard_of(charge.key);
            const auto end = locked.begin() + static_cast<std::ptrdiff_t>(locked_count);
            const auto where = std::lower_bound(locked.begin(), end, shard);
            if (where != end && *where == shard) continue;
            std::move_backward(where, end, end + 1);
            *where = shard;
            ++locked_count;
        }
        for (std::size_t i = 0; i < locked_count; ++i) locked[i]->lock.lock();
        for (std::size_t i = 0; i < size(); ++i) {
            const Charge& charge = asked.charges[i];
            Entry& entry = book.entry_of(book.shard_of(charge.key), charge);
            std::uint64_t cost = charge.cost;
            for (std::size_t j = 0; j < i; ++j)
                if (places[j].entry == &entry) cost += asked.charges[j].cost;
            places[i] = {&entry, entry.lease.judge(charge.rate, cost, asked.monotonic),
                         !book.redis_.up(entry.slot)};
        }
    }
    ~Round() { unlock(); }
    Round(const Round&) = delete;
    Round& operator=(const Round&) = delete;

    void unlock() {
        for (std::size_t i = 0; i < locked_count; ++i) locked[i]->lock.unlock();
        locked_count = 0;
    }
    std::size_t size() const { return request.charges.size(); }
    bool enforced(std::size_t i) const { return request.charges[i].mode == LimitMode::kEnforce; }
    // Of those whose Redis is there.
    bool any(Lease::Take take) const {
        for (std::size_t i = 0; i < size(); ++i)
            if (places[i].take == take && !places[i].away) return true;
        return false;
    }
    bool enforced_any(Lease::Take take) const {
        for (std::size_t i = 0; i < size(); ++i)
            if (enforced(i) && places[i].take == take && !places[i].away) return true;
        return false;
    }

    const Request& request;
    std::array<Place, kMaxCharges> places;
    std::array<Shard*, kMaxCharges> locked;
    std::size_t locked_count = 0;
    std::vector<KeyHash> to_speak;
};

LeaseBook::LeaseBook(Limiter& limiter, RedisNodes& redis, std::string host)
    : limiter_(limiter),
      redis_(redis),
      host_(std::move(host)),
      clocks_(redis.slots()),
      expiry_(redis.context()) {}

LeaseBook::~LeaseBook() = default;

// A full shard's newcomers share one lease for each limit: strict, never open.
LeaseBook::Entry& LeaseBook::entry_of(Shard& shard, const Charge& charge) {
    auto found = shard.entries.find(charge.key);
    if (found == shard.entries.end()) {
        KeyHash key = charge.key;
        if (shard.entries.size() >= kMostKeys) {
            key = {.high = charge.key.high % kShards, .low = charge.limit};
            found = shard.entries.find(key);
            if (found != shard.entries.end()) return *found->second;
        }
        found = shard.entries
                    .emplace(key, std::make_unique<Entry>(next_id_.fetch_add(1, std::memory_order_relaxed)))
                    .first;
        found->second->key = key;
        if (redis_.is_cluster()) found->second->slot = redis_.slot_of(lease_key_name(key));
    }
    return *found->second;
}

std::optional<Admission> LeaseBook::admit(const Request& request, std::span<ChargeResult> results,
                                          const Waker& waker) {
    if (request.charges.size() > kMaxCharges)
        return limiter_.admit(request.charges, request.ledger, results);  // refuses them all
    std::shared_ptr<Ticket> ticket;
    std::optional<Admission> admission;
    std::vector<KeyHash> to_speak;
    {
        Round round{*this, request};
        if (round.enforced_any(Lease::Take::kDenied)) {
            admission = refuse(round, results);
        } else if (!round.any(Lease::Take::kAsk)) {
            admission = spend(round, results);
        } else if (waker && (request.asked == 0 || request.monotonic - request.asked < redis_.deadline())) {
            ticket = park(round, waker());
        } else {
            late_.fetch_add(1, std::memory_order_relaxed);
            admission =
                round.enforced_any(Lease::Take::kAsk) ? refuse(round, results) : spend(round, results);
        }
        to_speak = std::move(round.to_speak);
    }
    if (!to_speak.empty() || ticket != nullptr) post(std::move(to_speak), std::move(ticket));
    return admission;
}

std::shared_ptr<LeaseBook::Ticket> LeaseBook::park(Round& round, Wake wake) {
    const Request& request = round.request;
    auto ticket = std::make_shared<Ticket>();
    ticket->wake = std::move(wake);
    ticket->deadline = (request.asked == 0 ? request.monotonic : request.asked) + redis_.deadline();
    if (request.asked == 0) waited_.fetch_add(1, std::memory_order_relaxed);
    for (std::size_t i = 0; i < round.size(); ++i) {
        if (round.places[i].take != Lease::Take::kAsk || round.places[i].away) continue;
        Entry& entry = *round.places[i].entry;
        const std::uint64_t cost = request.charges[i].cost;
        entry.lease.want(cost);
        entry.waiting.push_back({ticket, cost});
        ticket->open.fetch_add(1, std::memory_order_relaxed);
        queue(entry, round.to_speak);
    }
    return ticket;
}

// What is missing is held nowhere, or did not come in time.
Admission LeaseBook::refuse(Round& round, std::span<ChargeResult> results) {
    const Request& request = round.request;
    limiter_.peek(request.charges, request.ledger, results);
    Admission admission{.admitted = false, .retry_at = request.ledger};
    for (std::size_t i = 0; i < round.size(); ++i) {
        const Round::Place& place = round.places[i];
        if (place.take != Lease::Take::kTaken) {
            const Nanos retry_at = place.entry->lease.retry_at();
            results[i].refused = true;
            results[i].remaining = place.entry->lease.held(request.monotonic);
            if (place.take == Lease::Take::kAsk)
                results[i].retry_at = request.ledger + kRetryLater;
            else if (retry_at == kNever)
                results[i].retry_at = kNever;
            else
                results[i].retry_at =
                    std::max(results[i].retry_at, request.ledger + (retry_at - request.monotonic));
        }
        if (results[i].refused && round.enforced(i))
            admission.retry_at = std::max(admission.retry_at, results[i].retry_at);
    }
    return admission;
}

Admission LeaseBook::spend(Round& round, std::span<ChargeResult> results) {
    const Request& request = round.request;
    std::array<Charge, kMaxCharges> charges;
    std::ranges::copy(request.charges, charges.begin());
    bool closed = false;
    for (std::size_t i = 0; i < round.size(); ++i) {
        if (round.places[i].take == Lease::Take::kTaken) charges[i].rate = beyond_slots(charges[i].rate);
        if (!round.places[i].away || round.places[i].take == Lease::Take::kTaken) continue;
        if (request.losses[i] == LedgerLoss::kShare) charges[i].rate = share_of(charges[i].rate);
        closed = closed || (request.losses[i] == LedgerLoss::kClosed && round.enforced(i));
    }
    if (closed) return refuse(round, results);
    Admission admission = limiter_.admit(std::span{charges}.first(round.size()), request.ledger, results);
    bool unleased = false;
    for (std::size_t i = 0; i < round.size(); ++i) {
        Round::Place& place = round.places[i];
        Lease& lease = place.entry->lease;
        const Charge& charge = request.charges[i];
        if (admission.admitted && !results[i].refused) {
            if (place.take == Lease::Take::kTaken) {
                lease.spend(charge.rate, charge.cost, request.monotonic);
            } else if (place.away) {
                lease.use_unleased(charge.rate, charge.cost, request.monotonic);
                unleased = true;
                if (!place.entry->cared) queue(*place.entry, round.to_speak);
            } else {
                results[i].refused =
                    true;  // a shadow's: it is let through, and told as what would not have been
            }
        }
        results[i].remaining =
            std::min(results[i].remaining, charge.rate.count - std::min(charge.rate.count, results[i].used));
        if (!place.away)
            results[i].remaining =
                std::min(results[i].remaining, lease.held(request.monotonic) + lease.free_elsewhere());
        if (lease.wants_to_speak(request.monotonic)) queue(*place.entry, round.to_speak);
    }
    if (unleased) unleased_.fetch_add(1, std::memory_order_relaxed);
    return admission;
}

void LeaseBook::queue(Entry& entry, std::vector<KeyHash>& keys) {
    if (entry.queued) return;
    entry.queued = true;
    keys.push_back(entry.key);
}

LeaseStats LeaseBook::stats() const {
    LeaseStats stats;
    for (std::size_t i = 0; i < kShards; ++i) {
        const std::lock_guard lock{shards_[i].lock};
        stats.keys += shards_[i].entries.size();
    }
    stats.messages = messages_.load(std::memory_order_relaxed);
    stats.waited = waited_.load(std::memory_order_relaxed);
    stats.late = late_.load(std::memory_order_relaxed);
    stats.unleased = unleased_.load(std::memory_order_relaxed);
    stats.lost = lost_.load(std::memory_order_relaxed);
    stats.hosts = hosts_.load(std::memory_order_relaxed);
    return stats;
}

}  // namespace sluice
