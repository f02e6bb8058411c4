#include "policy/problem.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

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
    std::size_t length = std::min(text.size(), kMaxBytes);
    // Not within a UTF-8 sequence: its continuation bytes are 10xxxxxx.
    while (length < text.size() && length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80U)
        --length;
    std::string result = "\"";
    for (const char c : text.substr(0, length)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7F) {
            result += "\\x";
            result += kDigits[byte >> 4];
            result += kDigits[byte & 15];
        } else {
            if (c == '"' || c == '\\') result += '\\';
            result += c;
        }
    }
    result += length < text.size() ? "…\"" : "\"";
    return result;
}

}  // namespace sluice
