// What operators ask of leases: what all hosts have used, and what would become of a request. Changes nothing.
#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <chrono>
#include <future>

#include "ledger/lease_book.hpp"
#include "ledger/lease_script.hpp"

namespace sluice {
namespace {

// A Redis that says nothing is dropped long before, and what it was asked is answered with that.
constexpr auto kPatience = std::chrono::seconds{1};

std::uint64_t minus(std::uint64_t from, std::uint64_t what) {
    return from - std::min(from, what);
}

}  // namespace

std::vector<std::optional<LeaseBook::Usage>> LeaseBook::usage(std::span<const Counter> counters) {
    struct Asked {
        std::vector<Counter> counters;
        std::vector<std::optional<Usage>> answers;
        std::size_t open;
        std::promise<std::vector<std::optional<Usage>>> all;
    };
    if (counters.empty()) return {};
    auto asked = std::make_shared<Asked>();
    asked->counters.assign(counters.begin(), counters.end());
    asked->answers.resize(counters.size());
    asked->open = counters.size();
    auto answers = asked->all.get_future();
    boost::asio::post(redis_.context(), [this, asked] {
        for (std::size_t i = 0; i < asked->counters.size(); ++i) {
            const Counter& counter = asked->counters[i];
            const RedisSlot slot = redis_.slot_of(lease_key_name(counter.key));
            std::vector<std::string> words =
                lease_usage_arguments(counter.key, counter.rate, clocks_[slot].latest_us(monotonic_now()),
                                      record_name(counter.key));
            words.insert(words.begin(), {"EVAL", std::string{kLeaseUsageScript}, "1"});
            redis_.send(slot, words, [this, asked, i](const redisReply* reply, Nanos, Nanos now) {
                if (const auto told = reply == nullptr ? std::nullopt : parse_lease_usage(*reply))
                    asked->answers[i] = completed(asked->counters[i], *told, now);
                if (--asked->open == 0) asked->all.set_value(std::move(asked->answers));
            });
        }
    });
    if (answers.wait_for(kPatience) != std::future_status::ready)
        return std::vector<std::optional<Usage>>(counters.size());
    return answers.get();
}

// With what this host knows and Redis does not. Answers come in the order of questions, so all that it was told before this one is
// known by now to have been told. The Redis thread.
LeaseBook::Usage LeaseBook::completed(const Counter& counter, const LeaseUsage& told, Nanos now) {
    std::uint64_t held = 0, unreported = 0;
    {
        Shard& shard = shard_of(counter.key);
        const std::lock_guard lock{shard.lock};
        if (const auto found = shard.entries.find(counter.key); found != shard.entries.end()) {
            held = found->second->lease.held(now);
            unreported = found->second->lease.unreported();
        }
    }
    const std::uint64_t free = minus(counter.rate.count, told.used + told.leased);
    // Of its own tokens it knows which are used.
    const std::uint64_t others_used = told.used - (told.mine_ended ? told.mine : 0);
    const std::uint64_t others_leased = told.leased - (told.mine_ended ? 0 : told.mine);
    const std::uint64_t used = told.mine_ended ? std::max(told.mine, unreported) : unreported;
    return {.used = others_used + used,
            .leased = others_leased + minus(told.mine, used),
            .available = free + held,
            .reset_in = told.reset_in,
            .retry_in = told.retry_in};
}

std::string LeaseBook::record_name(const KeyHash& key) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock{shard.lock};
    const auto found = shard.entries.find(key);
    if (found == shard.entries.end()) return {};
    return lease_record_name(host_, found->second->lease.id(), found->second->lease.generation());
}

LeaseBook::Peeked LeaseBook::peek(const Request& request, std::span<ChargeResult> results) {
    Peeked peeked;
    const std::size_t size = request.charges.size();
    if (size > kMaxCharges) return {limiter_.peek(request.charges, request.ledger, results), {}};
    std::array<Charge, kMaxCharges> charges;
    std::array<Counter, kMaxCharges> counters;
    for (std::size_t i = 0; i < size; ++i) {
        charges[i] = request.charges[i];
        counters[i] = {charges[i].key, charges[i].rate};
    }
    const auto all = usage(std::span{counters}.first(size));
    for (std::size_t i = 0; i < size; ++i) {
        if (all[i])
            charges[i].rate = beyond_slots(charges[i].rate);
        else if (request.losses[i] == LedgerLoss::kShare)
            charges[i].rate = share_of(charges[i].rate);
    }
    peeked.admission = limiter_.peek(std::span{charges}.first(size), request.ledger, results);
    for (std::size_t i = 0; i < size; ++i) {
        ChargeResult& result = results[i];
        const Charge& charge = request.charges[i];
        Nanos retry_in = 0;
        if (all[i]) {
            peeked.of_all_hosts.set(i);
            result.used = all[i]->used;
            result.remaining = minus(charge.rate.count, all[i]->used);
            result.reset_at = request.ledger + all[i]->reset_in;
            if (all[i]->available < charge.cost) retry_in = std::max<Nanos>(all[i]->retry_in, 1);
        } else if (request.losses[i] == LedgerLoss::kClosed) {
            retry_in = kRetryLater;
        }
        if (retry_in == 0) continue;
        result.refused = true;
        result.retry_at = std::max(result.retry_at, request.ledger + retry_in);
        if (charge.mode != LimitMode::kEnforce) continue;
        peeked.admission.admitted = false;
        peeked.admission.retry_at = std::max(peeked.admission.retry_at, result.retry_at);
    }
    return peeked;
}

}  // namespace sluice
