// Changes the policy of a live host: check, diff, apply with or without a deadline to confirm, roll back,
// follow the file. All or nothing: a policy that cannot be compiled or that the kernel refuses changes
// nothing anywhere.
//
// Control thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "api/active_policy.hpp"
#include "api/actor.hpp"
#include "api/file_watch.hpp"
#include "api/policy_history.hpp"
#include "ledger/ledger.hpp"
#include "policy/policy_yaml.hpp"
#include "telemetry/event_log.hpp"
#include "telemetry/metrics.hpp"

namespace sluice {

// Why a policy was not taken: problems in its text, or the one error of what came after.
struct PolicyRefusal {
    Problems problems;
    std::optional<Error> error;

    std::string message() const;
};

template <class T>
using PolicyResult = boost::system::result<T, PolicyRefusal>;
[[noreturn]] void throw_exception_from_error(const PolicyRefusal& refusal,
                                             const boost::source_location& location);

struct AppliedPolicy {
    std::string name;
    std::string hash;
    std::uint64_t generation = 0;
    Problems warnings;
    std::optional<Nanos> confirm_by_wall;  // unless confirmed by then, the policy before comes back
};

class PolicyControl {
  public:
    static constexpr Nanos kLongestConfirm = kDay;

    // `activate` puts a compiled policy in force everywhere, or nowhere and says why.
    using Activate = std::function<Result<>(std::shared_ptr<const ActivePolicy>)>;

    PolicyControl(std::string file, const KeyHasher& hasher, Ledger& ledger, EventLog& log, Metrics& metrics,
                  Activate activate);

    // The first policy: the file's, or the one that was applied since the file last changed (docs/adr/0002).
    // `note` says which and why.
    PolicyResult<AppliedPolicy> start(std::string& note);

    // Checked as apply() would, and compiled; nothing changes.
    PolicyResult<LoadedPolicy> check(std::string_view text, const std::string& name) const;

    // kConflict while another policy waits to be confirmed.
    PolicyResult<AppliedPolicy> apply(std::string_view text, const std::string& name,
                                      const std::string& reason, std::optional<Nanos> confirm_within,
                                      const Actor& actor);
    // What the hosts of the fleet decided: as apply(), and never told on. `by` and `host` say whose it was. kConflict while a policy
    // waits to be confirmed. A refusal is counted and logged once, and stands in fleet_problem() until the next is taken.
    PolicyResult<AppliedPolicy> take(std::string_view text, const std::string& by, const std::string& host,
                                     const std::string& reason);
    // Called with each decision of this host that is settled: an apply, a confirmation, a rollback. Not what its file says.
    void share_with(std::function<void(const PolicyVersion&)> say) { say_ = std::move(say); }

    // kConflict if nothing waits.
    Result<> confirm(const Actor& actor);
    // To version `to`, or to the one before. A policy that waits to be confirmed is taken back.
    PolicyResult<AppliedPolicy> rollback(std::optional<std::uint64_t> to, const Actor& actor);

    // Rereads the file now (SIGHUP), whether it seems to have changed or not.
    void reload();
    // Several times a second: follows the file, and takes back what was not confirmed by then
    // (CLOCK_MONOTONIC).
    void tick(Nanos monotonic);

    const LoadedPolicy& loaded() const { return loaded_; }
    // What is in force.
    const PolicyVersion& version() const { return version_; }
    const PolicyHistory& history() const { return history_; }
    const std::string& file() const { return file_; }
    std::optional<Nanos> confirm_by_wall() const;
    // The last refusal of the watched file; empty if it was taken.
    const std::string& file_problem() const { return file_problem_; }
    // Why the fleet's policy is not in force here; empty if it is, or there is none.
    const std::string& fleet_problem() const { return fleet_problem_; }

  private:
    struct Pending {
        LoadedPolicy before;
        PolicyVersion before_version;
        Nanos deadline = 0;  // CLOCK_MONOTONIC
        Nanos deadline_wall = 0;
    };

    PolicyResult<AppliedPolicy> put_in_force(LoadedPolicy loaded, PolicyVersion version);
    PolicyResult<AppliedPolicy> take_back(const Actor& actor, const std::string& reason);
    PolicyVersion describe(const LoadedPolicy& loaded, std::string origin, std::string by,
                           std::string reason) const;
    void follow_files();
    void refused_file(const PolicyRefusal& refusal);
    void store_history();
    void tell(const std::string& reason, const std::string& by);
    std::string folder() const;

    std::string file_;
    const KeyHasher& hasher_;
    Ledger& ledger_;
    const PolicyCheck check_;
    EventLog& log_;
    Metrics& metrics_;
    Activate activate_;
    FileWatch watch_;

    LoadedPolicy loaded_;
    PolicyVersion version_;
    std::string file_hash_;  // of the file's own text when it was last taken or refused
    PolicyHistory history_;
    std::optional<Pending> pending_;
    std::string file_problem_;
    std::string fleet_problem_;
    std::function<void(const PolicyVersion&)> say_;  // empty: policies are not shared
    bool history_stale_ = false;
};

}  // namespace sluice
