#include "api/role_watch.hpp"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

namespace sluice {

bool RoleWatch::changed(const std::string& user, std::vector<std::string> roles) {
    std::ranges::sort(roles);
    std::string joined;
    for (const std::string& role : roles) joined.append(role).push_back('\0');
    const std::size_t digest = std::hash<std::string_view>{}(joined);

    return shards_[std::hash<std::string>{}(user) % kShards].with([&](auto& seen) {
        const auto found = seen.find(user);
        if (found != seen.end()) return std::exchange(found->second, digest) != digest;
        if (seen.size() >= capacity_) seen.clear();
        seen.emplace(user, digest);
        return false;
    });
}

}  // namespace sluice
