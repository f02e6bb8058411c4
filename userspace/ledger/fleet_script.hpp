// The Lua scripts that keep the fleet's facts and hosts in Redis, how they are called, and what they answer.
//
// Keys, all in one slot: sluice:1:{fleet}:facts (hash: subject → bytes), :log (subjects by version), :ends (subjects by when they
// end, ms), :head ("version:epoch", what hosts ask for ten times a second), :hosts (hash: process → description), :seen
// (processes by when they spoke last, ms).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/fleet_book.hpp"

struct redisReply;

namespace sluice {

extern const std::string_view kFleetHeadKey;

// Redis 6 or newer, or Valkey. Each is a whole command.
// words: of FleetBook::begin().
std::vector<std::string> fleet_say_command(const std::vector<std::string>& words);
// The next entries after a version, oldest first; at most `most`.
std::vector<std::string> fleet_read_command(std::uint64_t since, std::size_t most);
// This process lives, and this is how it describes itself. Answers how many do.
std::vector<std::string> fleet_greet_command(const std::string& id, const std::string& description);
std::vector<std::string> fleet_list_command();
// This process ends.
std::vector<std::string> fleet_leave_command(const std::string& id);

inline constexpr Nanos kHostGoneAfter = 10 * kSecond;  // without a word: no longer counted
inline constexpr Nanos kHostForgottenAfter = kHour;

// Each is nullopt if it is not what the script answers.
std::optional<std::vector<FleetBook::Outcome>> parse_said(const redisReply& reply);
struct FleetRead {
    std::uint64_t redis_us = 0;
    std::vector<FleetEntry> entries;
};
std::optional<FleetRead> parse_read(const redisReply& reply);
struct SeenHost {
    std::string id;
    std::string description;
    Nanos ago = 0;  // when it spoke last
};
std::optional<std::vector<SeenHost>> parse_list(const redisReply& reply);

}  // namespace sluice
