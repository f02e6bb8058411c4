// The command line of sluiced.
#pragma once

#include <optional>
#include <string>

#include "daemon/config.hpp"

namespace sluice {

struct Options {
    Config config;       // file and flags together
    bool check = false;  // validate everything, start nothing
};

// What main() is to do: go on with options, or end with this exit code, the text already printed.
struct CommandLine {
    std::optional<Options> options;
    int exit_code = 0;
};

CommandLine read_command_line(int argc, char** argv);

}  // namespace sluice
