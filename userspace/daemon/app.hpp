// The daemon: builds every part from the config, wires them, runs the control loop, takes everything down in
// reverse.
#pragma once

#include <string>

#include "base/result.hpp"
#include "daemon/config.hpp"

namespace sluice {

// Exit codes of sluiced (contract).
inline constexpr int kExitClean = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitInvalidConfig = 2;

// Runs until SIGTERM or SIGINT; returns the exit code. Messages for the operator go to standard error.
int run_daemon(const Config& config);

// --check: everything run_daemon would read, validated; nothing is started, bound or attached.
int check_everything(const Config& config);

}  // namespace sluice
