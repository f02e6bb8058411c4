#include "cli/answer.hpp"

#include <algorithm>
#include <ostream>

#include "cli/duration_text.hpp"
#include "cli/printable.hpp"

namespace sluice {
namespace {

using Json = nlohmann::json;

const Json kNull;

}  // namespace

const Json& value_at(const Json& object, std::string_view path) {
    if (path.empty()) return object;
    if (!object.is_object()) return kNull;
    if (const auto whole = object.find(std::string{path}); whole != object.end()) return *whole;
    const std::size_t dot = path.find('.');
    if (dot == std::string_view::npos) return kNull;
    const auto first = object.find(std::string{path.substr(0, dot)});
    return first == object.end() ? kNull : value_at(*first, path.substr(dot + 1));
}

std::string text_at(const Json& object, std::string_view path) {
    const Json& value = value_at(object, path);
    if (value.is_null() || value.is_object() || value.is_array()) return "-";
    if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
    if (!value.is_string()) return value.dump();
    const auto& text = value.get_ref<const std::string&>();
    return text.empty() ? "-" : printable(text);
}

std::optional<std::int64_t> number_at(const Json& object, std::string_view path) {
    const Json& value = value_at(object, path);
    if (value.is_number_integer()) return value.get<std::int64_t>();
    constexpr double kLargest = 9e15;  // whole numbers are exact in a double up to here
    if (!value.is_number()) return std::nullopt;
    return static_cast<std::int64_t>(std::clamp(value.get<double>(), -kLargest, kLargest));
}

std::string duration_at(const Json& object, std::string_view path) {
    const auto seconds = number_at(object, path);
    return seconds ? format_duration_s(*seconds) : "-";
}

bool true_at(const Json& object, std::string_view path) {
    const Json& value = value_at(object, path);
    return value.is_boolean() && value.get<bool>();
}

const Json& array_at(const Json& object, std::string_view path) {
    static const Json empty = Json::array();
    const Json& value = value_at(object, path);
    return value.is_array() ? value : empty;
}

std::string problem_line(const Json& problem) {
    std::string line;
    if (value_at(problem, "file").is_string()) line += text_at(problem, "file") + ":";
    if (const auto number = number_at(problem, "line"); number && *number > 0) {
        line += std::to_string(*number) + ":";
        if (const auto column = number_at(problem, "column"); column && *column > 0)
            line += std::to_string(*column) + ":";
    }
    if (!line.empty()) line += " ";
    const std::string severity = text_at(problem, "severity");
    line += (severity == "-" ? "error" : severity) + ": ";
    if (const std::string path = text_at(problem, "path"); path != "-") line += path + ": ";
    line += text_at(problem, "message");
    if (const std::string allowed = text_at(problem, "allowed"); allowed != "-")
        line += "; allowed: " + allowed;
    return line;
}

void print_problem(const std::string& body, unsigned status, const Screen& screen) {
    const Json document = Json::parse(body, nullptr, false);
    const std::string title = text_at(document, "title");
    const std::string detail = text_at(document, "detail");
    screen.err << "sluicectl: ";
    if (title == "-" && detail == "-")
        screen.err << "the daemon answered " << status << "\n";
    else if (title == "-" || detail == "-")
        screen.err << (title == "-" ? detail : title) << "\n";
    else
        screen.err << title << ": " << detail << "\n";
    for (const auto& problem : array_at(document, "problems")) screen.err << problem_line(problem) << "\n";
}

}  // namespace sluice
