// The verbs that are more than one request and one answer.
#pragma once

#include "cli/command.hpp"

namespace sluice {

// Follows the daemon's events until -n of them were shown, the daemon goes, or the user interrupts.
ExitCode run_events(const Invocation& invocation, const ApiClient& client, const Screen& screen);

// Writes a capture's packets, as the daemon sends them, to -w. An interrupt ends it early and keeps what came.
ExitCode run_capture(const Invocation& invocation, const ApiClient& client, const Screen& screen);

// These three talk to the kernel, not to the daemon: they work when it is dead.
ExitCode run_xdp_show(const Invocation& invocation, const ApiClient& client, const Screen& screen);
// kOk if nothing is in Sluice's way, kFailed if something is, kNotPermitted if it could not all be found out.
ExitCode run_xdp_doctor(const Invocation& invocation, const ApiClient& client, const Screen& screen);
ExitCode run_xdp_detach(const Invocation& invocation, const ApiClient& client, const Screen& screen);

// These two print what the table of commands says.
ExitCode run_completion(const Invocation& invocation, const ApiClient& client, const Screen& screen);
ExitCode run_man(const Invocation& invocation, const ApiClient& client, const Screen& screen);

// The same for an error of the kernel.
ExitCode report_kernel_error(const Error& error, const Screen& screen);

// Prints an error with what to do about it, and gives the code to exit with.
ExitCode report_error(const Error& error, const ApiClient& client, const Screen& screen);

}  // namespace sluice
