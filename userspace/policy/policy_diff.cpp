#include "policy/policy_diff.hpp"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "policy/policy_json.hpp"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

// Compares two policies as to_json() shows them. Lists of prefixes are compared whole, apart.
class Differ {
  public:
    std::vector<Change> take() { return std::move(changes_); }

    void compare(const std::string& path, const Json& before, const Json& after) {
        if (before == after || is_prefix_list(before)) return;
        if (before.is_object() && after.is_object()) return compare_members(path, before, after);
        if (before.is_array() && after.is_array())
            return is_named(before) || is_named(after) ? compare_named(path, before, after)
                                                       : compare_values(path, before, after);
        changes_.push_back({path, ChangeKind::kChanged, shown(before), shown(after)});
    }

    void compare_prefixes(const std::string& path, const std::vector<IpPrefix>& before,
                          const std::vector<IpPrefix>& after) {
        std::vector<IpPrefix> removed;
        std::vector<IpPrefix> added;
        std::ranges::set_difference(before, after, std::back_inserter(removed));
        std::ranges::set_difference(after, before, std::back_inserter(added));
        const auto text = [](const std::vector<IpPrefix>& prefixes) {
            std::vector<std::string> texts;
            for (std::size_t i = 0; i < std::min(prefixes.size(), kShown); ++i)
                texts.push_back(prefixes[i].to_string());
            return few(texts, prefixes.size());
        };
        if (!removed.empty()) changes_.push_back({path, ChangeKind::kRemoved, text(removed), {}});
        if (!added.empty()) changes_.push_back({path, ChangeKind::kAdded, {}, text(added)});
    }

    // The order of routes decides which one a request takes.
    void compare_order(const std::string& path, const std::vector<Route>& before,
                       const std::vector<Route>& after) {
        const auto order = [](const std::vector<Route>& routes, const std::vector<Route>& others) {
            std::set<std::string_view> names;
            for (const Route& route : others) names.insert(route.name);
            std::vector<std::string> common;
            for (const Route& route : routes)
                if (names.contains(route.name)) common.push_back(route.name);
            return common;
        };
        std::vector<std::string> old_order = order(before, after);
        std::vector<std::string> new_order = order(after, before);
        if (old_order == new_order) return;
        // What stands before the first difference says nothing.
        const auto [a, b] = std::ranges::mismatch(old_order, new_order);
        old_order.erase(old_order.begin(), a);
        new_order.erase(new_order.begin(), b);
        changes_.push_back({path, ChangeKind::kChanged, "order " + few(old_order, old_order.size()),
                            "order " + few(new_order, new_order.size())});
    }

  private:
    static constexpr std::size_t kShown = 5;

    static bool is_prefix_list(const Json& value) { return value.is_object() && value.contains("first"); }
    static bool is_named(const Json& list) { return !list.empty() && list.front().is_object(); }

    // "a, b and 3 more"
    static std::string few(const std::vector<std::string>& first, std::size_t total) {
        std::string text;
        const std::size_t count = std::min(first.size(), kShown);
        for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "" : ", ") + first[i];
        if (total > count) text += " and " + std::to_string(total - count) + " more";
        return text;
    }

    // Without quotes and braces, as it would stand in the file.
    static std::string shown(const Json& value) {
        if (value.is_string()) return value.get<std::string>();
        if (value.is_array()) {
            std::string text;
            for (const Json& item : value) text += (text.empty() ? "" : ", ") + shown(item);
            return "[" + text + "]";
        }
        if (!value.is_object()) return value.dump();
        std::string text;
        for (const auto& [key, member] : value.items())
            if (key != "name") text += (text.empty() ? "" : ", ") + key + ": " + shown(member);
        return "{" + text + "}";
    }

    void compare_members(const std::string& path, const Json& before, const Json& after) {
        for (const auto& [key, value] : before.items()) {
            if (after.contains(key))
                compare(path + "." + key, value, after[key]);
            else
                changes_.push_back({path + "." + key, ChangeKind::kRemoved, shown(value), {}});
        }
        for (const auto& [key, value] : after.items())
            if (!before.contains(key))
                changes_.push_back({path + "." + key, ChangeKind::kAdded, {}, shown(value)});
    }

    static const Json* find_named(const Json& list, const Json& name) {
        const auto found = std::ranges::find_if(list, [&](const Json& item) { return item["name"] == name; });
        return found == list.end() ? nullptr : &*found;
    }

    void compare_named(const std::string& path, const Json& before, const Json& after) {
        const auto path_of = [&](const Json& item) {
            return path + "[" + item["name"].get<std::string>() + "]";
        };
        for (const Json& item : before) {
            if (const Json* const other = find_named(after, item["name"]))
                compare(path_of(item), item, *other);
            else
                changes_.push_back({path_of(item), ChangeKind::kRemoved, shown(item), {}});
        }
        for (const Json& item : after)
            if (find_named(before, item["name"]) == nullptr)
                changes_.push_back({path_of(item), ChangeKind::kAdded, {}, shown(item)});
    }

    // Ports, methods, algorithms: sets.
    void compare_values(const std::string& path, const Json& before, const Json& after) {
        const std::set<Json> old_values(before.begin(), before.end());
        const std::set<Json> new_values(after.begin(), after.end());
        if (old_values != new_values)
            changes_.push_back({path, ChangeKind::kChanged, shown(before), shown(after)});
    }

    std::vector<Change> changes_;
};

char sign_of(ChangeKind kind) {
    switch (kind) {
        case ChangeKind::kAdded:
            return '+';
        case ChangeKind::kRemoved:
            return '-';
        case ChangeKind::kChanged:
            return '~';
    }
    return '?';
}

}  // namespace

std::string_view to_string(ChangeKind kind) {
    switch (kind) {
        case ChangeKind::kAdded:
            return "added";
        case ChangeKind::kRemoved:
            return "removed";
        case ChangeKind::kChanged:
            return "changed";
    }
    return {};
}

std::vector<Change> diff_policies(const Policy& before, const Policy& after) {
    Differ differ;
    differ.compare("$", to_json(before), to_json(after));
    differ.compare_order("$.routes", before.routes, after.routes);
    differ.compare_prefixes("$.trusted_proxies", before.trusted_proxies, after.trusted_proxies);
    for (const auto& [name, list] :
         {std::pair{"$.kernel.allow", &KernelPolicy::allow}, {"$.kernel.deny", &KernelPolicy::deny}})
        differ.compare_prefixes(name, (before.kernel.*list).prefixes, (after.kernel.*list).prefixes);
    return differ.take();
}

std::string to_string(const std::vector<Change>& changes) {
    std::string text;
    for (const Change& change : changes) {
        text += sign_of(change.kind);
        text += " " + change.path + ": ";
        if (change.kind == ChangeKind::kChanged)
            text += change.before + " → " + change.after;
        else
            text += change.before + change.after;
        text += '\n';
    }
    return text;
}

nlohmann::json to_json(const std::vector<Change>& changes) {
    auto list = nlohmann::json::array();
    for (const Change& change : changes)
        list.push_back({{"path", change.path},
                        {"kind", to_string(change.kind)},
                        {"before", change.before},
                        {"after", change.after}});
    return list;
}

}  // namespace sluice
