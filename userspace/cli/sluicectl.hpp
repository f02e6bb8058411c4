// The program sluicectl, but for main(): what a test can run.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/command.hpp"

namespace sluice {

struct SluicectlEnvironment {
    std::ostream& out;
    std::ostream& err;
    bool out_is_terminal = false;
    std::string socket_path;  // of SLUICE_SOCKET; empty: not set
    bool no_color = false;    // NO_COLOR is set and not empty, or TERM is "dumb"
    // With --watch: waits between two looks; false ends it.
    std::function<bool(double seconds)> wait;
};

// `arguments` without the program's name. Returns what the process exits with.
ExitCode run_sluicectl(const std::vector<std::string>& arguments, const SluicectlEnvironment& environment);

}  // namespace sluice
