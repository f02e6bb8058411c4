#include "limiter/key_table.hpp"

#include <sys/mman.h>

#include <bit>
#include <cstdlib>
#include <memory>
#include <utility>

namespace sluice {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kCacheLine = 64;

// From the begin of a huge page on, or nullptr. Maps more by one, because only the caller can align.
void* map_huge(std::size_t bytes) {
    void* const mapped = ::mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    auto* const begin = static_cast<char*>(mapped);
    const std::size_t before = -reinterpret_cast<std::uintptr_t>(begin) % kHugePage;
    if (before > 0) ::munmap(begin, before);
    if (before < kHugePage) ::munmap(begin + before + bytes, kHugePage - before);
    ::madvise(begin + before, bytes, MADV_HUGEPAGE);  // advice: what it says does not matter
    return begin + before;
}

}  // namespace

KeyTable::Places::Places(std::size_t count) {
    const std::size_t bytes = (count * sizeof(KeyWindow) + kPage - 1) / kPage * kPage;
    void* memory = nullptr;
    if (bytes >= kHugePage) {
        mapped_bytes_ = bytes;
        memory = map_huge(bytes);
    } else {
        memory = std::malloc(count * sizeof(KeyWindow));
    }
    if (memory == nullptr) return;
    windows_ = static_cast<KeyWindow*>(memory);
    count_ = count;
    changed.resize(count / kRegion / 64 + 1);
    std::uninitialized_value_construct_n(windows_, count_);
}

KeyTable::Places::Places(Places&& other) noexcept
    : changed(std::move(other.changed)),
      windows_(std::exchange(other.windows_, nullptr)),
      count_(std::exchange(other.count_, 0)),
      mapped_bytes_(other.mapped_bytes_) {}

KeyTable::Places& KeyTable::Places::operator=(Places&& other) noexcept {
    changed.swap(other.changed);
    std::swap(windows_, other.windows_);
    std::swap(count_, other.count_);
    std::swap(mapped_bytes_, other.mapped_bytes_);
    return *this;
}

KeyTable::Places::~Places() {
    if (windows_ == nullptr) return;
    std::destroy_n(windows_, count_);
    if (mapped_bytes_ > 0) {
        ::munmap(windows_, mapped_bytes_);
    } else {
        std::free(windows_);
    }
}

void KeyTable::prefetch(const KeyHash& key) const {
    const std::size_t count = place_count_.load(std::memory_order_relaxed);
    const std::uintptr_t place =
        first_place_.load(std::memory_order_relaxed) + home(key, count) * sizeof(KeyWindow);
    // Two places: four keys of five stand in one of them.
    for (std::size_t line = 0; line < 2 * sizeof(KeyWindow); line += kCacheLine) {
        __builtin_prefetch(reinterpret_cast<const void*>(place + line));
    }
}

KeyWindow* KeyTable::find(const KeyHash& key) const {
    if (places_.size() == 0) return nullptr;
    // Ends at a free place, at the latest after 7/8 of all.
    for (std::size_t i = home(key, places_.size());; i = after(i)) {
        KeyWindow& window = places_[i];
        if (window.key() == key && !window.vacant()) return &window;
        if (window.vacant()) return nullptr;
    }
}

KeyWindow& KeyTable::insert(KeyWindow&& window) {
    std::size_t i = home(window.key(), places_.size());
    while (!places_[i].vacant()) i = after(i);
    ++size_;
    return places_[i] = std::move(window);
}

// Closes the gap by moving back those behind it that may stand nearer to their home (Knuth 6.4, algorithm R).
void KeyTable::erase(std::size_t gap) {
    if (places_[gap].changed()) --changes_;
    for (std::size_t i = after(gap); !places_[i].vacant(); i = after(i)) {
        if (distance(home(places_[i].key(), places_.size()), i) < distance(gap, i)) continue;
        places_[gap] = std::move(places_[i]);
        if (places_[gap].changed()) note_changed(gap);
        gap = i;
    }
    places_[gap] = KeyWindow{};
    --size_;
}

KeyTable::Places KeyTable::grow(Places larger) {
    std::swap(places_, larger);
    size_ = 0;
    take_at_ = 0;
    for (std::size_t from = 0; from < larger.size(); ++from) {
        if (larger[from].vacant()) continue;
        const KeyWindow& window = insert(std::move(larger[from]));
        if (window.changed()) note_changed(place_of(window));
    }
    first_place_.store(reinterpret_cast<std::uintptr_t>(&places_[0]), std::memory_order_relaxed);
    place_count_.store(places_.size(), std::memory_order_relaxed);
    return larger;
}

KeyWindow* KeyTable::take_changed() {
    while (changes_ > 0) {
        if (take_at_ >= places_.size()) take_at_ = 0;
        if (take_at_ % kRegion == 0) {
            const std::size_t region = take_at_ / kRegion;
            std::uint64_t& word = places_.changed[region / 64];
            const std::uint64_t rest = word >> (region % 64);
            if (rest == 0) {
                take_at_ = (region / 64 + 1) * 64 * kRegion;
                continue;
            }
            const auto skip = static_cast<std::size_t>(std::countr_zero(rest));
            // What changes here from now on, behind where this looks, sets it again.
            word &= ~(std::uint64_t{1} << (region % 64 + skip));
            take_at_ += skip * kRegion;
        }
        KeyWindow& window = places_[take_at_++];
        if (!window.changed()) continue;
        window.set_changed(false);
        --changes_;
        return &window;
    }
    return nullptr;
}

}  // namespace sluice
