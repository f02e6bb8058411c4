// Random and adversarial policies and frames, the same for the same numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "model/walk_model.hpp"

namespace sluice::model {

// SplitMix64: small, quick, and every seed is as good as any other.
class Random {
  public:
    explicit Random(std::uint64_t seed) : state_{seed} {}
    std::uint64_t next();
    // 0 … below-1
    std::uint64_t below(std::uint64_t below) { return next() % below; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    template <class T, std::size_t N>
    const T& of(const T (&choices)[N]) {
        return choices[below(N)];
    }
    template <class T>
    const T& of(const std::vector<T>& choices) {
        return choices[below(choices.size())];
    }

  private:
    std::uint64_t state_;
};

struct OperatorBan {
    IpPrefix source;
    Nanos duration = 0;
};

// Policies that come one after the other, and who sends under them.
struct Scenario {
    std::uint64_t seed = 0;
    std::vector<Rules> policies;  // one or two
    std::vector<OperatorBan> bans;
    std::vector<IpAddress> sources;
    std::vector<std::uint16_t> ports;

    // The i-th packet, how much later it comes than the one before, and which policy is in force then.
    std::vector<std::uint8_t> frame(std::uint64_t i) const;
    Nanos gap_before(std::uint64_t i) const;
    std::size_t policy_of(std::uint64_t i) const { return i < kPacketsPerPolicy ? 0 : policies.size() - 1; }
    std::uint64_t packets() const { return policies.size() * kPacketsPerPolicy; }
    static constexpr std::uint64_t kPacketsPerPolicy = 20'000;
};

// Sources are so few that a table of 2^16 sets of eight has room for what is known of each: at most eight things of
// one source, and nearly never more than eight in one set.
// shortest_burst: of any limit, in time.
Scenario make_scenario(std::uint64_t seed, Nanos shortest_burst);

}  // namespace sluice::model
