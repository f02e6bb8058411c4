// The exit codes of sluicectl: a promise to scripts, listed in its manual page.
#pragma once

#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace sluice {

enum class ExitCode : int {
    kOk = 0,
    kFailed = 1,
    kUsage = 2,
    kNotFound = 3,
    kNotPermitted = 4,
    kUnreachable = 5,
    kConflict = 6,
    kInvalid = 7,
};

struct ExitCodeMeaning {
    ExitCode code;
    std::string_view meaning;
};
// All of them in order, for --help and the manual page.
const std::vector<ExitCodeMeaning>& exit_code_meanings();

// What an answer of the daemon means: 2xx is kOk.
ExitCode exit_code_of_http(unsigned status);
ExitCode exit_code_of(ErrorCode code);

}  // namespace sluice
