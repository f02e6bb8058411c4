// Which route a request takes: the policy's routes in order, first match wins. Immutable; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/policy.hpp"

namespace sluice {

class RouteTable {
  public:
    RouteTable() = default;
    explicit RouteTable(const std::vector<Route>& routes);

    // The index of the first route whose methods and pattern fit; `path` is canonical (http/path.hpp). Costs
    // one comparison of a literal prefix for each route passed over.
    std::optional<std::size_t> match(std::string_view method, std::string_view path) const;

  private:
    struct Entry {
        std::string literal;                // what stands before the first wildcard: tested first
        std::vector<std::string> segments;  // between slashes; "*" is any one segment
        bool any_rest = false;              // ends in "**": any number of further segments, none included
        std::vector<std::string> methods;   // empty: any; HEAD wherever GET is
    };
    static bool takes(const Entry& entry, std::string_view method);
    static bool fits(const Entry& entry, std::string_view path);

    std::vector<Entry> entries_;
};

}  // namespace sluice
