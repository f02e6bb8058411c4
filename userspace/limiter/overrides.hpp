// Rates of single users that differ from the policy's, for a time or until lifted. An immutable snapshot,
// replaced as a whole (base/snapshot.hpp); a look-up while there are none costs one test.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "policy/policy.hpp"

namespace sluice {

struct Override {
    std::string limit;                // name of the limit
    Rate rate;                        // at_once() if the limit's is; counts for no other
    std::optional<Nanos> expires_at;  // ledger clock; none: until lifted

    bool active(Nanos now) const { return !expires_at || now < *expires_at; }
    bool operator==(const Override&) const = default;
};

class Overrides {
  public:
    bool empty() const { return users_.empty(); }
    std::size_t size() const;
    // The override in force, or nullptr. Valid as long as this snapshot.
    const Override* find(std::string_view user, std::string_view limit, Nanos now) const;
    // All of a user, expired ones too.
    std::vector<Override> of(std::string_view user) const;

    // Copies with one change; the original is untouched. with(): kInvalid if user or limit is empty or longer
    // than 1024 bytes, the rate has no count, or it expires before `now`. without(): kNotFound
    // if there is none.
    Result<Overrides> with(std::string_view user, Override change, Nanos now) const;
    Result<Overrides> without(std::string_view user, std::string_view limit) const;
    // Without those that expired before now.
    Overrides current(Nanos now) const;

    // For the ledger: versioned. parse(): kInvalid, saying what is wrong.
    std::string serialise() const;
    static Result<Overrides> parse(std::string_view bytes);

    bool operator==(const Overrides&) const = default;

  private:
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    };
    std::unordered_map<std::string, std::vector<Override>, TextHash, std::equal_to<>> users_;
};

}  // namespace sluice
