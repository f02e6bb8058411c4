// Completion scripts and the manual page, made from the table of commands.
#pragma once

#include <string>
#include <string_view>

#include "cli/command.hpp"

namespace sluice {

// "sluicectl ban add SOURCE --for DURATION --reason TEXT"; what may be left out stands in brackets.
std::string usage_line(const CommandSpec& command);

std::string bash_completion();
std::string zsh_completion();
std::string fish_completion();

// troff, section 1
std::string manual_page();

}  // namespace sluice
