#include "api/policy_control.hpp"

#include <filesystem>
#include <stdexcept>
#include <utility>

#include "policy/sha256.hpp"

namespace sluice {
namespace {

constexpr std::string_view kDocument = "policy_history";
constexpr std::string_view kActive = "active";
constexpr std::string_view kUnconfirmed = "unconfirmed";

const Actor kFileActor{"file", "the watched policy file", "admin", ""};
const Actor kDeadlineActor{"sluice", "the deadline to confirm", "admin", ""};

PolicyRefusal conflict(std::string message) {
    return {{}, Error{ErrorCode::kConflict, std::move(message)}};
}

}  // namespace

std::string PolicyRefusal::message() const {
    if (error) return error->message;
    std::string lines = to_string(problems);
    if (lines.ends_with('\n')) lines.pop_back();
    return lines;
}

void throw_exception_from_error(const PolicyRefusal& refusal, const boost::source_location&) {
    throw std::logic_error("unchecked refusal: " + refusal.message());
}

PolicyControl::PolicyControl(std::string file, const KeyHasher& hasher, Ledger& ledger, EventLog& log,
                             Metrics& metrics, Activate activate)
    : file_(std::move(file)),
      hasher_(hasher),
      ledger_(ledger),
      check_(enforceable_with(ledger.kind() == "redis")),
      log_(log),
      metrics_(metrics),
      activate_(std::move(activate)) {}

std::string PolicyControl::folder() const {
    const std::filesystem::path parent = std::filesystem::path{file_}.parent_path();
    return parent.empty() ? "." : parent.string();
}

PolicyVersion PolicyControl::describe(const LoadedPolicy& loaded, std::string origin, std::string by,
                                      std::string reason) const {
    PolicyVersion version;
    version.n = history_.next_number();
    version.name = loaded.policy->name;
    version.hash = loaded.hash;
    version.text = loaded.text;
    version.origin = std::move(origin);
    version.by = std::move(by);
    version.reason = std::move(reason);
    version.file_hash = file_hash_;
    version.applied_at = wall_now();
    version.outcome = kActive;
    return version;
}

PolicyResult<AppliedPolicy> PolicyControl::start(std::string& note) {
    if (const auto document = ledger_.get_document(kDocument); document && *document)
        history_ = PolicyHistory::from_document(**document);

    PolicyLoad from_file = load_policy_file(file_, check_);
    if (!from_file) return PolicyRefusal{from_file.problems, std::nullopt};
    file_hash_ = sha256_hex(from_file.loaded->text);

    if (const PolicyVersion* applied = history_.resumable(file_hash_)) {
        PolicyLoad resumed =
            load_policy_text(applied->text, "policy version " + std::to_string(applied->n), folder(), check_);
        if (resumed) {
            note = "resumed the policy applied by " + applied->by + " (version " +
                   std::to_string(applied->n) + ", hash " + resumed.loaded->hash + "): " + file_ +
                   " has not changed since";
            PolicyVersion version = describe(*resumed.loaded, applied->origin, applied->by, applied->reason);
            return put_in_force(*std::move(resumed.loaded), std::move(version));
        }
        note = "the policy applied by " + applied->by + " (version " + std::to_string(applied->n) +
               ") can no longer be loaded, " + file_ + " is taken: " + to_string(resumed.problems);
    } else {
        note =
            "policy " + from_file.loaded->policy->name + " (hash " + from_file.loaded->hash + ") of " + file_;
    }
    PolicyVersion version = describe(*from_file.loaded, "file", "file", "start");
    return put_in_force(*std::move(from_file.loaded), std::move(version));
}

PolicyResult<LoadedPolicy> PolicyControl::check(std::string_view text, const std::string& name) const {
    PolicyLoad load = load_policy_text(text, name, folder(), check_);
    if (!load) return PolicyRefusal{std::move(load.problems), std::nullopt};
    if (const auto compiled = ActivePolicy::compile(*load.loaded, 0, hasher_); !compiled)
        return PolicyRefusal{{}, compiled.error()};
    return *std::move(load.loaded);
}

PolicyResult<AppliedPolicy> PolicyControl::put_in_force(LoadedPolicy loaded, PolicyVersion version) {
    auto compiled = ActivePolicy::compile(loaded, version.n, hasher_);
    if (!compiled) return PolicyRefusal{{}, compiled.error()};
    if (auto activated = activate_(*compiled); !activated) return PolicyRefusal{{}, activated.error()};

    AppliedPolicy applied{loaded.policy->name, loaded.hash, version.n, loaded.warnings, std::nullopt};
    loaded_ = std::move(loaded);
    version_ = version;
    history_.add(std::move(version));
    store_history();
    std::vector<std::string> files = loaded_.files;
    files.push_back(file_);
    watch_.watch(std::move(files));
    metrics_.count(Metric::kPolicyApplies, {"applied"});
    return applied;
}

PolicyResult<AppliedPolicy> PolicyControl::apply(std::string_view text, const std::string& name,
                                                 const std::string& reason,
                                                 std::optional<Nanos> confirm_within, const Actor& actor) {
    const auto attempt = [&]() -> PolicyResult<AppliedPolicy> {
        if (pending_)
            return conflict("policy version " + std::to_string(version_.n) +
                            " waits to be confirmed: confirm it or roll it back first");
        if (confirm_within && (*confirm_within < kSecond || *confirm_within > kLongestConfirm))
            return PolicyRefusal{{}, Error{ErrorCode::kInvalid, "the time to confirm is 1s to 1d"}};
        auto loaded = check(text, name);
        if (!loaded) return loaded.error();
        if (loaded->hash == version_.hash)  // nothing to do, nothing to confirm
            return AppliedPolicy{version_.name, version_.hash, version_.n, loaded->warnings, std::nullopt};

        PolicyVersion version = describe(*loaded, "api", actor.name, reason);
        if (!confirm_within) return put_in_force(*std::move(loaded), std::move(version));

        version.outcome = kUnconfirmed;
        Pending pending{loaded_, version_, monotonic_now() + *confirm_within, wall_now() + *confirm_within};
        auto applied = put_in_force(*std::move(loaded), std::move(version));
        if (!applied) return applied;
        applied->confirm_by_wall = pending.deadline_wall;
        pending_ = std::move(pending);
        return applied;
    };
    auto applied = attempt();
    if (!applied) metrics_.count(Metric::kPolicyApplies, {"refused"});
    log_.write(audit_of(actor, applied ? Audit::Action::kPolicyApplied : Audit::Action::kPolicyRefused,
                        applied.has_value(), applied ? applied->hash : name,
                        applied ? reason : applied.error().message()));
    if (applied && !pending_) tell(reason, actor.name);
    return applied;
}

void PolicyControl::tell(const std::string& reason, const std::string& by) {
    fleet_problem_.clear();  // a later word than the fleet's
    if (!say_) return;
    PolicyVersion version = version_;
    version.reason = reason;
    version.by = by;
    say_(version);
}

PolicyResult<AppliedPolicy> PolicyControl::take(std::string_view text, const std::string& by,
                                                const std::string& host, const std::string& reason) {
    if (pending_) return conflict("policy version " + std::to_string(version_.n) + " waits to be confirmed");
    const auto attempt = [&]() -> PolicyResult<AppliedPolicy> {
        auto loaded = check(text, "policy of " + host);
        if (!loaded) return loaded.error();
        if (loaded->hash == version_.hash)
            return AppliedPolicy{version_.name, version_.hash, version_.n, loaded->warnings, std::nullopt};
        PolicyVersion version = describe(*loaded, "fleet", by + " on " + host, reason);
        return put_in_force(*std::move(loaded), std::move(version));
    };
    const std::uint64_t before = version_.n;
    auto taken = attempt();
    const std::string problem = taken ? std::string{} : taken.error().message();
    const Actor actor{by, "host " + host + " of the fleet", "admin", ""};
    if (taken && taken->generation != before)
        log_.write(audit_of(actor, Audit::Action::kPolicyApplied, true, taken->hash, reason));
    if (!taken && problem != fleet_problem_) {
        metrics_.count(Metric::kPolicyApplies, {"refused"});
        log_.write(audit_of(actor, Audit::Action::kPolicyRefused, false, "policy of " + host, problem));
    }
    fleet_problem_ = problem;
    return taken;
}

Result<> PolicyControl::confirm(const Actor& actor) {
    if (!pending_) return Error{ErrorCode::kConflict, "no policy waits to be confirmed"};
    pending_.reset();
    version_.outcome = kActive;
    history_.confirm();
    store_history();
    metrics_.count(Metric::kPolicyApplies, {"confirmed"});
    log_.write(audit_of(actor, Audit::Action::kPolicyConfirmed, true, version_.hash, {}));
    tell(version_.reason, actor.name);
    return {};
}

PolicyResult<AppliedPolicy> PolicyControl::take_back(const Actor& actor, const std::string& reason) {
    // The text is loaded anew if it can be: a list that it names may have changed meanwhile. What was in
    // force before is at hand otherwise.
    LoadedPolicy before = pending_->before;
    if (PolicyLoad again = load_policy_text(
            before.text, "policy version " + std::to_string(pending_->before_version.n), folder(), check_))
        before = *std::move(again.loaded);
    PolicyVersion version = describe(before, "rollback", actor.name, reason);
    history_.mark_rolled_back();
    auto restored = put_in_force(std::move(before), std::move(version));
    if (restored) {
        pending_.reset();
        metrics_.count(Metric::kPolicyApplies, {"rolled_back"});
    }
    log_.write(audit_of(actor, Audit::Action::kPolicyRolledBack, restored.has_value(),
                        restored ? restored->hash : version_.hash,
                        restored ? reason : restored.error().message()));
    return restored;
}

PolicyResult<AppliedPolicy> PolicyControl::rollback(std::optional<std::uint64_t> to, const Actor& actor) {
    if (pending_ && (!to || *to == pending_->before_version.n))
        return take_back(actor, "rolled back before confirmed");
    const auto attempt = [&]() -> PolicyResult<AppliedPolicy> {
        if (pending_) return conflict("a policy waits to be confirmed: roll it back first, without a number");
        const PolicyVersion* target = to ? history_.find(*to) : history_.previous();
        if (target == nullptr)
            return PolicyRefusal{
                {},
                Error{ErrorCode::kNotFound, to ? "the history has no version " + std::to_string(*to)
                                               : "the history has no earlier policy that differs"}};
        const std::string name = "policy version " + std::to_string(target->n);
        const std::string reason = "rollback to version " + std::to_string(target->n);
        auto loaded = check(target->text, name);
        if (!loaded) return loaded.error();
        PolicyVersion version = describe(*loaded, "rollback", actor.name, reason);
        return put_in_force(*std::move(loaded), std::move(version));
    };
    auto done = attempt();
    if (done) metrics_.count(Metric::kPolicyApplies, {"rolled_back"});
    log_.write(audit_of(actor, Audit::Action::kPolicyRolledBack, done.has_value(),
                        done ? done->hash : std::to_string(to.value_or(0)),
                        done ? version_.reason : done.error().message()));
    if (done) tell(version_.reason, actor.name);
    return done;
}

void PolicyControl::reload() {
    if (pending_)
        return;  // it is looked at once the pending policy is settled: the file differs from what is known
    follow_files();
}

void PolicyControl::tick(Nanos monotonic) {
    if (history_stale_) store_history();
    if (pending_) {
        if (monotonic < pending_->deadline) return;
        // If even the old policy is refused (a kernel that is gone, say), the new one stays and it is tried
        // again.
        if (!take_back(kDeadlineActor, "not confirmed in time")) pending_->deadline = monotonic + 5 * kSecond;
        return;
    }
    if (watch_.changed()) follow_files();
}

void PolicyControl::follow_files() {
    PolicyLoad from_file = load_policy_file(file_, check_);
    const bool file_valid = static_cast<bool>(from_file);
    const std::string hash_now = file_valid ? sha256_hex(from_file.loaded->text) : std::string{};
    if (!file_valid) {
        refused_file({from_file.problems, std::nullopt});
        if (version_.origin == "file") return;
    }

    // The file itself has changed: it is the latest word. Otherwise one of the lists or keys has, and what is
    // in force is loaded again with it.
    const bool file_changed = file_valid && hash_now != file_hash_;
    PolicyLoad next = file_changed || version_.origin == "file"
                          ? std::move(from_file)
                          : load_policy_text(version_.text, "policy version " + std::to_string(version_.n),
                                             folder(), check_);
    if (!next) return refused_file({next.problems, std::nullopt});
    if (file_changed) file_hash_ = hash_now;
    if (file_valid) file_problem_.clear();
    if (next.loaded->hash == version_.hash) return;

    PolicyVersion version = describe(*next.loaded, file_changed ? "file" : version_.origin,
                                     file_changed ? "file" : version_.by, "a file changed");
    const auto applied = put_in_force(*std::move(next.loaded), std::move(version));
    if (!applied) return refused_file(applied.error());
    log_.write(audit_of(kFileActor, Audit::Action::kPolicyApplied, true, applied->hash, version_.reason));
}

void PolicyControl::refused_file(const PolicyRefusal& refusal) {
    file_problem_ = refusal.message();
    metrics_.count(Metric::kPolicyApplies, {"refused"});
    log_.write(audit_of(kFileActor, Audit::Action::kPolicyRefused, false, file_, file_problem_));
}

std::optional<Nanos> PolicyControl::confirm_by_wall() const {
    return pending_ ? std::optional{pending_->deadline_wall} : std::nullopt;
}

void PolicyControl::store_history() {
    history_stale_ = !ledger_.put_document(kDocument, history_.to_document()).has_value();
}

}  // namespace sluice
