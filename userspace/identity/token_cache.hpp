// Proven tokens by their digest, so that a token in use costs a hash rather than a signature. Bounded; any
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <unordered_map>

#include "base/guarded.hpp"
#include "identity/identity.hpp"
#include "policy/sha256.hpp"

namespace sluice {

// Only what was proven goes in, so that no client without valid tokens can fill it. Each shard keeps two
// generations: the older is dropped when the younger is full, and what is asked for moves to the younger.
// That is close to dropping the least recently used, at constant cost and without a list.
class TokenCache {
  public:
    static constexpr std::size_t kShards = 16;
    static constexpr std::size_t kGeneration = 2048;  // tokens; in all at most 65536, some 25 MB

    // nullptr: not known, or its time [from, until) in seconds is not now.
    std::shared_ptr<const Identity> find(const Sha256& token, std::int64_t now);
    void insert(const Sha256& token, std::shared_ptr<const Identity> identity, std::int64_t from,
                std::int64_t until);

    std::size_t size() const;

  private:
    struct Entry {
        std::shared_ptr<const Identity> identity;
        std::int64_t from = 0;
        std::int64_t until = 0;
    };
    struct DigestHash {
        std::size_t operator()(const Sha256& digest) const {
            std::size_t hash = 0;
            std::memcpy(&hash, digest.data() + 1, sizeof hash);  // byte 0 chose the shard
            return hash;
        }
    };
    using Map = std::unordered_map<Sha256, Entry, DigestHash>;
    struct Shard {
        Map young;
        Map old;
    };

    static void store(Shard& shard, const Sha256& token, Entry entry);
    Guarded<Shard>& shard_of(const Sha256& token) { return shards_[token[0] % kShards]; }

    std::array<Guarded<Shard>, kShards> shards_;
};

}  // namespace sluice
