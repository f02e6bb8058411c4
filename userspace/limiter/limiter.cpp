#include "limiter/limiter.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "limiter/limiter_shard.hpp"

namespace sluice {
namespace {

constexpr std::size_t kReclaimStep = 64;

// What a charge finds in a counter; window is nullptr for a key that has none yet. pending: cost that earlier
// charges of the same request put on the same counter.
ChargeResult judge(const KeyWindow* window, const Charge& charge, std::uint64_t pending, Nanos now) {
    const std::uint64_t limit = std::min(charge.rate.count, kMaxCount);
    const std::uint64_t cost = pending + charge.cost;
    Spending spent{.used = 0, .more_at = now, .reset_at = now};
    if (window != nullptr) spent = window->spending(charge.rate.window, now);
    ChargeResult result;
    result.used = spent.used + pending;
    result.remaining = limit - std::min(limit, result.used);
    result.refused = spent.used + cost > limit;
    result.more_at = spent.more_at;
    result.reset_at = spent.reset_at;
    result.retry_at = now;
    if (result.refused) {
        result.retry_at =
            cost > limit || window == nullptr ? kNever : window->fits_at(charge.rate, cost, now);
    }
    return result;
}

// The latest retry_at of what refused, and whether anything did.
Admission verdict(std::span<const Charge> charges, std::span<const ChargeResult> results, Nanos now) {
    Admission admission{.admitted = true, .retry_at = now};
    for (std::size_t i = 0; i < charges.size(); ++i) {
        if (!results[i].refused || charges[i].mode != LimitMode::kEnforce) continue;
        admission.admitted = false;
        admission.retry_at = std::max(admission.retry_at, results[i].retry_at);
    }
    return admission;
}

Admission refuse_all(std::span<ChargeResult> results) {
    for (ChargeResult& result : results) result = {.refused = true, .retry_at = kNever};
    return {.admitted = false, .retry_at = kNever};
}

}  // namespace

// One request at work: its shards, locked, and the counter each charge goes to.
struct Limiter::Request {
    // No initialisers: most requests have two charges, and setting up 32 places would cost as much as
    // deciding.
    struct Place {
        Shard* shard;
        KeyWindow* window;  // nullptr: the key has none yet
        bool overflow;      // window is the limit's overflow counter
        bool created;       // the key was added for this request
    };

    Request(const Limiter& limiter, std::span<const Charge> request_charges, Nanos now)
        : charges(request_charges) {
        for (std::size_t i = 0; i < charges.size(); ++i) {
            Shard* const shard = &limiter.shard_of(charges[i].key);
            places[i] = {.shard = shard, .window = nullptr, .overflow = false, .created = false};
            // By address, which is by index: the order in which every request locks.
            Shard** const end = locked.data() + locked_count;
            Shard** const where = std::lower_bound(locked.data(), end, shard);
            if (where != end && *where == shard) continue;
            std::move_backward(where, end, end + 1);
            *where = shard;
            ++locked_count;
        }
        for (std::size_t i = 0; i < locked_count; ++i) {
            locked[i]->lock.lock();
            locked[i]->advance(now);
        }
    }
    ~Request() { unlock(); }
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    void unlock() {
        if (overflow != nullptr) overflow->lock.unlock();
        overflow = nullptr;
        for (std::size_t i = 0; i < locked_count; ++i) locked[i]->lock.unlock();
        locked_count = 0;
    }
    std::span<Shard* const> shards() const { return {locked.data(), locked_count}; }

    Nanos time(std::size_t i) const { return places[i].overflow ? overflow->now : places[i].shard->now; }

    std::uint64_t pending(std::size_t i) const {
        std::uint64_t cost = 0;
        for (std::size_t j = 0; j < i; ++j) {
            const bool same = places[i].overflow ? places[j].window == places[i].window
                                                 : !places[j].overflow && charges[j].key == charges[i].key;
            if (same) cost += charges[j].cost;
        }
        return cost;
    }
    ChargeResult judge(std::size_t i) const {
        return sluice::judge(places[i].window, charges[i], pending(i), time(i));
    }

    void enter_overflow(Overflow& counters, Nanos now) {
        if (overflow == nullptr) {
            counters.lock.lock();
            overflow = &counters;
            counters.now = std::max(counters.now, now);
        }
    }

