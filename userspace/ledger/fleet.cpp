#include "ledger/fleet.hpp"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <future>
#include <nlohmann/json.hpp>
#include <tuple>

namespace sluice {
namespace asio = boost::asio;
namespace {

constexpr std::uint64_t kTicksBetweenQuestions = 2;
constexpr std::uint64_t kTicksASecond = 20;
constexpr std::uint64_t kTicksBetweenSweeps = 10 * kTicksASecond;
constexpr std::size_t kReadAtOnce = 256;
constexpr std::size_t kEnoughUnread = 4096;   // then Redis keeps the rest for us
constexpr unsigned kHostsListedASecond = 50;  // so that a thousand hosts do not send each other lists all day
constexpr Nanos kLateAfter = 3 * kSecond;
constexpr auto kLeavePatience = std::chrono::milliseconds{100};
constexpr std::size_t kLongestText = 256;

// What another process wrote: cut, and without what a terminal would obey.
std::string plain(const nlohmann::json& object, const char* name) {
    const auto found = object.find(name);
    if (found == object.end() || !found->is_string()) return {};
    std::string text = found->get<std::string>().substr(0, kLongestText);
    std::ranges::replace_if(
        text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, '?');
    return text;
}

FleetHost host_of(const SeenHost& seen, Nanos since_listed) {
    FleetHost host;
    host.id = seen.id;
    host.ago = seen.ago + since_listed;
    host.state = host.ago < kLateAfter       ? FleetHost::State::kUp
                 : host.ago < kHostGoneAfter ? FleetHost::State::kLate
                                             : FleetHost::State::kGone;
    const nlohmann::json read = nlohmann::json::parse(seen.description, nullptr, false);
    if (!read.is_object()) return host;
    host.name = plain(read, "name");
    host.version = plain(read, "version");
    host.policy_name = plain(read, "policy");
    host.policy_hash = plain(read, "hash");
    host.policy_of_fleet = plain(read, "of_fleet");
    if (const auto started = read.find("started_s"); started != read.end() && started->is_number_unsigned())
        host.started_wall =
            static_cast<Nanos>(std::min<std::uint64_t>(started->get<std::uint64_t>(), 1ULL << 33U)) * kSecond;
    return host;
}

}  // namespace

std::string_view to_string(FleetHost::State state) {
    switch (state) {
        case FleetHost::State::kUp:
            return "up";
        case FleetHost::State::kLate:
            return "late";
        case FleetHost::State::kGone:
            return "gone";
    }
    return "gone";
}

Fleet::Fleet(RedisNodes& redis, std::string host_id, std::string name, bool share_policies)
    : redis_(redis),
      slot_(redis.slot_of(kFleetHeadKey)),
      host_id_(std::move(host_id)),
      name_(std::move(name)),
      policies_(share_policies ? std::make_unique<FleetPolicies>(redis_, slot_, host_id_, name_,
                                                                 [this] { tell_of_news(); })
                               : nullptr),
      book_(host_id_) {}

void Fleet::tell_of_news() {
    if (const auto call = on_news_.with([](const auto& held) { return held; })) call();
}

void Fleet::say(FleetFact fact) {
    fact.host = name_;
    bool kept = true;
    const bool first = outbox_.with([&](Outbox& outbox) {
        kept = outbox.facts.size() < kMostWaiting;
        if (kept) outbox.facts.push_back(std::move(fact));
        return !std::exchange(outbox.posted, true);
    });
    if (!kept) stats_.with([](FleetStats& stats) { ++stats.lost; });
    if (first) asio::post(redis_.context(), [this] { drain(); });
}

std::vector<FleetNews> Fleet::take(std::size_t most) {
    return inbox_.with([&](std::deque<FleetNews>& inbox) {
        const auto end = inbox.begin() + static_cast<std::ptrdiff_t>(std::min(most, inbox.size()));
        std::vector<FleetNews> taken{std::move_iterator{inbox.begin()}, std::move_iterator{end}};
        inbox.erase(inbox.begin(), end);
        return taken;
    });
}

void Fleet::describe(std::string policy_name, std::string policy_hash, std::string of_fleet) {
    policy_.with([&](Policy& policy) {
        policy = {std::move(policy_name), std::move(policy_hash), std::move(of_fleet)};
    });
}

FleetStats Fleet::stats() const {
    FleetStats stats = stats_.with([](const FleetStats& held) { return held; });
    if (policies_ && stats.error.empty()) stats.error = policies_->stats().error;
    return stats;
}

std::vector<FleetHost> Fleet::hosts(Nanos now) const {
    std::vector<FleetHost> hosts;
    listed_.with([&](const Listed& listed) {
        for (const SeenHost& seen : listed.hosts) hosts.push_back(host_of(seen, now - listed.at));
    });
    std::erase_if(hosts, [&](const FleetHost& host) { return host.id == host_id_; });
    // A host that was killed and started again is one host.
    const auto lives = [&](const std::string& name) {
        return name == name_ || std::ranges::any_of(hosts, [&](const FleetHost& other) {
                   return other.name == name && other.state == FleetHost::State::kUp;
               });
    };
    std::erase_if(hosts, [&](const FleetHost& host) {
        return host.state != FleetHost::State::kUp && lives(host.name);
    });
    std::ranges::sort(hosts, {}, [](const FleetHost& host) { return std::tie(host.name, host.id); });
    const Policy policy = policy_.with([](const Policy& held) { return held; });
    hosts.insert(hosts.begin(), FleetHost{host_id_, name_, SLUICE_VERSION, policy.name, policy.hash,
                                          policy.of_fleet, started_wall_, 0, FleetHost::State::kUp, true});
    return hosts;
}

void Fleet::leave() {
    if (!redis_.up(slot_)) return;
    auto heard = std::make_shared<std::promise<void>>();
    auto future = heard->get_future();
    asio::post(redis_.context(), [this, heard] {
        redis_.send(slot_, fleet_leave_command(host_id_),
                    [heard](const redisReply*, Nanos, Nanos) { heard->set_value(); });
    });
    future.wait_for(kLeavePatience);
}

void Fleet::tick() {
    ++ticks_;
    if (ticks_ % kTicksBetweenSweeps == 0) book_.sweep(monotonic_now());
    if (!redis_.up(slot_)) return;
    if (std::exchange(fresh_, false)) {
        book_.connected();
        list_at_ = ticks_;
    }
    if (ticks_ % kTicksBetweenQuestions == 0) ask();
    if (ticks_ % kTicksASecond == 1) greet();
    if (ticks_ >= list_at_) {
        list_at_ = ticks_ + kTicksASecond * std::max(1U, known_hosts_ / kHostsListedASecond);
        list();
    }
    speak();
    if (policies_) policies_->tick();
}

void Fleet::drain() {
    std::deque<FleetFact> facts;
    outbox_.with([&](Outbox& outbox) {
        std::swap(outbox.facts, facts);
        outbox.posted = false;
    });
    const Nanos now = monotonic_now();
    std::uint64_t lost = 0;
    for (FleetFact& fact : facts) lost += book_.decide(std::move(fact), now) ? 0 : 1;
    if (lost != 0) stats_.with([&](FleetStats& stats) { stats.lost += lost; });
    speak();
}

// Notes what Redis refuses, as an ACL that lacks a command makes it. Passes `parsed` on.
bool Fleet::understood(const redisReply* reply, bool parsed) {
    if (reply != nullptr)
        stats_.with([&](FleetStats& stats) {
            stats.error = parsed             ? ""
                          : is_error(*reply) ? std::string{reply_text(*reply)}
                                             : "an unknown answer";
        });
    return parsed;
}

void Fleet::speak() {
    if (!redis_.up(slot_) || !book_.has_to_speak()) return;
    const auto words = book_.begin(monotonic_now());
    if (words.empty()) return;
    redis_.send(slot_, fleet_say_command(words), [this](const redisReply* reply, Nanos, Nanos) {
        const auto outcomes = reply == nullptr ? std::nullopt : parse_said(*reply);
        if (!understood(reply, outcomes.has_value())) {
            book_.lost();  // the next tick tries again
            return;
        }
        book_.said(*outcomes);
        stats_.with([&](FleetStats& stats) {
            for (const FleetBook::Outcome outcome : *outcomes) {
                stats.sent += outcome == FleetBook::Outcome::kWritten;
                stats.superseded += outcome == FleetBook::Outcome::kSuperseded;
                stats.full += outcome == FleetBook::Outcome::kFull;
            }
        });
        speak();
    });
}

void Fleet::ask() {
    if (asking_ || inbox_.with([](const auto& inbox) { return inbox.size() >= kEnoughUnread; })) return;
    asking_ = true;
    redis_.send(slot_, {"GET", std::string{kFleetHeadKey}}, [this](const redisReply* reply, Nanos, Nanos) {
        asking_ = false;
        if (reply == nullptr) return;
        if (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_NIL) return;
        const auto head = reply->type == REDIS_REPLY_STRING
                              ? std::optional{std::string_view{reply->str, reply->len}}
                              : std::nullopt;
        if (book_.behind(head)) read();
    });
}

void Fleet::read() {
    asking_ = true;
    redis_.send(slot_, fleet_read_command(book_.since(), kReadAtOnce),
                [this](const redisReply* reply, Nanos, Nanos now) { heard(reply, now); });
}

void Fleet::heard(const redisReply* reply, Nanos now) {
    asking_ = false;
    const auto answer = reply == nullptr ? std::nullopt : parse_read(*reply);
    if (!understood(reply, answer.has_value())) return;
    const std::uint64_t before = book_.since();
    std::vector<FleetNews> news;
    std::uint64_t invalid = 0;
    for (const FleetEntry& entry : answer->entries) {
        FleetNews one{{}, now};
        const auto heard = book_.hear(entry, answer->redis_us, now, one.fact);
        if (heard == FleetBook::Heard::kNews) news.push_back(std::move(one));
        invalid += heard == FleetBook::Heard::kInvalid;
    }
    stats_.with([&](FleetStats& stats) {
        stats.received += news.size();
        stats.invalid += invalid;
    });
    const bool more = answer->entries.size() == kReadAtOnce && book_.since() > before;
    if (!more) book_.caught_up();
    const bool tell = !news.empty();
    const std::size_t unread = inbox_.with([&](std::deque<FleetNews>& inbox) {
        std::ranges::move(news, std::back_inserter(inbox));
        return inbox.size();
    });
    if (tell) tell_of_news();
    if (more && unread < kEnoughUnread) read();
}

void Fleet::greet() {
    redis_.send(
        slot_, fleet_greet_command(host_id_, description()), [this](const redisReply* reply, Nanos, Nanos) {
            const bool counted = reply != nullptr && reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
            if (understood(reply, counted))
                known_hosts_ = static_cast<unsigned>(std::min<long long>(reply->integer, 1'000'000));
        });
}

void Fleet::list() {
    redis_.send(slot_, fleet_list_command(), [this](const redisReply* reply, Nanos, Nanos now) {
        auto hosts = reply == nullptr ? std::nullopt : parse_list(*reply);
        if (hosts) listed_.with([&](Listed& listed) { listed = {*std::move(hosts), now}; });
    });
}

std::string Fleet::description() const {
    const Policy policy = policy_.with([](const Policy& held) { return held; });
    return nlohmann::json{
        {"name", name_},       {"version", SLUICE_VERSION},   {"policy", policy.name},
        {"hash", policy.hash}, {"of_fleet", policy.of_fleet}, {"started_s", started_wall_ / kSecond}}
        .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace sluice
