// Reading the daemon's JSON without trusting it: what is missing or of another type shows as "-", and every
// string is made printable.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "cli/command.hpp"

namespace sluice {

// The value at a dotted path ("policy.name"), or null. Keys that contain the dots themselves are found too.
const nlohmann::json& value_at(const nlohmann::json& object, std::string_view path);

// A scalar as text, printable; "-" for what is missing, null or empty.
std::string text_at(const nlohmann::json& object, std::string_view path);
// A whole number, rounded towards zero; nullopt if it is no number.
std::optional<std::int64_t> number_at(const nlohmann::json& object, std::string_view path);
// Seconds as "2m53s"; "-" if it is no number.
std::string duration_at(const nlohmann::json& object, std::string_view path);
bool true_at(const nlohmann::json& object, std::string_view path);
// The array at a path, or an empty one; the path "" is the value itself.
const nlohmann::json& array_at(const nlohmann::json& object, std::string_view path);

// A problem document (RFC 9457) as lines for people: title and detail, then "file:line:col: …" for each
// mistake. `status` speaks when the body is no such document.
void print_problem(const std::string& body, unsigned status, const Screen& screen);

// One line for each mistake of a policy: "file:line:column: error: path: message; allowed: …".
std::string problem_line(const nlohmann::json& problem);

}  // namespace sluice
