#include "cli/command_line.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <sstream>

#include "cli/printable.hpp"
#include "policy/text.hpp"

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
            std::string& value = invocation.values[std::string{key}];
            for (const std::string& word : given) value += (value.empty() ? "" : " ") + word;
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
        if (argument.repeated) option->expected(-1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
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

// The words that may follow `group`, or begin a line if it is empty.
std::vector<std::string_view> words_after(std::string_view group) {
    std::vector<std::string_view> words;
    for (const auto& spec : commands()) {
        const std::size_t space = spec.path.find(' ');
        const std::string_view first = spec.path.substr(0, space);
        if (group.empty() && (words.empty() || words.back() != first)) words.push_back(first);
        if (!group.empty() && first == group && space != std::string_view::npos)
            words.push_back(spec.path.substr(space + 1));
    }
    return words;
}

// The verb of the line, as far as it is none: "bogus", "ban bogus". What is known stands in `known`.
std::string unknown_verb(const std::vector<std::string>& arguments, std::vector<std::string_view>& known) {
    std::string_view group;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& word = arguments[i];
        if (word.starts_with('-')) {
            for (const auto& option : global_options())
                if ((word == option.name || word == option.short_name) && !option.value.empty()) ++i;
            continue;
        }
        known = words_after(group);
        if (std::ranges::find(known, word) == known.end())
            return group.empty() ? word : std::string{group} + " " + word;
        if (!group.empty() || words_after(word).empty()) return {};
        group = word;
    }
    return {};
}

std::string unknown_verb_text(const std::string& verb, const std::vector<std::string_view>& known) {
    const std::size_t space = verb.rfind(' ');
    std::string text = "there is no verb \"" + printable(verb) + "\"";
    if (const auto meant = nearest(verb.substr(space == std::string::npos ? 0 : space + 1), known);
        !meant.empty())
        text += "; did you mean \"" + (space == std::string::npos ? "" : verb.substr(0, space + 1)) +
                std::string{meant} + "\"?";
    text += "\nThere are:";
    for (const std::string_view word : known) text += " " + std::string{word};
    return text + "\nRun with --help for more information.\n";
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
        std::vector<std::string_view> known;
        if (const std::string verb = unknown_verb(arguments, known); !verb.empty())
            return ParseEnd{ExitCode::kUsage, unknown_verb_text(verb, known)};
        return ParseEnd{ExitCode::kUsage, message.str()};
    }
    return invocation;
}

}  // namespace sluice
