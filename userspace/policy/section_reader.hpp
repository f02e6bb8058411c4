// Typed reading of a YAML tree: every value taken through here has its place remembered and its faults
// reported, so that the readers of a format say only what stands where.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "policy/policy_keys.hpp"
#include "policy/problem.hpp"
#include "policy/text.hpp"
#include "policy/words.hpp"
#include "policy/yaml_tree.hpp"

namespace sluice {

// One file being read: where each path of it stands, and what was wrong. Keeps the first kMaxProblems
// problems.
class DocumentReader {
  public:
    DocumentReader(std::string file, std::span<const PolicyKey> keys, Problems& problems)
        : file_(std::move(file)), keys_(keys), problems_(problems) {}

    void remember(const std::string& path, YamlMark mark) { marks_.emplace(path, mark); }
    void error(const std::string& path, std::string message, std::string allowed = {});
    void error_at(YamlMark mark, const std::string& path, std::string message, std::string allowed);
    // Reports a problem that has only a path, at the path's place or that of the nearest mapping or list
    // around it. Left out if the path, what is around it or what is below it was already found wrong: it may
    // only be a consequence.
    void add_placed(Problem problem);

    const std::string& file() const { return file_; }
    std::span<const PolicyKey> keys() const { return keys_; }
    Problems& problems() { return problems_; }

  private:
    YamlMark place_of(std::string path) const;
    void push(Problem problem);

    std::string file_;
    std::span<const PolicyKey> keys_;
    Problems& problems_;
    std::unordered_map<std::string, YamlMark> marks_;
    std::set<std::string> faulty_;
};

// A list of the file. If the node is not a list, that is reported and there are no items.
class ListReader {
  public:
    ListReader(DocumentReader& document, const YamlNode& node, std::string path, std::string_view allowed);

    std::size_t size() const { return items_.size(); }
    const YamlNode& operator[](std::size_t i) const { return items_[i]; }
    std::string path(std::size_t i) const { return path_ + "[" + std::to_string(i) + "]"; }

  private:
    std::span<const YamlNode> items_;
    std::string path_;
};

// A mapping of the file. Its constructor reports unknown and missing keys; a getter leaves `out` as it is if
// the key is absent or its value is wrong.
class SectionReader {
  public:
    // section: the path in the key table.
    SectionReader(DocumentReader& document, const YamlNode& node, std::string path, std::string_view section);

    const YamlNode* find(std::string_view key) const;  // nullptr: absent, or not a mapping at all
    std::string path(std::string_view key) const { return path_ + "." + std::string{key}; }
    DocumentReader& document() const { return document_; }

    bool text(std::string_view key, std::string& out) const;
    void integer(std::string_view key, std::uint64_t lowest, std::uint64_t highest, std::uint64_t& out) const;
    void duration(std::string_view key, Nanos lowest, Nanos highest, Nanos& out) const;
    void rate(std::string_view key, Rate& out) const;

    template <class E, std::size_t N>
    void word(std::string_view key, const Words<E, N>& words, E& out) const {
        std::string written;
        if (!text(key, written)) return;
        if (const auto value = value_of(words, written))
            out = *value;
        else
            wrong(key, in_quotes(written) + " is not a " + std::string{key}, list_of(words));
    }

    void wrong(std::string_view key, std::string message, std::string allowed) const {
        document_.error(path(key), std::move(message), std::move(allowed));
    }

  private:
    void check_keys(std::string_view section) const;

    DocumentReader& document_;
    const YamlNode& node_;
    std::string path_;
};

// The text of a scalar; reports anything else.
std::optional<std::string_view> scalar_at(DocumentReader& document, const YamlNode& node,
                                          const std::string& path, std::string_view allowed);
// The whole number of a scalar, in decimal digits; reports anything else.
std::optional<std::uint64_t> integer_at(DocumentReader& document, const YamlNode& node,
                                        const std::string& path, std::uint64_t lowest, std::uint64_t highest);

}  // namespace sluice
