#include "api/route_table.hpp"

#include <algorithm>

#include "http/fields.hpp"

namespace sluice {
namespace {

// Takes the next segment off a path that starts with '/'; false at the end.
bool next_segment(std::string_view& path, std::string_view& segment) {
    if (path.empty()) return false;
    path.remove_prefix(1);
    const std::size_t end = std::min(path.find('/'), path.size());
    segment = path.substr(0, end);
    path.remove_prefix(end);
    return true;
}

}  // namespace

RouteTable::RouteTable(const std::vector<Route>& routes) {
    entries_.reserve(routes.size());
    for (const Route& route : routes) {
        Entry entry;
        entry.methods = route.methods;
        // Many applications run what answers GET for HEAD as well: it must not be the way around the limit.
        if (std::ranges::find(entry.methods, "GET") != entry.methods.end())
            entry.methods.emplace_back("HEAD");
        std::string_view rest = route.path;
        std::string_view segment;
        while (next_segment(rest, segment)) {
            if (segment == "**") {
                entry.any_rest = true;
                break;
            }
            entry.segments.emplace_back(segment);
        }
        entry.literal = route.path.substr(0, route.path.find('*'));
        // "/api/voice/**" also matches "/api/voice" itself.
        if (entry.any_rest && entry.literal.size() > 1 && entry.literal.back() == '/')
            entry.literal.pop_back();
        entries_.push_back(std::move(entry));
    }
}

// In any letter case, because some applications do not distinguish "post" from "POST" either.
bool RouteTable::takes(const Entry& entry, std::string_view method) {
    return entry.methods.empty() || std::ranges::any_of(entry.methods, [&](const std::string& taken) {
               return http::equal_ignoring_case(taken, method);
           });
}

bool RouteTable::fits(const Entry& entry, std::string_view path) {
    if (!path.starts_with(entry.literal)) return false;
    std::string_view segment;
    for (const std::string& wanted : entry.segments) {
        if (!next_segment(path, segment)) return false;
        if (wanted == "*" ? segment.empty() : wanted != segment) return false;
    }
    return entry.any_rest || path.empty();
}

std::optional<std::size_t> RouteTable::match(std::string_view method, std::string_view path) const {
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        const Entry& entry = entries_[i];
        if (takes(entry, method) && fits(entry, path)) return i;
    }
    return std::nullopt;
}

}  // namespace sluice
