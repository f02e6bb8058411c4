// Which model answered and how many tokens it took, read from what was sampled of an AI request and its
// response. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "http/application.hpp"

namespace sluice {

struct AiUsage {
    std::string model;  // as the response says; else as the request asked; empty: neither tells
    std::optional<std::uint64_t> input_tokens;
    std::optional<std::uint64_t> output_tokens;
};

// Understands the JSON bodies of OpenAI (usage.prompt_tokens, completion_tokens), Anthropic
// (usage.input_tokens, output_tokens) and Gemini (usageMetadata.promptTokenCount, candidatesTokenCount,
// modelVersion), whole or as server-sent events; of a stream the last event that tells something decides.
// Anything else gives what could be read.
AiUsage read_ai_usage(const http::BodySample& request, const http::BodySample& response);

}  // namespace sluice
