#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/answer.hpp"
#include "cli/requests.hpp"
#include "cli/show.hpp"
#include "cli/sse_reader.hpp"
#include "cli/verbs.hpp"

namespace sluice {

ExitCode run_events(const Invocation& invocation, const ApiClient& client, const Screen& screen) {
    const auto request = events_request(invocation);
    if (!request) return report_error(request.error(), client, screen);
    std::uint64_t left = UINT64_MAX;
    if (invocation.has("-n")) {
        const auto count = parse_count("-n", invocation.get("-n"), 1, UINT32_MAX);
        if (!count) return report_error(count.error(), client, screen);
        left = *count;
    }
    const bool as_json = invocation.get("--output") == "json";
    const std::string dataset = "sluice." + std::string{invocation.get("--category")};
    SseReader reader;
    const auto response = client.stream(*request, [&](std::string_view chunk) {
        for (const auto& data : reader.feed(chunk)) {
            const auto event = nlohmann::json::parse(data, nullptr, false);
            if (event.is_discarded()) continue;
            if (invocation.has("--category") && value_at(event, "event.dataset") != dataset) continue;
            screen.out << (as_json ? data : event_line(event, screen.colours)) << "\n";
            if (--left == 0) break;
        }
        screen.out.flush();
        return left > 0 && screen.out.good();
    });
    if (!response) return report_error(response.error(), client, screen);
    const ExitCode code = exit_code_of_http(response->status);
    if (code != ExitCode::kOk) print_problem(response->body, response->status, screen);
    return code;
}

}  // namespace sluice
