// The parts of check_policy(): one for each enforcer.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "policy/policy.hpp"
#include "policy/problem.hpp"

namespace sluice {

class RuleChecker {
  public:
    explicit RuleChecker(Problems& problems) : problems_(problems) {}

    void check_sources(const Policy& policy);
    void check_kernel(const Policy& policy);
    void check_identity(const IdentityPolicy& identity);
    void check_routes(const Policy& policy);
    void check_limits(const Policy& policy);

    void error(std::string path, std::string message, std::string allowed = {}) {
        problems_.push_back(
            {Severity::kError, {}, 0, 0, std::move(path), std::move(message), std::move(allowed)});
    }
    void warning(std::string path, std::string message, std::string allowed = {}) {
        problems_.push_back(
            {Severity::kWarning, {}, 0, 0, std::move(path), std::move(message), std::move(allowed)});
    }

  private:
    void check_packet_limits(const std::vector<PacketLimit>& limits, const std::string& path,
                             const Policy& policy);
    void check_ports(const std::vector<std::uint16_t>& ports, const std::string& path);
    void check_newcomers(const Rate& rate);
    void check_packet_limit(const PacketLimit& limit, const std::string& path);
    void check_lists(const Policy& policy);
    void check_route(const Route& route, const std::string& path);
    void check_shadowed(const std::vector<Route>& routes);
    void check_charges(const Policy& policy);
    void check_coverage(const Policy& policy);
    // A name that is not in order, or stands at an earlier item of the list.
    template <class Item>
    void check_names(const std::vector<Item>& items, const std::string& list, std::size_t most);
    void check_name(std::string_view name, const std::string& path);

    Problems& problems_;
};

template <class Item>
void RuleChecker::check_names(const std::vector<Item>& items, const std::string& list, std::size_t most) {
    if (items.size() > most)
        error(list, std::to_string(items.size()) + " items", "at most " + std::to_string(most));
    std::unordered_map<std::string_view, std::size_t> first_of;
    for (std::size_t i = 0; i < items.size(); ++i) {
        const std::string path = list + "[" + std::to_string(i) + "].name";
        check_name(items[i].name, path);
        const auto [first, is_new] = first_of.emplace(items[i].name, i);
        if (!is_new)
            error(path,
                  "name " + in_quotes(items[i].name) + " is taken by " + list + "[" +
                      std::to_string(first->second) + "]",
                  "each name once in its list");
    }
}

}  // namespace sluice
