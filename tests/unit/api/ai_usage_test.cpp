#include "api/ai_usage.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

http::BodySample whole(std::string_view body) {
    return {body, "", body.size()};
}

TEST(AiUsage, OpenAi) {
    const AiUsage usage =
        read_ai_usage(whole(R"({"model":"asked"})"),
                      whole(R"({"model":"gpt-4o","usage":{"prompt_tokens":3,"completion_tokens":5}})"));
    EXPECT_EQ(usage.model, "gpt-4o");
    EXPECT_EQ(usage.input_tokens, 3U);
    EXPECT_EQ(usage.output_tokens, 5U);
}

TEST(AiUsage, GeminiAndTheRequestsModel) {
    const AiUsage usage =
        read_ai_usage(whole(R"({"model":"gemini-pro"})"),
                      whole(R"({"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":9}})"));
    EXPECT_EQ(usage.model, "gemini-pro");
    EXPECT_EQ(usage.input_tokens, 7U);
    EXPECT_EQ(usage.output_tokens, 9U);
}

TEST(AiUsage, AStreamOfAnthropicsCutInTheMiddle) {
    const std::string_view start =
        "event: message_start\ndata: "
        "{\"type\":\"message_start\",\"message\":{\"model\":\"claude-3\",\"usage\":"
        "{\"input_tokens\":11,\"output_tokens\":1}}}\n\ndata: {\"cut";
    const std::string_view end =
        "off\":1}\n\nevent: message_delta\r\ndata: "
        "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":42}}\r\n\r\n"
        "data: [DONE]\n";
    const AiUsage usage = read_ai_usage({}, {start, end, 100'000});
    EXPECT_EQ(usage.model, "claude-3");
    EXPECT_EQ(usage.input_tokens, 11U);
    EXPECT_EQ(usage.output_tokens, 42U);
}

TEST(AiUsage, WhateverItIsItIsNoError) {
    for (const auto* body :
         {"", "null", "[1,2]", "{\"model\":7,\"usage\":[]}", "{\"usage\":{\"prompt_tokens\":-1}}", "data: \n",
          "\xff\xfe", "{\"message\":\"text\"}"}) {
        const AiUsage usage = read_ai_usage(whole(body), whole(body));
        EXPECT_EQ(usage.model, "") << body;
        EXPECT_FALSE(usage.input_tokens) << body;
    }
    const std::string deep(100'000, '[');
    EXPECT_EQ(read_ai_usage({}, {deep, "", deep.size()}).model, "");
}

}  // namespace
}  // namespace sluice
