#include "cli/sluicectl.hpp"

#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>

#include "cli/answer.hpp"
#include "cli/command_line.hpp"
#include "cli/printable.hpp"
#include "cli/text_file.hpp"
#include "cli/verbs.hpp"

namespace sluice {
namespace {

using Json = nlohmann::json;

constexpr double kWatchSeconds = 2;
constexpr double kShortestWatchSeconds = 0.1;
constexpr double kLongestWatchSeconds = 3600;

Result<std::string> read_token(const std::string& path) {
    auto text = read_text_file(path);
    if (!text) return text;
    constexpr std::string_view kSpace = " \t\r\n";
    const std::size_t first = text->find_first_not_of(kSpace);
    const std::size_t last = text->find_last_not_of(kSpace);
    if (first == std::string::npos)
        return Error{ErrorCode::kInvalid, "read token " + path + ": the file holds none"};
    std::string token = text->substr(first, last - first + 1);
    // RFC 6750: anything else would not be one token, or would not fit in a header.
    if (token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") !=
        std::string::npos)
        return Error{ErrorCode::kInvalid,
                     "read token " + path + ": a token is one word of letters, digits and -._~+/="};
    return token;
}

// Whether others on the way could read the token.
bool shows_token(const ApiEndpoint& endpoint) {
    constexpr std::string_view kPlain = "http://";
    if (endpoint.token.empty() || !endpoint.url.starts_with(kPlain)) return false;
    const auto host = std::string_view{endpoint.url}.substr(kPlain.size());
    return !host.starts_with("127.") && !host.starts_with("[::1]") && !host.starts_with("localhost");
}

Result<ApiEndpoint> endpoint_of(const Invocation& invocation, const SluicectlEnvironment& environment) {
    ApiEndpoint endpoint;
    if (!environment.socket_path.empty()) endpoint.socket_path = environment.socket_path;
    if (invocation.has("--socket")) endpoint.socket_path = invocation.get("--socket");
    endpoint.url = invocation.get("--url");
    endpoint.ca_file = invocation.get("--ca-file");
    if (invocation.has("--token-file")) {
        auto token = read_token(std::string{invocation.get("--token-file")});
        if (!token) return token.error();
        endpoint.token = std::move(*token);
    }
    return endpoint;
}

Result<double> watch_seconds(const Invocation& invocation) {
    const std::string_view text = invocation.get("--watch");
    if (text.empty()) return kWatchSeconds;
    double seconds = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (failure != std::errc{} || end != text.data() + text.size() || !(seconds >= kShortestWatchSeconds) ||
        !(seconds <= kLongestWatchSeconds))
        return Error{ErrorCode::kInvalid,
                     "--watch: \"" + std::string{text} + "\" is no number of seconds from 0.1 to 3600"};
    return seconds;
}

// One request and its answer, shown.
class Look {
  public:
    Look(const Invocation& invocation, const ApiClient& client, bool as_json)
        : invocation_(invocation), client_(client), as_json_(as_json) {}

    // nullopt in `answer` if there was none that could be shown.
    ExitCode run(const Screen& screen, std::optional<Json>& answer) {
        const CommandSpec& command = *invocation_.command;
        const auto request = command.request(invocation_);
        if (!request) return report_error(request.error(), client_, screen);
        const auto response = client_.send(*request);
        if (!response) return report_error(response.error(), client_, screen);
        const ExitCode code = exit_code_of_http(response->status);
        Json document = Json::parse(response->body.empty() ? "{}" : response->body, nullptr, false);
        if (as_json_ && !document.is_discarded() && !response->body.empty())
            screen.out << response->body << (response->body.ends_with('\n') ? "" : "\n");
        if (code != ExitCode::kOk && response->status != command.shown_status) {
            print_problem(response->body, response->status, screen);
            return code;
        }
        if (document.is_discarded()) {
            screen.err << "sluicectl: the daemon's answer to " << request->target << " is not JSON\n";
            return ExitCode::kFailed;
        }
        if (!as_json_) command.show(document, screen);
        const ExitCode outcome = command.outcome != nullptr ? command.outcome(document) : ExitCode::kOk;
        answer = std::move(document);
        return outcome;
    }

  private:
    const Invocation& invocation_;
    const ApiClient& client_;
    bool as_json_;
};

ExitCode watch(const Invocation& invocation, const ApiClient& client, Screen screen, bool as_json,
               const SluicectlEnvironment& environment) {
    const auto seconds = watch_seconds(invocation);
    if (!seconds) return report_error(seconds.error(), client, screen);
    std::optional<Json> previous;
    std::chrono::steady_clock::time_point previous_time;
    while (true) {
        std::optional<Json> answer;
        const auto now = std::chrono::steady_clock::now();
        screen.previous = previous ? &*previous : nullptr;
        screen.elapsed_s = std::chrono::duration<double>(now - previous_time).count();
        if (screen.is_terminal && !as_json) screen.out << "\x1b[H\x1b[2J";
        const ExitCode code = Look{invocation, client, as_json}.run(screen, answer);
        screen.out.flush();
        if (!answer || !environment.wait(*seconds)) return code;
        previous = std::move(answer);
        previous_time = now;
    }
}

}  // namespace

ExitCode report_error(const Error& error, const ApiClient& client, const Screen& screen) {
    screen.err << "sluicectl: " << printable(error.message) << "\n";
    if (error.code == ErrorCode::kUnavailable && client.endpoint().url.empty())
        screen.err << "Is sluiced running? If its admin socket is elsewhere: "
                      "--socket PATH "
                      "or SLUICE_SOCKET.\n";
    if (error.code == ErrorCode::kNotPermitted)
        screen.err << "Root, or membership of the group that owns " << printable(client.endpoint().name())
                   << ", is needed.\n";
    return exit_code_of(error.code);
}

ExitCode run_sluicectl(const std::vector<std::string>& arguments, const SluicectlEnvironment& environment) {
    const auto parsed = parse_command_line(arguments);
    if (const auto* end = std::get_if<ParseEnd>(&parsed)) {
        if (end->code == ExitCode::kOk)
            environment.out << end->text;
        else
            environment.err << "sluicectl: " << printable_lines(end->text);
        return end->code;
    }
    const auto& invocation = std::get<Invocation>(parsed);
    const CommandSpec& command = *invocation.command;
    const bool colours =
        environment.out_is_terminal && !environment.no_color && !invocation.has("--no-color");
    const bool as_json = invocation.get("--output") == "json";
    const Screen screen{environment.out, environment.err, colours, environment.out_is_terminal};

    const auto endpoint = endpoint_of(invocation, environment);
    if (endpoint && shows_token(*endpoint))
        environment.err
            << "sluicectl: warning: over http:// the token can be read on the way; use https://\n";
    const ApiClient client{endpoint ? *endpoint : ApiEndpoint{}};
    ExitCode code = ExitCode::kOk;
    std::optional<Json> answer;
    if (!endpoint)
        code = report_error(endpoint.error(), client, screen);
    else if (command.run != nullptr)
        code = command.run(invocation, client, screen);
    else if (invocation.has("--watch"))
        code = watch(invocation, client, screen, as_json, environment);
    else
        code = Look{invocation, client, as_json}.run(screen, answer);
    environment.out.flush();
    // With an answer, kFailed is the answer's own meaning.
    return code == ExitCode::kFailed && !answer ? command.failure : code;
}

}  // namespace sluice
