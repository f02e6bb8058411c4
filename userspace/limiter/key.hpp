// Names of counters: 128-bit keyed hashes of (limit, kind of subject, subject), each part with its length
// before it, so that no text a user can choose reaches another's counter. In two steps, because a request is
// one subject's and has a counter for each of its limits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/ip_prefix.hpp"
#include "base/result.hpp"

namespace sluice {

struct KeyHash {
    std::uint64_t high = 0;
    std::uint64_t low = 0;

    bool operator==(const KeyHash&) const = default;
};

// What a counter belongs to. Part of the name: the user "\x01\x02\x03\x04" is not the address 1.2.3.4.
enum class SubjectKind : std::uint8_t { kAddress = 1, kUser = 2 };

// XXH3-128 with a secret of our own: fast, and without the secret nobody can aim for a collision. Kept by the
// ledger, because counters that outlive a restart must keep their names.
using KeySecret = std::array<std::byte, 192>;

// From getrandom(2).
Result<KeySecret> random_key_secret();

// Immutable; any thread.
class KeyHasher {
  public:
    explicit KeyHasher(const KeySecret& secret) : secret_(secret) {}

    // One user or one source. name: any bytes, any length.
    KeyHash subject(SubjectKind kind, std::string_view name) const;
    KeyHash subject(const IpPrefix& source) const;
    // A limit. Also says which keys share an overflow counter (see Limiter).
    std::uint64_t limit_id(std::string_view limit) const;
    // The counter of a subject for a limit.
    KeyHash key(std::uint64_t limit_id, const KeyHash& subject) const;

    // A user as a number, for Escalation; never 0, which is nobody.
    std::uint64_t identity(std::string_view user) const;

  private:
    KeyHash hash(std::span<const std::string_view> parts) const;

    KeySecret secret_;
};

}  // namespace sluice
