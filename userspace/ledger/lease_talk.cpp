// The leases' half on the Redis thread: what is said to Redis, what it answers, and who is woken by it.
#include <hiredis/hiredis.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <future>

#include "ledger/lease_book.hpp"
#include "ledger/lease_script.hpp"

namespace sluice {
namespace asio = boost::asio;
namespace {

constexpr std::size_t kCareAtOnce = 5000;
constexpr std::size_t kSweepShards = 16;
constexpr auto kResetPatience = std::chrono::seconds{1};

}  // namespace

void LeaseBook::post(std::vector<KeyHash> keys, std::shared_ptr<Ticket> ticket) {
    const bool first = outbox_.with([&](Outbox& outbox) {
        outbox.keys.insert(outbox.keys.end(), keys.begin(), keys.end());
        if (ticket != nullptr) outbox.tickets.push_back(std::move(ticket));
        return !std::exchange(outbox.posted, true);
    });
    if (first) asio::post(redis_.context(), [this] { drain(); });
}

void LeaseBook::drain() {
    Outbox taken;
    outbox_.with([&](Outbox& outbox) { std::swap(outbox, taken); });
    for (std::shared_ptr<Ticket>& ticket : taken.tickets) tickets_.push_back(std::move(ticket));
    if (!redis_.any_up()) {
        for (const auto& ticket : tickets_) wake(*ticket);
        tickets_.clear();
    }
    for (const KeyHash& key : taken.keys) speak(key);
    expire();
}

void LeaseBook::wake(Ticket& ticket) {
    if (!ticket.woken.exchange(true, std::memory_order_acq_rel)) ticket.wake();
}

// Requests whose answer did not come in time ask again, and are told so.
void LeaseBook::expire() {
    const Nanos now = monotonic_now();
    while (!tickets_.empty() &&
           (tickets_.front()->woken.load(std::memory_order_acquire) || tickets_.front()->deadline <= now)) {
        wake(*tickets_.front());
        tickets_.pop_front();
    }
    if (tickets_.empty() || expiring_) return;
    expiring_ = true;
    expiry_.expires_after(std::chrono::nanoseconds{tickets_.front()->deadline - now});
    expiry_.async_wait([this](const boost::system::error_code& error) {
        if (error) return;
        // It may have been this process that was held up: what has arrived meanwhile is read first.
        asio::post(redis_.context(), [this] {
            expiring_ = false;
            expire();
        });
    });
}

// Its shard is locked.
void LeaseBook::care_for(Entry& entry) {
    if (entry.cared || !entry.lease.needs_care()) return;
    entry.cared = true;
    care_.push_back(entry.key);
}

// Says what the key has to say, if anything, and sees to it that it is looked after.
void LeaseBook::speak(const KeyHash& key) {
    Shard& shard = shard_of(key);
    std::vector<std::string> words;
    std::uint64_t seq = 0;
    RedisSlot slot = 0;
    bool scripted = false;
    {
        const std::lock_guard lock{shard.lock};
        const auto found = shard.entries.find(key);
        if (found == shard.entries.end()) return;
        Entry& entry = *found->second;
        entry.queued = false;
        care_for(entry);
        const Nanos now = monotonic_now();
        slot = entry.slot;
        if (!redis_.up(slot) || !entry.lease.wants_to_speak(now)) return;
        const LeaseRequest request =
            entry.lease.begin(now, clocks_[slot].latest_us(now), redis_.usual_wait(slot));
        seq = request.seq;
        words = lease_arguments(key, host_, request);
        scripted = std::exchange(entry.scripted, false);
    }
    if (scripted)
        words.insert(words.begin(), {"EVAL", std::string{kLeaseScript}, "1"});
    else
        words.insert(words.begin(), {"EVALSHA", sha_, "1"});
    messages_.fetch_add(1, std::memory_order_relaxed);
    redis_.send(slot, words, [this, key, seq](const redisReply* reply, Nanos, Nanos now) {
        answered(key, seq, reply, now);
    });
}

void LeaseBook::answered(const KeyHash& key, std::uint64_t seq, const redisReply* reply, Nanos now) {
    const auto answer = reply == nullptr ? std::nullopt : parse_lease_reply(*reply);
    std::string refusal;
    if (reply != nullptr && !answer)
        refusal = reply_text(*reply).empty() ? "nothing known" : reply_text(*reply);
    const bool unloaded = refusal.starts_with("NOSCRIPT");
    RedisSlot slot = 0;
    std::vector<Waiting> waiting;
    bool again = false;
    {
        Shard& shard = shard_of(key);
        const std::lock_guard lock{shard.lock};
        const auto found = shard.entries.find(key);
        if (found == shard.entries.end()) return;
        Entry& entry = *found->second;
        Lease& lease = entry.lease;
        slot = entry.slot;
        entry.scripted = entry.scripted || unloaded;
        if (lease.speaking_seq() != seq) return;
        if (!answer) {
            lease.give_up();
        } else {
            // Its own time counts from when the message was made, a little before it was sent.
            clocks_[slot].observe(lease.speaking_since(), answer->now_us);
            lease.finish(seq, *answer, now);
            if (answer->status == LeaseReply::Status::kLost) lost_.fetch_add(1, std::memory_order_relaxed);
            if (answer->status == LeaseReply::Status::kOk) {
                waiting.swap(entry.waiting);
                for (const Waiting& one : waiting) lease.want_no_more(one.cost);
            }
        }
        care_for(entry);
        again = !entry.queued && lease.wants_to_speak(now);
        if (again) entry.queued = true;
    }
    if (!refusal.empty() && !unloaded) redis_.reconnect(slot, "Redis answers a lease with: " + refusal);
    for (const Waiting& one : waiting)
        if (one.ticket->open.fetch_sub(1, std::memory_order_acq_rel) == 1) wake(*one.ticket);
    // Not at once when nothing could be said: the connection may be gone.
    if (again) post({key}, nullptr);
}

void LeaseBook::changed(bool up) {
    if (!up) {
        for (const auto& ticket : tickets_) wake(*ticket);
        tickets_.clear();
        return;
    }
    if (std::exchange(fresh_connection_, false)) recheck();
}

void LeaseBook::recheck() {
    for (std::size_t i = 0; i < kShards; ++i) {
        const std::lock_guard lock{shards_[i].lock};
        for (auto& [key, entry] : shards_[i].entries) {
            entry->lease.check();
            care_for(*entry);
        }
    }
}

void LeaseBook::tick() {
    if (!redis_.any_up()) return;
    for (std::size_t count = std::min(care_.size(), kCareAtOnce); count > 0; --count) {
        const KeyHash key = care_.front();
        care_.pop_front();
        Shard& shard = shard_of(key);
        {
            const std::lock_guard lock{shard.lock};
            const auto found = shard.entries.find(key);
            if (found == shard.entries.end()) continue;
            found->second->cared = false;
        }
        speak(key);  // puts it back if it still needs care
    }
    expire();
}

void LeaseBook::sweep() {
    const Nanos now = monotonic_now();
    for (std::size_t i = 0; i < kSweepShards; ++i) {
        Shard& shard = shards_[sweep_at_++ % kShards];
        const std::lock_guard lock{shard.lock};
        std::erase_if(shard.entries, [&](const auto& item) {
            const Entry& entry = *item.second;
            return !entry.queued && !entry.cared && entry.waiting.empty() && entry.lease.idle(now);
        });
    }
}

Result<> LeaseBook::reset(const KeyHash& key) {
    const RedisSlot slot = redis_.slot_of(lease_key_name(key));
    if (!redis_.up(slot))
        return Error{ErrorCode::kUnavailable, "reset a counter in Redis: " + redis_.status().error};
    auto done = std::make_shared<std::promise<bool>>();
    auto future = done->get_future();
    asio::post(redis_.context(), [this, key, slot, done] {
        std::vector<std::string> words = lease_reset_arguments(key);
        words.insert(words.begin(), {"EVAL", std::string{kLeaseScript}, "1"});
        redis_.send(slot, words, [this, key, done](const redisReply* reply, Nanos, Nanos) {
            const bool ok = reply != nullptr && reply->type == REDIS_REPLY_INTEGER;
            if (ok) {
                Shard& shard = shard_of(key);
                const std::lock_guard lock{shard.lock};
                if (const auto found = shard.entries.find(key); found != shard.entries.end())
                    found->second->lease.forget();
            }
            done->set_value(ok);
        });
    });
    if (future.wait_for(kResetPatience) != std::future_status::ready || !future.get())
        return Error{ErrorCode::kUnavailable, "reset a counter in Redis: no answer"};
    return {};
}

}  // namespace sluice