    std::span<const Charge> charges;
    std::array<Place, kMaxCharges> places;
    std::array<Shard*, kMaxCharges> locked;
    std::size_t locked_count = 0;
    Overflow* overflow = nullptr;  // locked, if not nullptr
};

Limiter::Limiter(const LimiterConfig& config) : config_(config), overflow_(std::make_unique<Overflow>()) {
    config_.shards = std::bit_ceil(std::max(1U, config.shards));
    shards_ = std::make_unique<Shard[]>(config_.shards);
    config_.max_keys = (config.max_keys + config_.shards - 1) / config_.shards;
    config_.max_bytes = config.max_bytes / config_.shards;
    for (unsigned i = 0; i < config_.shards; ++i) grow_if_needed(shards_[i]);
}

Limiter::~Limiter() = default;

Limiter::Shard& Limiter::shard_of(const KeyHash& key) const {
    return shards_[key.high & (config_.shards - 1)];
}

void Limiter::prefetch(std::span<const Charge> charges) const {
    for (const Charge& charge : charges) shard_of(charge.key).table.prefetch(charge.key);
}

Admission Limiter::admit(std::span<const Charge> charges, Nanos now, std::span<ChargeResult> results) {
    if (charges.size() > kMaxCharges) return refuse_all(results);
    prefetch(charges);  // all charges wait for memory together
    Request request{*this, charges, now};
    // Before any counter is held: reclaiming moves counters.
    for (std::size_t i = 0; i < charges.size(); ++i) {
        Shard& shard = *request.places[i].shard;
        if (!has_room(shard) && shard.table.find(charges[i].key) == nullptr) shard.reclaim(kReclaimStep);
    }
    for (std::size_t i = 0; i < charges.size(); ++i) {
        Request::Place& place = request.places[i];
        place.window = place.shard->table.find(charges[i].key);
        if (place.window != nullptr) place.window->prune(place.shard->now);
        results[i] = request.judge(i);
    }
    Admission admission = verdict(charges, results, now);
    if (admission.admitted) {
        const auto missing = [](const Request::Place& place) { return place.window == nullptr; };
        if (std::ranges::any_of(std::span{request.places}.first(charges.size()), missing)) {
            make_places(request, now, results);
            admission = verdict(charges, results, now);
        }
        if (admission.admitted) {
            spend(request, results);
        } else {
            take_back(request);
        }
    }
    const auto grows = [](Shard* shard) { return shard->table.wants_growth(); };
    if (std::ranges::none_of(request.shards(), grows)) return admission;
    std::array<Shard*, kMaxCharges> touched;
    const auto end = std::ranges::copy_if(request.shards(), touched.begin(), grows).out;
    request.unlock();
    std::for_each(touched.begin(), end, [this](Shard* shard) { grow_if_needed(*shard); });
    return admission;
}

// Finds every fitting charge that has no counter one: a new key's, or the limit's overflow counter, which may
// refuse.
void Limiter::make_places(Request& request, Nanos now, std::span<ChargeResult> results) {
    for (std::size_t i = 0; i < request.charges.size(); ++i) {
        Request::Place& place = request.places[i];
        if (place.window != nullptr || results[i].refused) continue;
        const KeyHash& key = request.charges[i].key;
        place.window = place.shard->table.find(key);  // made for an earlier charge of this request?
        if (place.window != nullptr) continue;
        if (has_room(*place.shard)) {
            place.window = &place.shard->table.insert(KeyWindow{key});
            place.created = true;
            continue;
        }
        request.enter_overflow(*overflow_, now);
        place.window = overflow_->find(request.charges[i].limit);
        place.overflow = true;
        if (place.window == nullptr) {
            results[i] = {.refused = true, .retry_at = kNever};
            continue;
        }
        place.window->prune(overflow_->now);
        results[i] = request.judge(i);
        results[i].shared = true;
        ++overflow_->overflowed;
    }
}

bool Limiter::has_room(const Shard& shard) const {
    return shard.table.has_room() && shard.table.size() < config_.max_keys;
}

void Limiter::take_back(Request& request) {
    for (std::size_t i = 0; i < request.charges.size(); ++i) {
        if (!request.places[i].created) continue;
        KeyTable& table = request.places[i].shard->table;
        // Not by place.window: erasing one may have moved another.
        table.erase(table.place_of(*table.find(request.charges[i].key)));
    }
}

void Limiter::spend(Request& request, std::span<ChargeResult> results) {
    for (std::size_t i = 0; i < request.charges.size(); ++i) {
        if (results[i].refused) continue;  // a shadow's
        const Charge& charge = request.charges[i];
        const Request::Place& place = request.places[i];
        const Nanos now = request.time(i);
        if (!place.overflow) {
            make_room(*place.shard, *place.window, charge, now);
            if (config_.track_changes) place.shard->table.mark_changed(*place.window);
        }
        const bool merged = place.window->add(charge.rate, charge.cost, now, charge.algorithm);
        if (!place.overflow) place.shard->merged += merged;
        const Spending spent = place.window->spending(charge.rate.window, now);
        results[i].used = spent.used;
        results[i].remaining = std::min(charge.rate.count, kMaxCount) - spent.used;
        results[i].more_at = spent.more_at;
        results[i].reset_at = spent.reset_at;
    }
}

// Without memory the window merges runs instead, and gets stricter.
void Limiter::make_room(Shard& shard, KeyWindow& window, const Charge& charge, Nanos now) {
    const std::size_t more = window.wants_bytes(charge.rate, now, charge.algorithm);
    if (more > 0 && shard.bytes() + more <= config_.max_bytes && window.grow()) shard.block_bytes += more;
}

Admission Limiter::peek(std::span<const Charge> charges, Nanos now, std::span<ChargeResult> results) const {
    if (charges.size() > kMaxCharges) return refuse_all(results);
    Request request{*this, charges, now};
    for (std::size_t i = 0; i < charges.size(); ++i) {
        request.places[i].window = request.places[i].shard->table.find(charges[i].key);
        results[i] = request.judge(i);
    }
    return verdict(charges, results, now);
}

}  // namespace sluice
