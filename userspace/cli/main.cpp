#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string_view>
#include <thread>

#include "cli/sluicectl.hpp"

int main(int argc, char** argv) {
    // A reader that goes (head, less) ends the program quietly, as it does others.
    std::signal(SIGPIPE, SIG_DFL);
    const auto environment_text = [](const char* name) {
        const char* value = std::getenv(name);
        return std::string_view{value != nullptr ? value : ""};
    };
    const sluice::SluicectlEnvironment environment{
        .out = std::cout,
        .err = std::cerr,
        .out_is_terminal = isatty(STDOUT_FILENO) == 1,
        .socket_path = std::string{environment_text("SLUICE_SOCKET")},
        .no_color = !environment_text("NO_COLOR").empty() || environment_text("TERM") == "dumb",
        .wait =
            [](double seconds) {
                std::this_thread::sleep_for(std::chrono::duration<double>{seconds});
                return true;
            },
    };
    try {
        const std::vector<std::string> arguments{argv + 1, argv + argc};
        const auto code = static_cast<int>(sluice::run_sluicectl(arguments, environment));
        return std::cout.good() ? code : static_cast<int>(sluice::ExitCode::kFailed);
    } catch (const std::exception& error) {
        std::cerr << "sluicectl: " << error.what() << "\n";
        return static_cast<int>(sluice::ExitCode::kFailed);
    }
}
