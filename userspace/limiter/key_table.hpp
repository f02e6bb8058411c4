// The windows of one shard by key: open addressing with linear probing over 16-byte buckets, four to a cache
// line. Owns its windows. Grows only by grow(), so that the caller can allocate outside its lock.
#pragma once

#include <cstdint>
#include <memory>

#include "limiter/window.hpp"

namespace sluice {

class KeyTable {
  public:
    struct Bucket {
        std::uint32_t tag =
            0;  // low bits of the hash: its place, and a first comparison without a cache miss
        std::uint32_t expires_s =
            0;  // not expired before this (seconds, ledger clock); may be out of date, then early
        KeyWindow* window = nullptr;
    };
    struct Buckets {
        std::unique_ptr<Bucket[]> array;
        std::size_t count = 0;  // a power of two
    };

    KeyTable() = default;
    ~KeyTable();
    KeyTable(const KeyTable&) = delete;
    KeyTable& operator=(const KeyTable&) = delete;

    std::size_t size() const { return size_; }
    std::size_t buckets() const { return buckets_.count; }
    std::size_t bytes() const { return buckets_.count * sizeof(Bucket); }

    KeyWindow* find(const KeyHash& key) const;
    // Room for one more key without growing: up to 7/8 full.
    bool has_room() const { return (size_ + 1) * 8 <= buckets_.count * 7; }
    // Three quarters full: probes begin to get long.
    bool wants_growth() const { return size_ * 4 >= buckets_.count * 3; }
    // How many buckets grow() would like: enough for twice the keys.
    std::size_t wanted_buckets() const { return buckets_.count == 0 ? kFewest : buckets_.count * 2; }

    // Takes the window. Its key is not in the table; has_room().
    void insert(KeyWindow* window);
    // `window` takes the place of the one with the same key, which is destroyed.
    void replace(KeyWindow* window);
    // Destroys the key's window. The key is in the table.
    void erase(const KeyHash& key);
    // The key's window expires sooner than it did.
    void expires_sooner(const KeyHash& key) { bucket_of(key)->expires_s = 0; }
    // Moves all keys to a larger array and returns the former one, to be freed outside the lock.
    Buckets grow(Buckets larger);

    // The window in bucket i if it has expired at `now`; corrects the bucket's expiry if not. For sweeping.
    KeyWindow* expired_at(std::size_t i, Nanos now);
    void erase_bucket(std::size_t i);

  private:
    static constexpr std::size_t kFewest = 16;

    Bucket* bucket_of(const KeyHash& key) const;

    Buckets buckets_;
    std::size_t size_ = 0;
};

}  // namespace sluice
