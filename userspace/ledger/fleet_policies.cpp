#include "ledger/fleet_policies.hpp"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace sluice {
namespace asio = boost::asio;
namespace {

constexpr std::uint64_t kTicksBetweenQuestions = 5;

}  // namespace

FleetPolicies::FleetPolicies(RedisNodes& redis, RedisSlot slot, std::string host_id, std::string host,
                             std::function<void()> news)
    : redis_(redis),
      slot_(slot),
      host_id_(std::move(host_id)),
      host_(std::move(host)),
      news_(std::move(news)) {}

void FleetPolicies::know(std::optional<FleetPolicy> policy) {
    asio::post(redis_.context(), [this, policy = std::move(policy)] {
        known_ = policy ? policy->version : 0;
        latest_ = policy;
        ready_ = true;
    });
}

void FleetPolicies::say(FleetPolicy policy) {
    policy.host = host_;
    policy.host_id = host_id_;
    policy.version = policy.decided_us = 0;
    box_.with([&](Box& box) { box = {std::move(policy), monotonic_now(), std::nullopt}; });
    asio::post(redis_.context(), [this] { tell(); });
}

std::optional<FleetPolicies::News> FleetPolicies::take() {
    return box_.with([](Box& box) { return std::exchange(box.news, std::nullopt); });
}

FleetPolicies::Stats FleetPolicies::stats() const {
    return stats_.with([](const Stats& stats) { return stats; });
}

void FleetPolicies::tick() {
    if (!ready_ || !redis_.up(slot_)) return;
    tell();
    if (++ticks_ % kTicksBetweenQuestions == 0) ask();
}

void FleetPolicies::refused(const redisReply* reply) {
    if (reply == nullptr) return;
    stats_.with([&](Stats& stats) {
        stats.error = is_error(*reply) ? std::string{reply_text(*reply)} : "an unknown answer";
    });
}

void FleetPolicies::tell() {
    if (!ready_ || telling_ || !redis_.up(slot_)) return;
    Nanos decided = 0;
    auto policy = box_.with([&](const Box& box) {
        decided = box.decided;
        return box.outgoing;
    });
    if (!policy) return;
    telling_ = true;
    const auto words = fleet_policy_say_command(*policy, monotonic_now() - decided);
    redis_.send(slot_, words,
                [this, decided, policy = *policy](const redisReply* reply, Nanos, Nanos) mutable {
                    telling_ = false;
                    const auto said = reply == nullptr ? std::nullopt : parse_policy_said(*reply);
                    if (!said) return refused(reply);  // the next tick tries again
                    const bool stands = said->outcome != FleetPolicySaid::Outcome::kSuperseded;
                    stats_.with([&](Stats& stats) {
                        ++(stands ? stats.told : stats.superseded);
                        stats.error.clear();
                    });
                    if (stands) {
                        policy.version = said->version;
                        policy.decided_us = said->decided_us;
                        known_ = std::max(known_, said->version);
                        latest_ = policy;
                    }
                    const bool tell_of_it = box_.with([&](Box& box) {
                        if (!box.outgoing || box.decided != decided)
                            return false;  // another has been decided meanwhile
                        box.outgoing.reset();
                        if (stands) box.news = News{std::move(policy), true};
                        return stands;
                    });
                    if (tell_of_it) news_();
                });
}

void FleetPolicies::ask() {
    if (asking_ || telling_) return;
    asking_ = true;
    redis_.send(slot_, {"GET", std::string{kFleetPolicyHeadKey}},
                [this](const redisReply* reply, Nanos, Nanos) {
                    asking_ = false;
                    if (reply == nullptr) return;
                    const bool text = reply->type == REDIS_REPLY_STRING;
                    if (!text && reply->type != REDIS_REPLY_NIL) return refused(reply);
                    const auto version =
                        text ? parse_policy_head(reply_text(*reply)) : std::optional<std::uint64_t>{0};
                    if (!version) return;
                    if (*version > known_ && *version != unreadable_) read();
                    if (*version < known_) offer_again();
                });
}

void FleetPolicies::read() {
    asking_ = true;
    redis_.send(slot_, fleet_policy_read_command(), [this](const redisReply* reply, Nanos, Nanos) {
        asking_ = false;
        if (reply == nullptr) return;
        if (reply->type != REDIS_REPLY_STRING) return refused(reply);
        auto policy = parse_policy(reply_text(*reply));
        if (!policy) {
            unreadable_ =
                parse_policy_head(reply_text(*reply).substr(0, reply_text(*reply).find('\n'))).value_or(0);
            stats_.with([](Stats& stats) {
                ++stats.invalid;
                stats.error = "what stands in Redis as the fleet's policy is none";
            });
            return;
        }
        stats_.with([](Stats& stats) { stats.error.clear(); });
        if (policy->version > known_) heard(*std::move(policy));
    });
}

void FleetPolicies::heard(FleetPolicy policy) {
    // What this host has decided and not yet told is the later one, or Redis will say that it is not.
    // And a decision that was only written again, to a Redis that had forgotten it, is none.
    const bool known = latest_ && latest_->decided_us == policy.decided_us && latest_->text == policy.text;
    const bool untold = box_.with([&](Box& box) {
        if (!box.outgoing && !known) box.news = News{policy, false};
        return box.outgoing.has_value();
    });
    if (untold) return;
    known_ = policy.version;
    latest_ = std::move(policy);
    if (!known) news_();
}

// To a Redis that was emptied, or a replica that had missed it.
void FleetPolicies::offer_again() {
    if (!latest_ || telling_ || box_.with([](const Box& box) { return box.outgoing.has_value(); })) return;
    telling_ = true;
    redis_.send(slot_, fleet_policy_say_command(*latest_, 0), [this](const redisReply* reply, Nanos, Nanos) {
        telling_ = false;
        const auto said = reply == nullptr ? std::nullopt : parse_policy_said(*reply);
        if (!said) return refused(reply);
        // A later one that was decided meanwhile has a lower version than ours had: it is heard as news.
        known_ = said->outcome == FleetPolicySaid::Outcome::kSuperseded ? 0 : said->version;
        if (known_ == 0) return;
        latest_->version = said->version;
        latest_->decided_us = said->decided_us;
    });
}

}  // namespace sluice
