#include "sim/lease_sim.hpp"

#include <algorithm>

namespace sluice::sim {
namespace {

constexpr Nanos kTick = 50 * kMillisecond;
constexpr Nanos kGiveUp = 100 * kMillisecond;
constexpr Nanos kLongestDelay = 3 * kSecond;
constexpr Nanos kLongestCut = 5 * kSecond;
constexpr Nanos kEpoch = 1'700'000'000 * kSecond;
constexpr Nanos kFarthestClock = 1'000'000 * kSecond;

}  // namespace

std::uint64_t most_in_window(const std::vector<Nanos>& times, Nanos window) {
    std::uint64_t most = 0;
    std::size_t first = 0;
    for (std::size_t i = 0; i < times.size(); ++i) {
        while (times[first] <= times[i] - window) ++first;
        most = std::max<std::uint64_t>(most, i - first + 1);
    }
    return most;
}

std::uint64_t entitled(const std::vector<Nanos>& times, std::uint64_t limit, Nanos window) {
    std::deque<Nanos> log;
    std::uint64_t admitted = 0;
    for (const Nanos time : times) {
        while (!log.empty() && log.front() <= time - window) log.pop_front();
        if (log.size() >= limit) continue;
        log.push_back(time);
        ++admitted;
    }
    return admitted;
}

LeaseSim::LeaseSim(const SimConfig& config)
    : config_(config), rate_{.count = config.limit, .window = config.window}, random_(config.seed) {
    hosts_.resize(static_cast<std::size_t>(config.hosts));
    for (Host& host : hosts_) start_host(host);
}

void LeaseSim::start_host(Host& host) {
    host.life = ++lives_;
    host.name = "host" + std::to_string(host.life);
    host.lease = std::make_unique<Lease>(1);
    host.clock = RedisClock{};
    host.waiting.clear();
    host.offset = std::uniform_int_distribution<Nanos>{0, kFarthestClock}(random_);
    host.drift_per_million =
        std::uniform_int_distribution<Nanos>{-config_.drift_per_million, config_.drift_per_million}(random_);
}

void LeaseSim::at(Nanos when, Kind kind, std::uint32_t host, std::uint64_t what) {
    events_.push({when, order_++, kind, host, what});
}

void LeaseSim::transmit(Kind kind, std::uint32_t host, std::uint64_t message) {
    if (now_ < hosts_[host].cut_until || chance() < config_.lost) return;
    const auto draw = [&] {
        const Nanos usual =
            std::uniform_int_distribution<Nanos>{config_.latency / 2, config_.latency * 3 / 2}(random_);
        if (chance() >= config_.delayed) return usual;
        return std::uniform_int_distribution<Nanos>{usual, kLongestDelay}(random_);
    };
    at(now_ + draw(), kind, host, message);
    if (chance() < config_.repeated) at(now_ + draw(), kind, host, message);
}

void LeaseSim::admit(const Waiter& waiter) {
    admissions_.push_back(now_);
    result_.longest_wait = std::max(result_.longest_wait, now_ - waiter.since);
}

void LeaseSim::request(std::uint32_t index) {
    arrivals_.push_back(now_);
    Host& host = hosts_[index];
    const Waiter waiter{now_, ++waiters_};
    switch (host.lease->take(rate_, 1, here(host))) {
        case Lease::Take::kTaken:
            admit(waiter);
            break;
        case Lease::Take::kDenied:
            break;
        case Lease::Take::kAsk:
            host.lease->want(1);
            host.waiting.push_back(waiter);
            at(now_ + config_.deadline, Kind::kDeadline, index, waiter.number);
            break;
    }
    speak(index);
}

// Requests that waited for an answer try again, in order.
void LeaseSim::serve(std::uint32_t index, bool answered) {
    Host& host = hosts_[index];
    std::deque<Waiter> still;
    for (const Waiter& waiter : host.waiting) {
        host.lease->want_no_more(1);
        const Lease::Take take = answered ? host.lease->take(rate_, 1, here(host)) : Lease::Take::kAsk;
        if (take == Lease::Take::kTaken) admit(waiter);
        if (take != Lease::Take::kAsk) continue;
        host.lease->want(1);
        still.push_back(waiter);
    }
    host.waiting = std::move(still);
    speak(index);
}

void LeaseSim::speak(std::uint32_t index) {
    Host& host = hosts_[index];
    const Nanos local = here(host);
    if (host.lease->speaking() && local - host.lease->speaking_since() > kGiveUp) host.lease->give_up();
    if (!host.lease->wants_to_speak(local)) return;
    messages_.push_back({index,
                         host.life,
                         host.name,
                         host.lease->begin(local, host.clock.latest_us(local), short_lease()),
                         {}});
    transmit(Kind::kAtRedis, index, messages_.size() - 1);
}

void LeaseSim::handle(const Event& event) {
    Host& host = hosts_[event.host];
    switch (event.kind) {
        case Kind::kRequest: {
            request(event.host);
            const double mean =
                static_cast<double>(config_.window) / (config_.load * static_cast<double>(config_.limit));
            const auto gap = static_cast<Nanos>(std::exponential_distribution<>{1 / mean}(random_));
            at(now_ + gap, Kind::kRequest,
               std::uniform_int_distribution<std::uint32_t>{
                   0, static_cast<std::uint32_t>(config_.hosts) - 1}(random_));
            break;
        }
        case Kind::kAtRedis: {
            ++result_.calls;
            Message message = messages_[event.what];
            message.reply =
                redis_.call(0, message.name, message.request, (kEpoch + now_ + redis_step_) / kMicrosecond);
            messages_.push_back(message);
            transmit(Kind::kAtHost, event.host, messages_.size() - 1);
            break;
        }
        case Kind::kAtHost: {
            const Message& message = messages_[event.what];
            if (message.life != host.life) break;  // it has crashed since
            const Nanos sent = host.lease->speaking_since();
            if (!host.lease->finish(message.request.seq, message.reply, here(host))) break;
            host.clock.observe(sent, message.reply.now_us);
            serve(event.host, true);
            break;
        }
        case Kind::kDeadline: {
            const auto waiter = std::ranges::find(host.waiting, event.what, &Waiter::number);
            if (waiter == host.waiting.end()) break;
            host.waiting.erase(waiter);
            host.lease->want_no_more(1);
            break;
        }
        case Kind::kTick:
            for (std::uint32_t i = 0; i < hosts_.size(); ++i) speak(i);
            at(now_ + kTick, Kind::kTick);
            break;
        case Kind::kCrash: {
            Host& victim = hosts_[static_cast<std::size_t>(chance() * config_.hosts)];
            start_host(victim);
            at(now_ + config_.crash_every, Kind::kCrash);
            break;
        }
        case Kind::kPartition:
            hosts_[static_cast<std::size_t>(chance() * config_.hosts)].cut_until =
                now_ + static_cast<Nanos>(chance() * static_cast<double>(kLongestCut));
            at(now_ + config_.partition_every, Kind::kPartition);
            break;
        case Kind::kStep:
            redis_step_ += static_cast<Nanos>(event.what);
            break;
        case Kind::kFlush:
            redis_.flush();
            break;
        case Kind::kSnapshot:
            replica_.emplace_back(now_, redis_);
            if (replica_.size() > 2) replica_.pop_front();
            at(now_ + config_.replica_lag / 2, Kind::kSnapshot);
            break;
        case Kind::kFailover:
            if (!replica_.empty()) redis_ = replica_.front().second;
            break;
    }
}

SimResult LeaseSim::run() {
    at(kSecond, Kind::kRequest);
    at(kTick, Kind::kTick);
    if (config_.crash_every > 0) at(config_.crash_every, Kind::kCrash);
    if (config_.partition_every > 0) at(config_.partition_every, Kind::kPartition);
    for (const auto& [when, step] : config_.clock_steps)
        at(when, Kind::kStep, 0, static_cast<std::uint64_t>(step));
    for (const Nanos when : config_.flushes) at(when, Kind::kFlush);
    for (const Nanos when : config_.failovers) at(when, Kind::kFailover);
    if (!config_.failovers.empty()) at(0, Kind::kSnapshot);
    while (!events_.empty() && events_.top().at < config_.length) {
        const Event event = events_.top();
        events_.pop();
        now_ = event.at;
        handle(event);
    }
    result_.requests = arrivals_.size();
    result_.admitted = admissions_.size();
    result_.entitled = entitled(arrivals_, config_.limit, config_.window);
    result_.most = most_in_window(admissions_, config_.window);
    return result_;
}

}  // namespace sluice::sim
