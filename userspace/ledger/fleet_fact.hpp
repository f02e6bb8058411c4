// What hosts tell one another through Redis: a ban, an override of a quota, a reset, or that one of them no longer holds.
//
// What comes out of Redis is anybody's: decode() believes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"
#include "limiter/window.hpp"  // Rate

namespace sluice {

struct FleetFact {
    enum class Kind : std::uint8_t { kBan, kOverride, kReset };

    Kind kind = Kind::kBan;
    bool withdrawn = false;  // lifted, unset

    IpPrefix source;     // kBan
    std::string reason;  // kBan
    std::string origin;  // kBan: "kernel", "escalation" or "operator", as its host has it
    std::string user;    // kOverride, kReset
    std::string limit;   // kOverride
    Rate rate{};         // kOverride, unless withdrawn

    std::string by;       // the operator; empty: nobody
    std::string host;     // the name of the host that decided it
    std::string host_id;  // and of its process: no other ever has the same
    // From now on; > 0; none: until withdrawn. Of what is withdrawn: how long that has to be remembered.
    std::optional<Nanos> lasts;

    // Decided by no person. Such a ban never shortens another.
    bool automatic() const { return kind == Kind::kBan && !withdrawn && origin != "operator"; }
    bool operator==(const FleetFact&) const = default;
};

inline constexpr std::size_t kMostFactBytes = 8192;

// What it is about: two facts of one subject replace one another.
std::string subject_of(const FleetFact& fact);
// Without what it lasts, which Redis keeps. The first byte tells the script what it is: 'a' automatic, 'o' of an operator,
// '-' withdrawn. nullopt: a text in it is no UTF-8.
std::optional<std::string> encode(const FleetFact& fact);
// nullopt: not what encode() makes for this subject.
std::optional<FleetFact> decode(std::string_view subject, std::string_view bytes);

}  // namespace sluice
