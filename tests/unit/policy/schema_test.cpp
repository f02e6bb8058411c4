// The JSON Schema and the reader know the same keys.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "policy/policy_keys.hpp"
#include "policy/words.hpp"

namespace sluice {
namespace {

using Json = nlohmann::json;

std::string key_line(std::string_view section, std::string_view name, bool required) {
    return std::string{section} + " " + std::string{name} + (required ? " (required)" : "");
}

void collect(const Json& schema, const std::string& path, std::set<std::string>& keys) {
    if (schema.contains("oneOf"))
        for (const Json& choice : schema["oneOf"]) collect(choice, path, keys);
    if (schema.contains("items")) collect(schema["items"], path + "[]", keys);
    if (!schema.contains("properties")) return;
    const std::set<std::string> required = schema.at("required").get<std::set<std::string>>();
    EXPECT_EQ(schema.at("additionalProperties"), false) << path;
    for (const auto& [name, property] : schema["properties"].items()) {
        EXPECT_TRUE(property.contains("description")) << path << "." << name;
        keys.insert(key_line(path, name, required.contains(name)));
        collect(property, path + "." + name, keys);
    }
}

Json read_schema() {
    return Json::parse(std::ifstream{SLUICE_SOURCE_DIR "/policies/policy.schema.json"});
}

TEST(Schema, KnowsTheKeysOfTheReader) {
    std::set<std::string> of_schema;
    collect(read_schema(), "$", of_schema);
    std::set<std::string> of_reader;
    for (const PolicyKey& key : kPolicyKeys) of_reader.insert(key_line(key.section, key.name, key.required));
    EXPECT_EQ(of_schema, of_reader);
}

TEST(Schema, TheReferenceNamesEveryKey) {
    std::ifstream file{SLUICE_SOURCE_DIR "/docs/policy.md"};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    for (const PolicyKey& key : kPolicyKeys) {
        const std::string name{key.name};
        EXPECT_TRUE(text.find("`" + name + "`") != std::string::npos ||
                    text.find("{" + name + ": ") != std::string::npos ||
                    text.find(", " + name + ": ") != std::string::npos)
            << key.section << " " << name;
    }
}

template <class E, std::size_t N>
void expect_words(const char* pointer, const Words<E, N>& words) {
    std::set<std::string> expected;
    for (const auto& [word, value] : words) expected.insert(std::string{word});
    EXPECT_EQ(read_schema().at(Json::json_pointer{pointer}).get<std::set<std::string>>(), expected)
        << pointer;
}

TEST(Schema, KnowsTheWordsOfTheReader) {
    expect_words("/properties/kernel/properties/mode/enum", kKernelModes);
    expect_words("/properties/kernel/properties/syn_cookies/enum", kSynCookies);
    expect_words("/properties/kernel/properties/limits/items/properties/count/enum", kPacketCounts);
    expect_words("/properties/kernel/properties/limits/items/properties/per/enum", kPacketScopes);
    expect_words("/properties/kernel/properties/limits/items/properties/mode/enum", kLimitModes);
    expect_words("/properties/identity/properties/jwt/properties/algorithms/items/enum", kJwtAlgorithms);
    expect_words("/properties/limits/items/properties/per/enum", kLimitScopes);
    expect_words("/properties/limits/items/properties/when/enum", kLimitWhens);
    expect_words("/properties/limits/items/properties/mode/enum", kLimitModes);
    expect_words("/properties/limits/items/properties/algorithm/enum", kLimitAlgorithms);
    expect_words("/properties/limits/items/properties/on_ledger_loss/enum", kLedgerLosses);
}

}  // namespace
}  // namespace sluice
