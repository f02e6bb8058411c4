#include <exception>
#include <iostream>

#include "daemon/app.hpp"
#include "daemon/options.hpp"

int main(int argc, char** argv) {
    try {
        const sluice::CommandLine command = sluice::read_command_line(argc, argv);
        if (!command.options) return command.exit_code;
        return command.options->check ? sluice::check_everything(command.options->config)
                                      : sluice::run_daemon(command.options->config);
    } catch (const std::exception& exception) {
        std::cerr << "sluiced: " << exception.what() << '\n';
        return sluice::kExitFailure;
    }
}
