#include "policy/problem.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "policy/text.hpp"

namespace sluice {

std::string_view to_string(Severity severity) {
    return severity == Severity::kError ? "error" : "warning";
}

std::string to_string(const Problem& problem) {
    std::string text = problem.file;
    if (problem.line != 0) text += ":" + std::to_string(problem.line);
    if (problem.line != 0 && problem.column != 0) text += ":" + std::to_string(problem.column);
    if (!text.empty()) text += ": ";
    text += to_string(problem.severity);
    text += ": " + problem.message;
    if (!problem.path.empty()) text += " (at " + problem.path + ")";
    if (!problem.allowed.empty()) text += "; allowed: " + problem.allowed;
    return text;
}

std::string to_string(const Problems& problems) {
    std::string text;
    for (const auto& problem : problems) text += to_string(problem) + "\n";
    return text;
}

nlohmann::json to_json(const Problems& problems) {
    auto list = nlohmann::json::array();
    for (const auto& problem : problems) {
        nlohmann::json item{{"severity", to_string(problem.severity)}, {"message", problem.message}};
        if (!problem.file.empty()) item["file"] = problem.file;
        if (problem.line != 0) item["line"] = problem.line;
        if (problem.column != 0) item["column"] = problem.column;
        if (!problem.path.empty()) item["path"] = problem.path;
        if (!problem.allowed.empty()) item["allowed"] = problem.allowed;
        list.push_back(std::move(item));
    }
    return list;
}

bool has_errors(const Problems& problems) {
    return std::any_of(problems.begin(), problems.end(),
                       [](const Problem& problem) { return problem.severity == Severity::kError; });
}

Error to_error(const Problems& problems) {
    std::string message;
    for (const auto& problem : problems) {
        if (problem.severity != Severity::kError) continue;
        if (!message.empty()) message += "; ";
        message += to_string(problem);
    }
    return {ErrorCode::kInvalid, std::move(message)};
}

std::string in_quotes(std::string_view text) {
    static constexpr std::string_view kDigits = "0123456789abcdef";
    static constexpr std::size_t kMaxBytes = 64;
    std::string result = "\"";
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = utf8_length(text.substr(at));
        if (at + std::max<std::size_t>(length, 1) > kMaxBytes) return result + "…\"";
        const auto byte = static_cast<unsigned char>(text[at]);
        if (length == 0 || byte < 0x20 || byte == 0x7F) {
            result += "\\x";
            result += kDigits[byte >> 4];
            result += kDigits[byte & 15];
            ++at;
            continue;
        }
        if (byte == '"' || byte == '\\') result += '\\';
        result += text.substr(at, length);
        at += length;
    }
    return result + "\"";
}

}  // namespace sluice
