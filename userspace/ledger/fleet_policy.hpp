// The policy that hosts share through Redis, if they are told to: as it is said, as it stands there, and the script between.
//
// Keys, in the fleet's slot: sluice:1:{fleet}:policy ("version:decided:sha256", a line of JSON, the text) and :policy_head (its first
// line, which hosts ask for). docs/adr/0015 has why. What comes out of Redis is anybody's: nothing of it is believed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"

struct redisReply;

namespace sluice {

struct FleetPolicy {
    std::string text;  // the policy file, byte for byte
    std::string name;
    std::string by;  // the operator
    std::string reason;
    std::string host;     // where it was decided
    std::string host_id;  // and by which process

    std::uint64_t version =
        0;  // microseconds of Redis's clock when it was written, more than any before; 0: not told
    std::uint64_t decided_us = 0;  // by the same clock; 0: not told

    bool operator==(const FleetPolicy&) const = default;
};

extern const std::string_view kFleetPolicyHeadKey;

// Each is a whole command. What was decided `age` ago; or, with a version, what stood in a Redis that has forgotten it.
std::vector<std::string> fleet_policy_say_command(const FleetPolicy& policy, Nanos age);
std::vector<std::string> fleet_policy_read_command();

struct FleetPolicySaid {
    enum class Outcome : std::uint8_t {
        kSuperseded = 0,  // a later decision stands
        kWritten = 1,
        kStands = 2,  // it was there already
    };
    Outcome outcome = Outcome::kSuperseded;
    std::uint64_t version = 0;  // of what stands now
    std::uint64_t decided_us = 0;
};
// Each is nullopt if it is not what was written.
std::optional<FleetPolicySaid> parse_policy_said(const redisReply& reply);
std::optional<std::uint64_t> parse_policy_head(std::string_view head);  // the version
std::optional<FleetPolicy> parse_policy(std::string_view bytes);

// As the key has it, for parse_policy(). It was told.
std::string to_bytes(const FleetPolicy& policy);

}  // namespace sluice
