#include "cli/command_line.hpp"

#include <CLI/CLI.hpp>
#include <map>
#include <sstream>

namespace sluice {
namespace {

template <class Choices>
void restrict_to(CLI::Option* option, const Choices& choices) {
    if (!choices.empty())
        option->check(CLI::IsMember(std::vector<std::string>{choices.begin(), choices.end()}));
}

// A file name is a word like any other here: whoever reads it says best what is wrong with it.
CLI::Option* add_value(CLI::App& app, const std::string& names, std::string_view key, std::string_view help,
                       Invocation& invocation) {
    return app.add_option(
        names,
        [&invocation, key](const CLI::results_t& given) {
            invocation.values[std::string{key}] = given.empty() ? "" : given.front();
            return true;
        },
        std::string{help});
}

void add_option(CLI::App& app, const OptionSpec& spec, Invocation& invocation) {
    std::string names{spec.name};
    if (!spec.short_name.empty()) names += "," + std::string{spec.short_name};
    if (spec.value.empty()) {
        app.add_flag_callback(
            names, [&invocation, &spec] { invocation.values[std::string{spec.name}] = ""; },
            std::string{spec.help});
        return;
    }
    CLI::Option* option = add_value(app, names, spec.name, spec.help, invocation);
    option->type_name(std::string{spec.value})->required(spec.required);
    if (spec.value_optional) option->expected(0, 1);
    restrict_to(option, spec.choices);
}

void add_command(CLI::App& parent, const CommandSpec& spec, std::string_view name, Invocation& invocation) {
    CLI::App* app = parent.add_subcommand(std::string{name}, std::string{spec.help});
    app->fallthrough();
    app->footer("Options of every verb, and exit codes: sluicectl --help");
    for (const auto& argument : spec.arguments) {
        CLI::Option* option =
            add_value(*app, std::string{argument.name}, argument.name, argument.help, invocation);
        option->required(argument.required)->type_name("");
        restrict_to(option, argument.choices);
    }
    for (const auto& option : spec.options) add_option(*app, option, invocation);
    app->parse_complete_callback([&invocation, &spec] { invocation.command = &spec; });
}

CLI::App* add_group(CLI::App& app, std::string_view name) {
    std::string_view help;
    for (const auto& group : command_groups())
        if (group.name == name) help = group.help;
    return app.add_subcommand(std::string{name}, std::string{help})->require_subcommand(1)->fallthrough();
}

std::string exit_codes_text() {
    std::string text = "Exit codes:\n";
    for (const auto& [code, meaning] : exit_code_meanings())
        text += "  " + std::to_string(static_cast<int>(code)) + "  " + std::string{meaning} + "\n";
    return text;
}

}  // namespace

std::variant<Invocation, ParseEnd> parse_command_line(const std::vector<std::string>& arguments) {
    Invocation invocation;
    CLI::App app{"Shows and changes what the Sluice daemon does.", "sluicectl"};
    app.set_version_flag("--version", "sluicectl " SLUICE_VERSION);
    app.require_subcommand(1);
    app.footer(exit_codes_text());
    for (const auto& option : global_options()) add_option(app, option, invocation);
    std::map<std::string_view, CLI::App*> groups;
    for (const auto& spec : commands()) {
        const std::size_t space = spec.path.find(' ');
        if (space == std::string_view::npos) {
            add_command(app, spec, spec.path, invocation);
            continue;
        }
        const std::string_view name = spec.path.substr(0, space);
        CLI::App*& group = groups[name];
        if (group == nullptr) group = add_group(app, name);
        add_command(*group, spec, spec.path.substr(space + 1), invocation);
    }
    try {
        app.parse(std::vector<std::string>{arguments.rbegin(), arguments.rend()});
    } catch (const CLI::ParseError& error) {
        std::ostringstream out;
        std::ostringstream message;
        const bool is_answer = app.exit(error, out, message) == 0;
        if (is_answer) return ParseEnd{ExitCode::kOk, out.str()};
        return ParseEnd{ExitCode::kUsage, message.str()};
    }
    return invocation;
}

}  // namespace sluice
