// The quotas of single users: what is used, what differs from the policy, and the changes operators make.
//
// Control thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/actor.hpp"
#include "api/request_plane.hpp"
#include "ledger/fleet.hpp"
#include "ledger/ledger.hpp"

namespace sluice {

struct Quota {
    std::string limit;
    Rate rate;  // in force
    std::uint64_t used = 0;
    std::uint64_t remaining = 0;
    Counted counted = Counted::kHost;
    std::uint64_t leased = 0;  // of the fleet: held by hosts, so that up to so many more may have been used
    Nanos reset_in = 0;  // until nothing is spent any more; 0 of what is in flight, whose end nobody knows
    std::optional<Rate> policy_rate{};           // what the policy says, if an override is in force
    std::optional<Nanos> override_expires_in{};  // of that override, if it ends
};

class QuotaControl {
  public:
    QuotaControl(RequestPlane& plane, Ledger& ledger) : plane_(plane), ledger_(ledger) {}

    // Reads the overrides of the ledger. Once, at start.
    Result<> restore();

    // One for each `per: user` limit that applies to authenticated requests. A user never seen has used
    // nothing. With a Redis ledger it waits for Redis, if that is there.
    Result<std::vector<Quota>> show(std::string_view user) const;
    // kNotFound: the policy has no such limit per user; kInvalid: see Overrides::with, or a rate for a limit on requests in
    // flight, or the other way round. Durable when it
    // returns, or an error that says it is in force but not stored.
    Result<> set(std::string_view user, std::string_view limit, const Rate& rate,
                 std::optional<Nanos> duration, const Actor& actor);
    Result<> unset(std::string_view user, std::string_view limit, const Actor& actor);
    // Forgets what the user has spent on every limit. What is in flight stays counted.
    Result<> reset(std::string_view user, const Actor& actor);

    // As BanControl's.
    void share_with(std::function<void(FleetFact)> say) { say_ = std::move(say); }
    void peers_said(std::span<const FleetNews> news);

  private:
    // In force and told to the others even if it can't be stored.
    Result<> replace(Result<Overrides> next, FleetFact fact);
    Result<> publish(const Overrides& next);
    void forget_here(std::string_view user);
    void ask_all_hosts(std::span<const KeyHash> keys, std::span<Quota> quotas) const;

    RequestPlane& plane_;
    Ledger& ledger_;
    std::function<void(FleetFact)> say_;
};

}  // namespace sluice
