#include "daemon/options.hpp"

#include <CLI/CLI.hpp>
#include <iostream>
#include <vector>

#include "daemon/config_settings.hpp"
#include "http/endpoint.hpp"

namespace sluice {
namespace {

constexpr int kExitInvalid = 2;

CommandLine refuse(const std::string& message) {
    std::cerr << message << '\n';
    return {std::nullopt, kExitInvalid};
}

// Flags as given; what was not given stays as the file or the default has it.
struct Flags {
    std::string config;
    std::vector<std::string> interfaces;
    std::string xdp_mode;
    std::vector<std::string> listen;
    std::vector<std::string> upstream;
    std::string policy;
    std::string ledger;
    std::string admin_socket;
    std::string admin_listen;
    std::string log_dir;
    bool check = false;
};

template <class T>
void override_with(T& place, const T& flag) {
    if (!flag.empty()) place = flag;
}

Result<> lay_over(Config& config, const Flags& flags) {
    override_with(config.interfaces, flags.interfaces);
    override_with(config.gateway.listen, flags.listen);
    override_with(config.gateway.upstream, flags.upstream);
    override_with(config.policy, flags.policy);
    override_with(config.admin.socket, flags.admin_socket);
    override_with(config.admin.listen, flags.admin_listen);
    override_with(config.log.directory, flags.log_dir);
    if (flags.xdp_mode == "auto") config.xdp_mode = XdpMode::kAuto;
    if (flags.xdp_mode == "native") config.xdp_mode = XdpMode::kNative;
    if (flags.xdp_mode == "generic") config.xdp_mode = XdpMode::kGeneric;
    if (!flags.ledger.empty()) {
        const auto ledger = parse_ledger(flags.ledger, config.ledger);
        if (!ledger) return ledger.error();
        config.ledger = *ledger;
    }
    for (const auto* endpoints : {&config.gateway.listen, &config.gateway.upstream})
        for (const std::string& text : *endpoints)
            if (const auto endpoint = http::Endpoint::parse(text); !endpoint) return endpoint.error();
    return {};
}

}  // namespace

CommandLine read_command_line(int argc, char** argv) {
    CLI::App app{"Sluice: drops floods in the kernel, limits requests in front of the application."};
    app.name("sluiced");
    Flags flags;
    bool help_config = false;
    app.add_option("--config", flags.config, "Config file; flags override it")->type_name("FILE");
    app.add_option("--interface", flags.interfaces, "Attach the XDP program here; repeatable")
        ->type_name("NAME");
    app.add_option("--xdp-mode", flags.xdp_mode, "How to attach")
        ->check(CLI::IsMember({"auto", "native", "generic"}));
    app.add_option("--listen", flags.listen, "Where the gateway accepts; repeatable")->type_name("ADDR:PORT");
    app.add_option("--upstream", flags.upstream, "The application; repeatable")->type_name("ADDR:PORT");
    app.add_option("--policy", flags.policy, "Policy file; watched")->type_name("FILE");
    app.add_option("--ledger", flags.ledger, "Where what was spent is kept")
        ->type_name("embedded:DIR | redis[s]://HOST:PORT,…");
    app.add_option("--admin-socket", flags.admin_socket, "Unix socket of sluicectl")->type_name("PATH");
    app.add_option("--admin-listen", flags.admin_listen, "TCP door of the admin API")->type_name("ADDR:PORT");
    app.add_option("--log-dir", flags.log_dir, "Folder of the log files")->type_name("DIR");
    app.add_flag("--check", flags.check, "Validate config, policy and keys; start nothing");
    app.add_flag("--help-config", help_config, "Print every setting of the config file");
    app.set_version_flag("--version", "sluiced " SLUICE_VERSION);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& success) {  // --help, --version
        return {std::nullopt, app.exit(success)};
    } catch (const CLI::ParseError& error) {
        app.exit(error);
        return {std::nullopt, kExitInvalid};
    }
    if (help_config) {
        std::cout << config_help();
        return {std::nullopt, 0};
    }

    Config config;
    if (!flags.config.empty()) {
        auto read = read_config(flags.config);
        if (!read) return refuse(read.error().message);
        config = *std::move(read);
    }
    if (const auto laid = lay_over(config, flags); !laid) return refuse("sluiced: " + laid.error().message);
    if (const auto valid = check_config(config); !valid) return refuse("sluiced: " + valid.error().message);
    return {Options{std::move(config), flags.check}, 0};
}

}  // namespace sluice
