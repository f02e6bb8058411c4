#include "policy/yaml_tree.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <sstream>
#include <unordered_map>
#include <utility>

#include "policy/text.hpp"

namespace sluice {
namespace {

YamlMark mark_of(const YAML::Mark& mark) {
    if (mark.is_null()) return {1, 1};
    return {static_cast<unsigned>(mark.line) + 1, static_cast<unsigned>(mark.column) + 1};
}

// Leaves yaml-cpp's parser at the first construct outside of the subset; does not leave this file.
struct OutsideSubset {
    YamlMark mark;
    const char* message;
    const char* allowed;
};

class TreeBuilder final : public YAML::EventHandler {
  public:
    TreeBuilder(const std::string& file, Problems& problems) : file_(file), problems_(problems) {}

    YamlNode take() { return std::move(root_); }

    void OnDocumentStart(const YAML::Mark&) override {}
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        refuse_anchor(mark, anchor);
        add({YamlNode::Kind::kNull, mark_of(mark), {}, {}, {}});
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_anchor(mark, 1); }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        refuse_anchor(mark, anchor);
        refuse_tag(mark, tag);
        add({YamlNode::Kind::kScalar, mark_of(mark), value, {}, {}});
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(YamlNode::Kind::kSequence, mark, tag, anchor);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(YamlNode::Kind::kMap, mark, tag, anchor);
    }
    void OnMapEnd() override {
        split_pairs(open_.back());
        close();
    }

  private:
    static void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
        if (anchor != 0)
            throw OutsideSubset{mark_of(mark), "anchors and aliases are not taken", "the value written out"};
    }
    // yaml-cpp reports "?" for a plain and "!" for a quoted scalar without a tag.
    static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
        if (!tag.empty() && tag != "?" && tag != "!")
            throw OutsideSubset{mark_of(mark), "explicit tags are not taken", "the value without its tag"};
    }
    void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        refuse_anchor(mark, anchor);
        refuse_tag(mark, tag);
        if (open_.size() == kMaxYamlDepth)
            throw OutsideSubset{mark_of(mark), "nested too deeply", "16 levels"};
        open_.push_back({kind, mark_of(mark), {}, {}, {}});
    }
    void close() {
        YamlNode node = std::move(open_.back());
        open_.pop_back();
        add(std::move(node));
    }
    void add(YamlNode node) {
        if (open_.empty())
            root_ = std::move(node);
        else
            open_.back().items.push_back(std::move(node));
    }
    // While a map is open its keys and values alternate in items.
    void split_pairs(YamlNode& map) {
        std::vector<YamlNode> pairs = std::exchange(map.items, {});
        std::unordered_map<std::string, unsigned> line_of;
        for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
            YamlNode& key = pairs[i];
            if (key.kind != YamlNode::Kind::kScalar)
                throw OutsideSubset{key.mark, "a key is not a single word", "key: value"};
            const auto [first, is_new] = line_of.emplace(key.text, key.mark.line);
            if (!is_new) {
                if (problems_.size() >= kMaxProblems) continue;
                problems_.push_back({Severity::kError,
                                     file_,
                                     key.mark.line,
                                     key.mark.column,
                                     {},
                                     "key " + in_quotes(key.text) + " appears twice; first on line " +
                                         std::to_string(first->second),
                                     "each key once"});
                continue;
            }
            map.keys.push_back(std::move(key));
            map.items.push_back(std::move(pairs[i + 1]));
        }
    }

    const std::string& file_;
    Problems& problems_;
    std::vector<YamlNode> open_;
    YamlNode root_;
};

}  // namespace

std::string_view to_string(YamlNode::Kind kind) {
    switch (kind) {
        case YamlNode::Kind::kNull:
            return "nothing";
        case YamlNode::Kind::kScalar:
            return "a single value";
        case YamlNode::Kind::kSequence:
            return "a list";
        case YamlNode::Kind::kMap:
            return "a mapping";
    }
    return {};
}

std::optional<YamlNode> parse_yaml(std::string_view text, const std::string& file, Problems& problems) {
    const auto fail = [&](YamlMark mark, std::string message, std::string allowed) {
        problems.push_back(
            {Severity::kError, file, mark.line, mark.column, {}, std::move(message), std::move(allowed)});
        return std::nullopt;
    };
    if (const auto at = find_non_text(text)) {
        const auto place = place_of(text, *at);
        return fail({place.line, place.column}, "a byte that is not text",
                    "UTF-8 without control characters");
    }
    std::istringstream stream{std::string{text}};
    TreeBuilder builder{file, problems};
    try {
        YAML::Parser parser{stream};
        if (!parser.HandleNextDocument(builder))
            return fail({}, "the file is empty", "a mapping of keys to values");
        YamlNode root = builder.take();
        TreeBuilder rest{file, problems};
        if (parser.HandleNextDocument(rest))
            return fail(rest.take().mark, "a second document", "one document a file");
        return root;
    } catch (const OutsideSubset& outside) {
        return fail(outside.mark, outside.message, outside.allowed);
    } catch (const YAML::Exception& error) {
        return fail(mark_of(error.mark), "not valid YAML: " + error.msg, {});
    }
}

}  // namespace sluice
