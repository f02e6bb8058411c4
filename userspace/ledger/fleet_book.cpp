#include "ledger/fleet_book.hpp"

#include <algorithm>
#include <charconv>

namespace sluice {

bool FleetBook::decide(FleetFact fact, Nanos now) {
    std::string subject = subject_of(fact);
    const auto found = own_.find(subject);
    if (found == own_.end() && own_.size() >= kMostFacts) return false;
    fact.host_id = host_id_;
    const auto ends = fact.lasts ? std::optional{now + *fact.lasts} : std::nullopt;
    const bool queued = found != own_.end() && found->second.queued;
    Own& own = own_.insert_or_assign(subject, Own{std::move(fact), now, ends, queued}).first->second;
    queue(subject, own);
    return true;
}

void FleetBook::queue(const std::string& subject, Own& own) {
    if (own.queued) return;
    own.queued = true;
    queue_.push_back(subject);
}

std::vector<std::string> FleetBook::begin(Nanos now) {
    std::vector<std::string> words;
    while (!queue_.empty() && on_way_.size() < kBatch) {
        const std::string subject = std::move(queue_.front());
        queue_.pop_front();
        const auto found = own_.find(subject);
        if (found == own_.end()) continue;
        Own& own = found->second;
        own.queued = false;
        const auto bytes = encode(own.fact);
        if (!bytes || (own.ends && *own.ends <= now)) {
            own_.erase(found);
            continue;
        }
        const Nanos lasts_ms = own.ends ? (*own.ends - now + kMillisecond - 1) / kMillisecond : 0;
        words.insert(words.end(), {subject, *bytes, std::to_string(lasts_ms),
                                   std::to_string((now - own.decided) / kMicrosecond)});
        on_way_.push_back({subject, own.decided});
    }
    return words;
}

void FleetBook::said(std::span<const Outcome> outcomes) {
    for (std::size_t i = 0; i < on_way_.size() && i < outcomes.size(); ++i) {
        if (outcomes[i] != Outcome::kSuperseded) continue;
        const auto found = own_.find(on_way_[i].subject);
        if (found != own_.end() && found->second.decided == on_way_[i].decided && !found->second.queued)
            own_.erase(found);
    }
    on_way_.clear();
}

void FleetBook::lost() {
    for (const OnWay& one : on_way_)
        if (const auto found = own_.find(one.subject); found != own_.end()) queue(one.subject, found->second);
    on_way_.clear();
}

void FleetBook::offer_again() {
    for (auto& [subject, own] : own_) queue(subject, own);
}

void FleetBook::connected() {
    since_ -= std::min(since_, kOverlapUs);
    offer_again();
}

// "version:epoch"
bool FleetBook::behind(std::optional<std::string_view> head) {
    std::uint64_t version = 0;
    std::string_view epoch;
    if (head) {
        const auto [end, error] = std::from_chars(head->data(), head->data() + head->size(), version);
        if (error != std::errc{} || end == head->data() + head->size() || *end != ':') return false;
        epoch = head->substr(static_cast<std::size_t>(end - head->data()) + 1);
    }
    if (epoch != epoch_ || version < since_) {
        // Another Redis than the one that was read, or one that has forgotten.
        const bool first = epoch_.empty() && since_ == 0;
        epoch_ = epoch;
        since_ = 0;
        if (!first) offer_again();
    }
    head_ = version;
    return version > since_;
}

// The script's rule, for what it has not been asked yet.
bool FleetBook::holds_ours(const FleetEntry& entry, const FleetFact& theirs, std::uint64_t redis_us,
                           Nanos now) const {
    const auto found = own_.find(entry.subject);
    if (found == own_.end()) return false;
    const Own& own = found->second;
    const bool open =
        own.queued || std::ranges::find(on_way_, entry.subject, &OnWay::subject) != on_way_.end();
    if (!open || (own.ends && *own.ends <= now)) return false;
    if (own.fact.automatic() && !theirs.withdrawn)
        return entry.lasts && own.ends && *own.ends > now + *entry.lasts;
    if (theirs.automatic()) return true;
    const auto age_us = static_cast<std::uint64_t>((now - own.decided) / kMicrosecond);
    return redis_us > age_us && redis_us - age_us >= entry.version;
}

FleetBook::Heard FleetBook::hear(const FleetEntry& entry, std::uint64_t redis_us, Nanos now,
                                 FleetFact& fact) {
    since_ = std::max(since_, entry.version);
    if (entry.lasts && *entry.lasts <= 0) return Heard::kKnown;  // has ended meanwhile
    auto decoded = decode(entry.subject, entry.bytes);
    if (!decoded) return Heard::kInvalid;
    if (decoded->host_id == host_id_) return Heard::kKnown;
    if (const auto known = known_.find(entry.subject);
        known != known_.end() && known->second.version == entry.version)
        return Heard::kKnown;
    if (holds_ours(entry, *decoded, redis_us, now)) return Heard::kKnown;
    const auto ends = entry.lasts ? std::optional{now + *entry.lasts} : std::nullopt;
    if (known_.size() < kMostFacts || known_.contains(entry.subject))
        known_.insert_or_assign(entry.subject, Known{entry.version, ends});
    own_.erase(entry.subject);
    fact = *std::move(decoded);
    fact.lasts = entry.lasts;
    return Heard::kNews;
}

void FleetBook::sweep(Nanos now) {
    const auto ended = [now](const auto& item) { return item.second.ends && *item.second.ends <= now; };
    std::erase_if(known_, ended);
    std::erase_if(own_, ended);
}

}  // namespace sluice
