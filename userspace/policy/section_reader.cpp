#include "policy/section_reader.hpp"

#include <algorithm>
#include <vector>

#include "policy/units.hpp"

namespace sluice {
namespace {

// "$.limits[2].rate" → "$.limits[2]" → "$.limits" → "$" → ""
std::string_view parent_of(std::string_view path) {
    const auto at = path.find_last_of(".[");
    return at == std::string_view::npos ? std::string_view{} : path.substr(0, at);
}

std::string quoted_unless_word(std::string_view key) {
    const bool is_word = std::ranges::all_of(key, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
               c == '-';
    });
    return is_word ? std::string{key.substr(0, 64)} : in_quotes(key);
}

std::string join(const std::vector<std::string_view>& words) {
    std::string list;
    for (const auto word : words) {
        if (!list.empty()) list += ", ";
        list += word;
    }
    return list;
}

}  // namespace

void DocumentReader::push(Problem problem) {
    if (problem.severity == Severity::kError && !problem.path.empty()) faulty_.insert(problem.path);
    if (problems_.size() < kMaxProblems) {
        problems_.push_back(std::move(problem));
    } else if (problems_.size() == kMaxProblems) {
        problems_.push_back(
            {Severity::kError, file_, 0, 0, {}, "too many problems; the rest is not shown", {}});
    }
}

void DocumentReader::error(const std::string& path, std::string message, std::string allowed) {
    error_at(place_of(path), path, std::move(message), std::move(allowed));
}

void DocumentReader::error_at(YamlMark mark, const std::string& path, std::string message,
                              std::string allowed) {
    push({Severity::kError, file_, mark.line, mark.column, path, std::move(message), std::move(allowed)});
}

void DocumentReader::add_placed(Problem problem) {
    const auto below = faulty_.upper_bound(problem.path);
    if (below != faulty_.end() && parent_of(*below).starts_with(problem.path) && problem.path != "$") return;
    for (std::string_view path = problem.path; !path.empty() && path != "$"; path = parent_of(path))
        if (faulty_.contains(std::string{path})) return;
    const YamlMark mark = place_of(problem.path);
    problem.file = file_;
    problem.line = mark.line;
    problem.column = mark.column;
    push(std::move(problem));
}

YamlMark DocumentReader::place_of(std::string path) const {
    for (; !path.empty(); path = parent_of(path))
        if (const auto found = marks_.find(path); found != marks_.end()) return found->second;
    return {};
}

ListReader::ListReader(DocumentReader& document, const YamlNode& node, std::string path,
                       std::string_view allowed)
    : path_(std::move(path)) {
    document.remember(path_, node.mark);
    if (node.kind == YamlNode::Kind::kSequence)
        items_ = node.items;
    else
        document.error(path_, std::string{to_string(node.kind)} + " in place of a list",
                       std::string{allowed});
    for (std::size_t i = 0; i < items_.size(); ++i) document.remember(this->path(i), items_[i].mark);
}

SectionReader::SectionReader(DocumentReader& document, const YamlNode& node, std::string path,
                             std::string_view section)
    : document_(document), node_(node), path_(std::move(path)) {
    document_.remember(path_, node.mark);
    if (node.kind == YamlNode::Kind::kMap)
        for (std::size_t i = 0; i < node.keys.size(); ++i)
            document_.remember(this->path(node.keys[i].text), node.items[i].mark);
    check_keys(section);
}

void SectionReader::check_keys(std::string_view section) const {
    std::vector<std::string_view> known;
    for (const PolicyKey& key : document_.keys())
        if (key.section == section) known.push_back(key.name);
    if (node_.kind != YamlNode::Kind::kMap) {
        document_.error(path_, std::string{to_string(node_.kind)} + " in place of a mapping",
                        "the keys " + join(known));
        return;
    }
    for (const YamlNode& key : node_.keys) {
        if (std::ranges::find(known, key.text) != known.end()) continue;
        std::string message = "unknown key " + in_quotes(key.text);
        if (const auto meant = nearest(key.text, known); !meant.empty())
            message += "; did you mean \"" + std::string{meant} + "\"?";
        document_.error_at(key.mark, this->path(quoted_unless_word(key.text)), std::move(message),
                           join(known));
    }
    for (const PolicyKey& key : document_.keys())
        if (key.required && key.section == section && find(key.name) == nullptr)
            wrong(key.name, "\"" + std::string{key.name} + "\" is missing", {});
}

const YamlNode* SectionReader::find(std::string_view key) const {
    if (node_.kind != YamlNode::Kind::kMap) return nullptr;
    const auto found = std::ranges::find(node_.keys, key, &YamlNode::text);
    return found == node_.keys.end() ? nullptr
                                     : &node_.items[static_cast<std::size_t>(found - node_.keys.begin())];
}

std::optional<std::string_view> scalar_at(DocumentReader& document, const YamlNode& node,
                                          const std::string& path, std::string_view allowed) {
    if (node.kind == YamlNode::Kind::kScalar) return node.text;
    document.error(path, std::string{to_string(node.kind)} + " in place of a single value",
                   std::string{allowed});
    return std::nullopt;
}

bool SectionReader::text(std::string_view key, std::string& out) const {
    const YamlNode* const node = find(key);
    if (node == nullptr) return false;
    const auto written = scalar_at(document_, *node, path(key), {});
    if (written) out = *written;
    return written.has_value();
}

std::optional<std::uint64_t> integer_at(DocumentReader& document, const YamlNode& node,
                                        const std::string& path, std::uint64_t lowest,
                                        std::uint64_t highest) {
    const std::string range = std::to_string(lowest) + "…" + std::to_string(highest);
    const auto written = scalar_at(document, node, path, range);
    if (!written) return std::nullopt;
    const auto number = parse_number(*written);
    if (number && *number >= lowest && *number <= highest) return number;
    document.error(path, in_quotes(*written) + " is not a whole number in range", range);
    return std::nullopt;
}

void SectionReader::integer(std::string_view key, std::uint64_t lowest, std::uint64_t highest,
                            std::uint64_t& out) const {
    if (const YamlNode* const node = find(key))
        if (const auto number = integer_at(document_, *node, path(key), lowest, highest)) out = *number;
}

void SectionReader::duration(std::string_view key, Nanos lowest, Nanos highest, Nanos& out) const {
    std::string written;
    if (!text(key, written)) return;
    const auto value = parse_duration(written);
    const std::string range = format_duration(lowest) + "…" + format_duration(highest);
    if (!value)
        wrong(key, in_quotes(written) + " is not a duration", std::string{kDurationForm} + ", " + range);
    else if (*value < lowest || *value > highest)
        wrong(key, in_quotes(written) + " is out of range", range);
    else
        out = *value;
}

void SectionReader::rate(std::string_view key, Rate& out) const {
    std::string written;
    if (!text(key, written)) return;
    if (const auto value = parse_rate(written))
        out = *value;
    else
        wrong(key, in_quotes(written) + " is not a rate", std::string{kRateForm});
}

}  // namespace sluice
