#include "sim/lease_model.hpp"

#include <algorithm>

namespace sluice::sim {

void LeaseModel::forget(int key) {
    if (const auto found = keys_.find(key); found != keys_.end()) found->second.runs.clear();
}

LeaseReply LeaseModel::call(int name, const std::string& host, const LeaseRequest& request,
                            std::int64_t clock_us) {
    if (const auto found = keys_.find(name); found != keys_.end() && found->second.expires <= clock_us)
        keys_.erase(found);
    const bool fresh = !keys_.contains(name);
    Key key = fresh ? Key{.last = 0, .window = request.window_us, .runs = {}, .hosts = {}, .expires = 0}
                    : keys_.at(name);
    std::int64_t now = clock_us;
    if (request.bound_us > 0) now = std::min(now, request.bound_us);
    now = std::max(now, key.last);
    const std::int64_t horizon = now - request.window_us;
    const std::int64_t oldest = now - std::max(request.window_us, key.window);

    const std::string me =
        host + "." + std::to_string(request.lease) + "." + std::to_string(request.generation);
    Host mine{.name = me, .seq = 0, .known = 0, .lease_end = 0, .held = 0};
    std::erase_if(key.hosts, [&](const Host& one) { return one.lease_end <= oldest; });
    std::erase_if(key.hosts, [&](const Host& one) {
        if (one.name == me) mine = one;
        return one.name == me;
    });
    std::uint64_t used = 0;
    std::uint64_t away = 0;
    std::uint64_t active = 1;
    std::int64_t latest = 0;
    for (const Host& one : key.hosts) {
        if (one.lease_end > horizon) {
            used += one.held;
            latest = std::max(latest, one.lease_end);
        }
        if (one.lease_end > now - request.long_us) ++active;
        if (one.lease_end > now + request.short_us) away += one.held;
    }
    LeaseReply reply{.now_us = now, .seq = mine.seq, .known = mine.known, .hosts = key.hosts.size() + 1};
    if (request.seq <= mine.seq)
        reply.status = LeaseReply::Status::kStale;
    else if (mine.known < request.base)
        reply.status = LeaseReply::Status::kLost;
    if (reply.status != LeaseReply::Status::kOk) return reply;

    key.runs.erase(key.runs.begin(), key.runs.upper_bound(oldest));
    std::uint64_t skip = mine.known - request.base;
    std::uint64_t reported = 0;
    for (const LeaseUse& use : request.uses) {
        const std::uint64_t again = std::min(skip, use.count);
        skip -= again;
        const std::uint64_t count = use.count - again;
        reported += count;
        const std::int64_t at = (now - use.age_us + request.unit_us - 1) / request.unit_us * request.unit_us;
        if (count > 0 && at > horizon) key.runs[at] += count;
    }
    const std::uint64_t kept = std::min(request.keep, mine.held - std::min(mine.held, reported));
    used += kept;
    for (auto run = key.runs.upper_bound(horizon); run != key.runs.end(); ++run) used += run->second;
    reply.free = request.limit - std::min(request.limit, used);
    std::uint64_t grant = std::min(request.need, reply.free);
    if (request.want > request.need && reply.free > 0)
        grant = std::max(grant, std::min(request.want, reply.free / (2 * active)));
    reply.free -= grant;
    used += grant;
    reply.tokens = kept + grant;
    if (reply.tokens > request.need)
        reply.lease_us = request.long_us;
    else if (reply.tokens > 0)
        reply.lease_us = request.short_us;
    if (grant < request.need) {
        reply.retry_us = latest > 0 ? latest + request.window_us - now : request.window_us;
        std::uint64_t left = used;
        for (auto run = key.runs.upper_bound(horizon); run != key.runs.end(); ++run) {
            left -= std::min(left, run->second);
            if (left >= request.limit) continue;
            reply.retry_us = run->first + request.window_us - now;
            break;
        }
    }
    mine.lease_end = now + reply.lease_us;
    if (kept > 0) {
        const auto before = keys_.find(name);
        for (const Host& one : before->second.hosts)
            if (one.name == me) mine.lease_end = std::max(mine.lease_end, one.lease_end);
    }
    mine.seq = request.seq;
    mine.known += reported;
    mine.held = reply.tokens;
    key.hosts.push_back(mine);
    key.last = now;
    key.window = request.window_us;
    const std::int64_t newest = key.runs.empty() ? 0 : key.runs.rbegin()->first;
    // PX counts milliseconds of Redis's clock as it stands.
    key.expires = clock_us +
                  (std::max({mine.lease_end, latest, newest}) + key.window - now + 999) / 1000 * 1000 +
                  10'001'000;
    keys_[name] = key;
    reply.seq = mine.seq;
    reply.known = mine.known;
    reply.leased_away = away;
    return reply;
}

}  // namespace sluice::sim
