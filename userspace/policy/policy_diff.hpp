// What changes from one policy to another, by meaning: lists are compared by name, not by index, and
// comments, order of keys and spelling of rates do not count.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "policy/policy.hpp"

namespace sluice {

enum class ChangeKind : std::uint8_t { kAdded, kRemoved, kChanged };

std::string_view to_string(ChangeKind kind);  // "added", "removed", "changed"

struct Change {
    std::string path;  // "$.limits[ai].rate"
    ChangeKind kind = ChangeKind::kChanged;
    std::string before;  // empty if added
    std::string after;   // empty if removed

    bool operator==(const Change&) const = default;
};

// Empty: the policies mean the same. Long prefix lists are summarised: counts and the first few. Key material
// never appears, only a hash of it.
std::vector<Change> diff_policies(const Policy& before, const Policy& after);

// "~ $.limits[ai].rate: 100/h → 120/h", "+ …", "- …", one line each.
std::string to_string(const std::vector<Change>& changes);
// [{"path","kind","before","after"}]
nlohmann::json to_json(const std::vector<Change>& changes);

}  // namespace sluice
