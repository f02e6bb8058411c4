// What a verb of sluicectl is. The one table of them, commands(), makes the parser, --help, the completions,
// the manual page and the requests; nothing about a verb is written a second time.
#pragma once

#include <functional>
#include <iosfwd>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/api_client.hpp"
#include "cli/exit_code.hpp"

namespace sluice {

struct CommandSpec;

enum class ValueKind { kText, kFile };

struct ArgumentSpec {
    std::string_view name;  // "SOURCE"
    std::string_view help;
    bool required = true;
    ValueKind kind = ValueKind::kText;
    std::vector<std::string_view> choices = {};  // empty: anything
    bool repeated = false;  // several words; an Invocation holds them with spaces between
};

struct OptionSpec {
    std::string_view name;        // "--for"
    std::string_view short_name;  // "-n"; empty: none
    std::string_view value;       // "DURATION"; empty: a flag
    std::string_view help;
    bool required = false;
    bool value_optional = false;  // "--watch" or "--watch=5"
    ValueKind kind = ValueKind::kText;
    std::vector<std::string_view> choices = {};
};

// A command line that was understood: what was given, by the name in its spec ("SOURCE", "--for").
struct Invocation {
    const CommandSpec* command = nullptr;
    std::map<std::string, std::string, std::less<>> values;

    bool has(std::string_view name) const { return values.contains(name); }
    // Empty if it was not given.
    std::string_view get(std::string_view name) const {
        const auto found = values.find(name);
        return found == values.end() ? std::string_view{} : std::string_view{found->second};
    }
};

// Where a verb writes: data to out, messages to err.
struct Screen {
    std::ostream& out;
    std::ostream& err;
    bool colours = false;
    bool is_terminal = false;
    const nlohmann::json* previous = nullptr;  // with --watch: the answer before this one
    double elapsed_s = 0;                      // and how long ago that was
};

// Verbs that are one request and one answer say how to make the one and show the other; the rest brings its
// own run.
struct CommandSpec {
    std::string_view path;  // "ban add"
    std::string_view help;
    std::vector<ArgumentSpec> arguments = {};
    std::vector<OptionSpec> options = {};
    Result<ApiRequest> (*request)(const Invocation&) = nullptr;
    void (*show)(const nlohmann::json& answer, const Screen&) = nullptr;
    // What a successful answer means; null: kOk.
    ExitCode (*outcome)(const nlohmann::json& answer) = nullptr;
    ExitCode (*run)(const Invocation&, const ApiClient&, const Screen&) = nullptr;
    // For verbs whose code 1 is an answer (policy diff): what a failure exits with instead of 1.
    ExitCode failure = ExitCode::kFailed;
    // An answer of this status is shown too, not only 2xx (health: 503 carries what is down).
    unsigned shown_status = 200;
};

// In the order of the manual page.
const std::vector<CommandSpec>& commands();

// A group's own line: "ban" → "addresses that are dropped for a time".
struct GroupSpec {
    std::string_view name;
    std::string_view help;
};
const std::vector<GroupSpec>& command_groups();

// Accepted before and after every verb.
const std::vector<OptionSpec>& global_options();

}  // namespace sluice
