// What is wrong with something an operator wrote: where it stands, what it is, and what would be right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace sluice {

enum class Severity : std::uint8_t { kError, kWarning };

std::string_view to_string(Severity severity);  // "error", "warning"

struct Problem {
    Severity severity = Severity::kError;
    std::string file;     // as the user named it
    unsigned line = 0;    // from 1; 0: the file as a whole
    unsigned column = 0;  // from 1; 0: the line as a whole
    std::string path;  // "$.limits[2].rate"; empty if the fault has no place in the tree (a syntax error, a
                       // list file)
    std::string message;  // one line
    std::string allowed;  // what would be right; may be empty

    bool operator==(const Problem&) const = default;
};

using Problems = std::vector<Problem>;

// Readers stop to collect here: who made more mistakes than this will come back anyway.
inline constexpr std::size_t kMaxProblems = 100;

// "policy.yaml:12:9: error: burst 0 lets no packet pass (at $.kernel.limits[0].burst); allowed: 1…4294967295"
std::string to_string(const Problem& problem);
// One line each, in the order given.
std::string to_string(const Problems& problems);
// [{"severity","file","line","column","path","message","allowed"}], without the members that are not known.
nlohmann::json to_json(const Problems& problems);

bool has_errors(const Problems& problems);
// All errors as one kInvalid, for callers that only speak Result.
Error to_error(const Problems& problems);

// Text of the user's for use inside a message: in quotes, controls and bytes that are not UTF-8 escaped, cut
// after 64 bytes.
std::string in_quotes(std::string_view text);

}  // namespace sluice
