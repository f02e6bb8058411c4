#include "limiter/key_table.hpp"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

std::uint32_t tag_of(const KeyHash& key) {
    return static_cast<std::uint32_t>(key.low);
}

}  // namespace

KeyTable::~KeyTable() {
    for (std::size_t i = 0; i < buckets_.count; ++i) {
        if (buckets_.array[i].window != nullptr) KeyWindow::destroy(buckets_.array[i].window);
    }
}

KeyTable::Bucket* KeyTable::bucket_of(const KeyHash& key) const {
    if (buckets_.count == 0) return nullptr;
    const std::uint32_t tag = tag_of(key);
    const std::size_t mask = buckets_.count - 1;
    for (std::size_t i = tag & mask;; i = (i + 1) & mask) {
        Bucket& bucket = buckets_.array[i];
        if (bucket.window == nullptr) return nullptr;  // at the latest after 7/8 of the buckets
        if (bucket.tag != tag) continue;
        // The key, the counts and the first runs lie in up to three cache lines: waited for together, not in
        // turn.
        const auto* const block = reinterpret_cast<const char*>(bucket.window);
        __builtin_prefetch(block + 64);
        __builtin_prefetch(block + 128);
        if (bucket.window->key() == key) return &bucket;
    }
}

KeyWindow* KeyTable::find(const KeyHash& key) const {
    const Bucket* bucket = bucket_of(key);
    return bucket == nullptr ? nullptr : bucket->window;
}

void KeyTable::insert(KeyWindow* window) {
    const std::uint32_t tag = tag_of(window->key());
    const std::size_t mask = buckets_.count - 1;
    std::size_t i = tag & mask;
    while (buckets_.array[i].window != nullptr) i = (i + 1) & mask;
    buckets_.array[i] = {.tag = tag, .expires_s = 0, .window = window};
    ++size_;
}

void KeyTable::replace(KeyWindow* window) {
    KeyWindow::destroy(std::exchange(bucket_of(window->key())->window, window));
}

void KeyTable::erase(const KeyHash& key) {
    erase_bucket(static_cast<std::size_t>(bucket_of(key) - buckets_.array.get()));
}

// Closes the gap by moving back those behind it that may stand nearer to their place (Knuth 6.4, algorithm
// R).
void KeyTable::erase_bucket(std::size_t gap) {
    KeyWindow::destroy(buckets_.array[gap].window);
    const std::size_t mask = buckets_.count - 1;
    for (std::size_t i = (gap + 1) & mask; buckets_.array[i].window != nullptr; i = (i + 1) & mask) {
        const std::size_t home = buckets_.array[i].tag & mask;
        if (((i - home) & mask) < ((i - gap) & mask)) continue;
        buckets_.array[gap] = buckets_.array[i];
        gap = i;
    }
    buckets_.array[gap] = {};
    --size_;
}

KeyTable::Buckets KeyTable::grow(Buckets larger) {
    const std::size_t mask = larger.count - 1;
    for (std::size_t from = 0; from < buckets_.count; ++from) {
        const Bucket& bucket = buckets_.array[from];
        if (bucket.window == nullptr) continue;
        std::size_t i = bucket.tag & mask;
        while (larger.array[i].window != nullptr) i = (i + 1) & mask;
        larger.array[i] = bucket;
    }
    return std::exchange(buckets_, std::move(larger));
}

KeyWindow* KeyTable::expired_at(std::size_t i, Nanos now) {
    Bucket& bucket = buckets_.array[i];
    if (bucket.window == nullptr || static_cast<Nanos>(bucket.expires_s) > now / kSecond) return nullptr;
    const Nanos expires_at = bucket.window->expires_at();
    if (expires_at <= now) return bucket.window;
    bucket.expires_s = static_cast<std::uint32_t>(std::min<Nanos>(expires_at / kSecond, UINT32_MAX));
    return nullptr;
}

}  // namespace sluice
