// The policies that were active, newest first, and the rule by which one is resumed after a restart
// (docs/adr/0002). Pure; the control loop stores the document in the ledger.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"

namespace sluice {

struct PolicyVersion {
    std::uint64_t n = 0;  // the generation: 1, 2, … over the life of the ledger
    std::string name;     // the policy's
    std::string hash;
    std::string text;    // the policy file, byte for byte; referenced files are read anew on a rollback
    std::string origin;  // "file", "api", "rollback" or "fleet"
    std::string by;      // who: "file", or an admin caller
    std::string reason;
    std::string file_hash;  // of the policy file at that time
    Nanos applied_at = 0;   // wall clock
    std::string outcome;    // "active", "replaced", "unconfirmed" (still waiting), "rolled_back"
};

class PolicyHistory {
  public:
    static constexpr std::size_t kKept = 50;  // each at most 1 MiB of text

    // Appends the version that is active from now on; the one before becomes "replaced".
    void add(PolicyVersion version);
    // The unconfirmed newest version stays.
    void confirm();
    // The unconfirmed newest version was taken back.
    void mark_rolled_back();

    const PolicyVersion* newest() const { return versions_.empty() ? nullptr : &versions_.front(); }
    const PolicyVersion* find(std::uint64_t n) const;
    // What a rollback without a number goes to: the newest version before the active one that differs from it
    // and was not itself rolled back.
    const PolicyVersion* previous() const;
    // What to start with instead of the file: the last settled version, if it did not come from the file and
    // the file has not changed since.
    const PolicyVersion* resumable(std::string_view file_hash_now) const;

    const std::deque<PolicyVersion>& versions() const { return versions_; }
    std::uint64_t next_number() const { return versions_.empty() ? 1 : versions_.front().n + 1; }

    std::string to_document() const;
    // A document of another version is ignored: the file decides then.
    static PolicyHistory from_document(std::string_view document);

  private:
    std::deque<PolicyVersion> versions_;
};

}  // namespace sluice
