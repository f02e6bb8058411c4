// YAML text as a tree that keeps what errors need: where each node stands, the order of keys, duplicates. A
// strict subset: one document, no anchors, aliases or explicit tags, bounded depth, so that no text unfolds
// into more than it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/problem.hpp"

namespace sluice {

inline constexpr std::size_t kMaxYamlDepth = 16;

struct YamlMark {
    unsigned line = 0;  // both from 1
    unsigned column = 0;
};

struct YamlNode {
    enum class Kind : std::uint8_t { kNull, kScalar, kSequence, kMap };

    Kind kind = Kind::kNull;
    YamlMark mark;
    std::string text;             // of a scalar
    std::vector<YamlNode> keys;   // of a map, scalars, each once
    std::vector<YamlNode> items;  // of a sequence; of a map, the values in the order of keys
};

std::string_view to_string(YamlNode::Kind kind);  // "nothing", "a single value", "a list", "a mapping"

// Appends to problems, and returns nothing, if the text is not YAML of this subset. Duplicate keys are
// reported and the first is kept.
std::optional<YamlNode> parse_yaml(std::string_view text, const std::string& file, Problems& problems);

}  // namespace sluice
