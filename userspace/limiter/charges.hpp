// Which limits a request is charged against, and under which names.
//
// A limit applies when its class is empty or the class of the request's route, and its `when` fits. `per:
// user` of an anonymous request is its address. If the policy has limits but none with a rate applies, the
// strictest does, never none: the one with the lowest sustained rate among the enforced (among all, if none is
// enforced); of equal rates the one with the smaller count, then the first written. One with `concurrent` is
// looser than any with a rate, and is added only where nothing applies. A policy without limits charges nothing.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limiter/limiter.hpp"
#include "limiter/overrides.hpp"
#include "policy/policy.hpp"

namespace sluice {

// Who asks for what.
struct RequestSubject {
    std::string_view class_name;  // of the matched route; empty: none
    std::string_view user;        // verified; empty: anonymous
    IpAddress client;             // not masked: the policy's source_prefix is applied here
    std::uint32_t cost = 1;
};

// The charges of one request: charges()[i] is of policy.limits[limits()[i]]. Those by rates come first, ready for
// Limiter::admit; then those by requests in flight, ready for InFlight::Attempt.
class ChargeList {
  public:
    std::span<const Charge> charges() const { return {charges_.data(), size_}; }
    std::span<const Charge> by_rate() const { return charges().first(rates_); }
    std::span<const Charge> in_flight() const { return charges().subspan(rates_); }
    std::span<const std::uint16_t> limits() const { return {limits_.data(), size_}; }
    std::size_t size() const { return size_; }

  private:
    friend class ChargePlan;
    std::array<Charge, kMaxCharges> charges_;
    std::array<std::uint16_t, kMaxCharges> limits_;
    std::size_t size_ = 0;
    std::size_t rates_ = 0;
};

// The limits of one policy, sorted out once. Immutable; any thread. Keeps no reference to the policy.
class ChargePlan {
  public:
    // kInvalid if more than kMaxCharges limits apply to one request; the message names the class.
    static Result<ChargePlan> make(const Policy& policy, const KeyHasher& hasher);

    // Indexes into policy.limits: those with a rate in their order, then those with `concurrent` in theirs.
    std::span<const std::uint16_t> limits(std::string_view class_name, bool authenticated) const;
    // The charges of a request, the user's overrides in force at `now` applied.
    void charges(const RequestSubject& request, const Overrides& overrides, Nanos now, ChargeList& out) const;
    // The counter that limit `index` keeps for this request.
    KeyHash key(std::uint16_t index, const RequestSubject& request) const;

  private:
    struct Limit {
        std::string name;
        std::uint64_t id;
        LimitScope per;
        Rate rate;
        LimitMode mode;
        LimitAlgorithm algorithm;
    };
    struct Class {
        std::string name;  // empty: routes without a class, or with one that no limit names
        std::array<std::vector<std::uint16_t>, 2> limits;  // anonymous, authenticated
    };

    explicit ChargePlan(const KeyHasher& hasher) : hasher_(hasher) {}
    KeyHash subject(LimitScope per, const RequestSubject& request) const;

    KeyHasher hasher_;
    SourcePrefix source_prefix_;
    std::vector<Limit> limits_;
    std::vector<Class> classes_;  // few: looked through; the first is the one without a name
};

}  // namespace sluice
