#include "api/ai_usage.hpp"

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxModelBytes = 128;

json parse(std::string_view text) {
    return json::parse(text, nullptr, false);
}

void read_model(const json& document, const char* member, AiUsage& usage) {
    const auto found = document.find(member);
    if (found == document.end() || !found->is_string()) return;
    const auto& model = found->get_ref<const std::string&>();
    if (!model.empty() && model.size() <= kMaxModelBytes) usage.model = model;
}

void read_count(const json& counts, std::initializer_list<const char*> members,
                std::optional<std::uint64_t>& out) {
    for (const char* member : members)
        if (const auto found = counts.find(member); found != counts.end() && found->is_number_unsigned())
            out = found->get<std::uint64_t>();
}

void read_document(const json& document, AiUsage& usage) {
    if (!document.is_object()) return;
    read_model(document, "model", usage);
    read_model(document, "modelVersion", usage);
    for (const char* member : {"usage", "usageMetadata"}) {
        const auto counts = document.find(member);
        if (counts == document.end() || !counts->is_object()) continue;
        read_count(*counts, {"prompt_tokens", "input_tokens", "promptTokenCount"}, usage.input_tokens);
        read_count(*counts, {"completion_tokens", "output_tokens", "candidatesTokenCount"},
                   usage.output_tokens);
    }
    // Anthropic's stream tells model and input tokens in the first event, within "message".
    if (const auto message = document.find("message"); message != document.end())
        read_document(*message, usage);
}

// Every `data:` line that is JSON, in order. Where the sample cuts a line, that line does not parse and is
// passed over.
void read_events(std::string_view text, AiUsage& usage) {
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.starts_with("data:")) read_document(parse(line.substr(5)), usage);
    }
}

}  // namespace

AiUsage read_ai_usage(const http::BodySample& request, const http::BodySample& response) {
    AiUsage usage;
    if (request.complete()) {
        const std::string body = std::string{request.start}.append(request.end);
        if (const json document = parse(body); document.is_object()) read_model(document, "model", usage);
    }
    if (response.complete()) {
        const std::string body = std::string{response.start}.append(response.end);
        if (const json document = parse(body); !document.is_discarded())
            read_document(document, usage);
        else
            read_events(body, usage);
    } else {
        read_events(response.start, usage);
        read_events(response.end, usage);
    }
    return usage;
}

}  // namespace sluice
