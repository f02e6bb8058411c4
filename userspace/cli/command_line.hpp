// Arguments in, an Invocation out: the parser made from the table of commands.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cli/command.hpp"

namespace sluice {

// What was asked for instead of a verb, or why the arguments are not understood.
struct ParseEnd {
    ExitCode code = ExitCode::kUsage;
    std::string text;  // help or version for standard output if code is kOk, else a message
};

// `arguments` without the program's name.
std::variant<Invocation, ParseEnd> parse_command_line(const std::vector<std::string>& arguments);

}  // namespace sluice
