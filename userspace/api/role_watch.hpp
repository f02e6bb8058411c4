// Notices when a user's roles differ from those of the same user's request before. Bounded; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/guarded.hpp"

namespace sluice {

class RoleWatch {
  public:
    // Users remembered; beyond, a shard of the memory starts over, and a change that falls into that moment
    // is missed.
    explicit RoleWatch(std::size_t capacity = 65'536) : capacity_(capacity / kShards + 1) {}

    // True if the user was seen before with other roles. Order of roles does not count.
    bool changed(const std::string& user, std::vector<std::string> roles);

  private:
    static constexpr std::size_t kShards = 16;
    std::size_t capacity_;  // of a shard
    std::array<Guarded<std::unordered_map<std::string, std::size_t>>, kShards> shards_;
};

}  // namespace sluice
