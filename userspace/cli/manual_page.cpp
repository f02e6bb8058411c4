#include <ostream>

#include "cli/documentation.hpp"
#include "cli/verbs.hpp"

namespace sluice {
namespace {

// Text as troff takes it: hyphens that can be copied, no accidental requests or escapes.
std::string troff(std::string_view text) {
    std::string safe;
    if (text.starts_with('.') || text.starts_with('\'')) safe = "\\&";
    for (const char c : text) {
        if (c == '\\')
            safe += "\\e";
        else if (c == '-')
            safe += "\\-";
        else
            safe += c;
    }
    return safe;
}

std::string bold(std::string_view text) {
    return "\\fB" + troff(text) + "\\fR";
}
std::string italic(std::string_view text) {
    return "\\fI" + troff(text) + "\\fR";
}

std::string choices_text(const std::vector<std::string_view>& choices) {
    std::string text;
    for (const auto choice : choices) text += (text.empty() ? "" : ", ") + std::string{choice};
    return text.empty() ? "" : " (" + text + ")";
}

std::string option_entry(const OptionSpec& option) {
    std::string heading;
    if (!option.short_name.empty()) heading = bold(option.short_name) + ", ";
    heading += bold(option.name);
    if (!option.value.empty())
        heading += option.value_optional ? "[=" + italic(option.value) + "]" : " " + italic(option.value);
    return ".TP\n" + heading + "\n" + troff(std::string{option.help} + choices_text(option.choices)) + "\n";
}

std::string command_entry(const CommandSpec& command) {
    std::string text = ".SS " + troff(usage_line(command)) + "\n" + troff(command.help) + "\n";
    for (const auto& argument : command.arguments)
        text += ".TP\n" + italic(argument.name) + "\n" +
                troff(std::string{argument.help} + choices_text(argument.choices)) + "\n";
    for (const auto& option : command.options) text += option_entry(option);
    return text;
}

}  // namespace

std::string usage_line(const CommandSpec& command) {
    std::string line = "sluicectl " + std::string{command.path};
    for (const auto& argument : command.arguments)
        line += (argument.required ? " " : " [") + std::string{argument.name} +
                (argument.repeated ? "..." : "") + (argument.required ? "" : "]");
    for (const auto& option : command.options) {
        std::string text{option.name};
        if (!option.value.empty())
            text += option.value_optional ? "[=" + std::string{option.value} + "]"
                                          : " " + std::string{option.value};
        line += option.required ? " " + text : " [" + text + "]";
    }
    return line;
}

std::string manual_page() {
    std::string page =
        ".TH SLUICECTL 1 \"\" \"Sluice " SLUICE_VERSION
        "\" \"User Commands\"\n"
        ".SH NAME\nsluicectl \\- shows and changes what the Sluice daemon does\n"
        ".SH SYNOPSIS\n.B sluicectl\n[\\fIOPTION\\fR]... \\fIVERB\\fR [\\fIARGUMENT\\fR]...\n"
        ".SH DESCRIPTION\n"
        "Sluice limits what reaches an API: packets in the kernel, requests in a gateway.\n"
        ".B sluicectl\ntalks to its daemon over the admin socket and to nothing else; only the\n"
        ".B xdp\nverbs talk to the kernel, and work when the daemon is dead.\n"
        "Data goes to standard output, messages to standard error.\n";
    page += ".SH VERBS\n";
    for (const auto& command : commands()) page += command_entry(command);
    page += ".SH OPTIONS\nAccepted before and after every verb.\n";
    for (const auto& option : global_options()) page += option_entry(option);
    page += ".TP\n\\fB\\-\\-help\\fR, \\fB\\-\\-version\\fR\nhelp on sluicectl or on a verb; the version\n";
    page += ".SH EXIT STATUS\n";
    for (const auto& [code, meaning] : exit_code_meanings())
        page += ".TP\n.B " + std::to_string(static_cast<int>(code)) + "\n" + troff(meaning) + "\n";
    page +=
        ".SH ENVIRONMENT\n"
        ".TP\n.B SLUICE_SOCKET\nthe admin socket, if \\fB\\-\\-socket\\fR is not given\n"
        ".TP\n.B NO_COLOR\nif set and not empty: no colours\n"
        ".SH FILES\n.TP\n.I /run/sluice/admin.sock\nthe daemon's admin socket\n"
        ".SH EXAMPLES\n.nf\n"
        "sluicectl status \\-\\-watch\n"
        "sluicectl ban add 192.0.2.7 \\-\\-for 10m \\-\\-reason \"scraping\"\n"
        "sluicectl policy diff /etc/sluice/policy.yaml\n"
        "sluicectl policy apply new.yaml \\-\\-confirm\\-within 60s && sluicectl policy confirm\n"
        "sluicectl \\-o json top \\-\\-by denials \\-n 5\n"
        ".fi\n"
        ".SH SEE ALSO\n.BR sluiced (8)\n";
    return page;
}

ExitCode run_man(const Invocation&, const ApiClient&, const Screen& screen) {
    screen.out << manual_page();
    return ExitCode::kOk;
}

}  // namespace sluice
