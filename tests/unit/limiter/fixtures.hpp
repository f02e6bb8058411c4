// What the limiter's tests share: a hasher with a fixed secret, charges by number, and the oracle.
#pragma once

#include <deque>
#include <string>

#include "limiter/limiter.hpp"

namespace sluice::test {

// Sanitizers make the limiter some twenty times slower: they get fewer rounds of the same tests.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

inline const KeyHasher& hasher() {
    static const KeyHasher instance = [] {
        KeySecret secret;
        for (std::size_t i = 0; i < secret.size(); ++i) secret[i] = static_cast<std::byte>(i * 37 + 11);
        return KeyHasher{secret};
    }();
    return instance;
}

inline KeyHash key_of(std::string_view limit, std::uint64_t subject) {
    return hasher().key(hasher().limit_id(limit),
                        hasher().subject(SubjectKind::kUser, std::to_string(subject)));
}

inline Charge charge_of(std::uint64_t subject, Rate rate, std::uint32_t cost = 1,
                        std::string_view limit = "limit", LimitMode mode = LimitMode::kEnforce) {
    return {.key = key_of(limit, subject),
            .limit = hasher().limit_id(limit),
            .rate = rate,
            .cost = cost,
            .mode = mode};
}

inline Admission admit_one(Limiter& limiter, const Charge& charge, Nanos now,
                           ChargeResult* result = nullptr) {
    ChargeResult unused;
    return limiter.admit({&charge, 1}, now, {result != nullptr ? result : &unused, 1});
}

// How late a request may leave the window, by what window.hpp promises: a tick, and above 256 a slot too.
inline Nanos slack_of(const Rate& rate) {
    const Nanos tick = rate.window / (1 << 29) + 1;
    return rate.count <= kExactCount ? tick : rate.window / 1024 + 1 + 2 * tick;
}

// The definition, kept literally: every admitted request with its exact time.
class Oracle {
  public:
    explicit Oracle(Rate rate) : rate_(rate) {}

    // Admitted cost in (now - window - slack, now]. `now` does not go back.
    std::uint64_t used(Nanos now, bool with_slack) {
        forget(now);
        if (with_slack) return late_sum_;
        return sum_;
    }
    bool must_refuse(Nanos now, std::uint32_t cost) { return used(now, false) + cost > rate_.count; }
    bool must_admit(Nanos now, std::uint32_t cost) { return used(now, true) + cost <= rate_.count; }
    void admitted(Nanos now, std::uint32_t cost) {
        log_.push_back({now, cost});
        sum_ += cost;
        late_sum_ += cost;
    }
    const Rate& rate() const { return rate_; }

  private:
    struct Event {
        Nanos time;
        std::uint32_t cost;
    };
    void forget(Nanos now) {
        while (left_ < log_.size() && log_[left_].time <= now - rate_.window) sum_ -= log_[left_++].cost;
        while (!log_.empty() && log_.front().time <= now - rate_.window - slack_of(rate_)) {
            late_sum_ -= log_.front().cost;
            log_.pop_front();
            --left_;
        }
    }

    Rate rate_;
    std::deque<Event> log_;
    std::size_t left_ = 0;  // events at the front that have left the window, but perhaps not by the slack
    std::uint64_t sum_ = 0;
    std::uint64_t late_sum_ = 0;
};

}  // namespace sluice::test
