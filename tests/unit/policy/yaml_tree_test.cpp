#include "policy/yaml_tree.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

std::string fault(std::string_view text) {
    Problems problems;
    parse_yaml(text, "f", problems);
    return to_string(problems);
}

TEST(YamlTree, KeepsPlacesAndTheOrderOfKeys) {
    Problems problems;
    const auto tree = parse_yaml("b: 1\na:\n  - x\n  - {k: 'v'}\n", "f", problems);
    ASSERT_TRUE(tree) << to_string(problems);
    ASSERT_EQ(tree->keys.size(), 2U);
    EXPECT_EQ(tree->keys[0].text, "b");
    EXPECT_EQ(tree->items[1].items[1].items[0].text, "v");
    EXPECT_EQ(tree->items[1].items[1].mark.line, 4U);
    EXPECT_EQ(tree->items[1].items[1].mark.column, 5U);
}

TEST(YamlTree, NamesThePlaceOfASyntaxError) {
    EXPECT_EQ(fault("a: [1\nb: 2\n").substr(0, 4), "f:2:");
    EXPECT_EQ(fault("a: {").substr(0, 2), "f:");
}

TEST(YamlTree, RefusesDuplicateKeys) {
    EXPECT_EQ(fault("a: 1\nb: 2\na: 3\n"),
              "f:3:1: error: key \"a\" appears twice; first on line 1; allowed: each key once\n");
}

TEST(YamlTree, RefusesWhatUnfolds) {
    EXPECT_EQ(fault("a: &x [1]\nb: *x\n"),
              "f:1:4: error: anchors and aliases are not taken; allowed: the value written out\n");
    EXPECT_NE(fault("a: *x\n"), "");
    EXPECT_NE(fault("a: !!binary aGk=\n"), "");
    EXPECT_NE(fault("? [a]\n: b\n"), "");
    EXPECT_NE(fault("a: 1\n---\nb: 1\n"), "");
    EXPECT_NE(fault(""), "");
    EXPECT_NE(fault("# only a comment\n"), "");
}

TEST(YamlTree, BoundsDepthWhateverTheText) {
    EXPECT_EQ(fault(std::string(kMaxYamlDepth, '[') + std::string(kMaxYamlDepth, ']')), "");
    EXPECT_EQ(fault(std::string(kMaxYamlDepth + 1, '[') + std::string(kMaxYamlDepth + 1, ']')),
              "f:1:17: error: nested too deeply; allowed: 16 levels\n");
    EXPECT_NE(fault(std::string(100'000, '[')), "");
    std::string maps;
    for (int i = 0; i < 1000; ++i) maps += "{a: ";
    EXPECT_NE(fault(maps), "");
}

TEST(YamlTree, RefusesBytesThatAreNotText) {
    EXPECT_EQ(fault("a: 1\nb: \xff\n"),
              "f:2:4: error: a byte that is not text; allowed: UTF-8 without control characters\n");
    EXPECT_NE(fault(std::string_view{"a: \0b\n", 6}), "");
    EXPECT_NE(fault("a: \xc0\xaf\n"), "");      // overlong
    EXPECT_NE(fault("a: \xed\xa0\x80\n"), "");  // surrogate
    EXPECT_EQ(fault("a: \xc3\xa9\n"), "");
}

}  // namespace
}  // namespace sluice
