#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>

#include "cli/printable.hpp"
#include "cli/text_table.hpp"
#include "cli/verbs.hpp"
#include "kernel/doctor.hpp"

namespace sluice {
namespace {

using Json = nlohmann::json;

std::vector<std::string> words_of(std::string_view text) {
    std::istringstream stream{std::string{text}};
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    return words;
}

Json as_json(const std::vector<DoctorCheck>& checks) {
    Json list = Json::array();
    for (const DoctorCheck& check : checks)
        list.push_back({{"name", check.name},
                        {"value", check.value},
                        {"health", to_string(check.health)},
                        {"advice", check.advice}});
    return list;
}

Json as_json(const DoctorReport& report) {
    Json interfaces = Json::array();
    for (const InterfaceReport& one : report.interfaces)
        interfaces.push_back(
            {{"name", one.name}, {"mode", one.mode}, {"via", one.via}, {"checks", as_json(one.checks)}});
    return {{"permitted", report.permitted},
            {"host", as_json(report.host)},
            {"interfaces", std::move(interfaces)}};
}

Colour colour_of(Health health) {
    switch (health) {
        case Health::kGood:
            return Colour::kGood;
        case Health::kNote:
            return Colour::kWarn;
        case Health::kBad:
            return Colour::kBad;
        case Health::kUnknown:
            return Colour::kDim;
    }
    return Colour::kNone;
}

void add_rows(TextTable& table, std::string_view of, const std::vector<DoctorCheck>& checks) {
    for (const DoctorCheck& check : checks)
        table.add({{printable(of)},
                   {check.name},
                   {printable(check.value)},
                   {std::string{to_string(check.health)}, colour_of(check.health)},
                   {printable(check.advice)}});
}

void show(const DoctorReport& report, const Screen& screen) {
    TextTable table{{"OF", "CHECK", "FOUND", "HEALTH", "ADVICE"}};
    add_rows(table, "host", report.host);
    for (const InterfaceReport& one : report.interfaces) {
        add_rows(table, one.name, one.checks);
        table.add({{printable(one.name), Colour::kBold},
                   {"will_use", Colour::kBold},
                   {one.mode + (one.via.empty() || one.mode == "none" ? "" : ", " + one.via), Colour::kBold},
                   {},
                   {}});
    }
    table.print(screen.out, screen.colours);
}

}  // namespace

ExitCode run_xdp_doctor(const Invocation& invocation, const ApiClient&, const Screen& screen) {
    const auto report = examine(words_of(invocation.get("INTERFACE")));
    if (!report) return report_kernel_error(report.error(), screen);
    if (invocation.get("--output") == "json")
        screen.out << as_json(*report).dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    else
        show(*report, screen);
    if (report->has(Health::kBad)) return ExitCode::kFailed;
    if (report->permitted) return ExitCode::kOk;
    screen.err << "sluicectl: not permitted to find out everything; this needs root.\n";
    return ExitCode::kNotPermitted;
}

}  // namespace sluice
