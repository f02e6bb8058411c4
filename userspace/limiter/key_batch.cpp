#include "limiter/limiter.hpp"

namespace sluice {

void KeyBatch::clear() {
    items_.clear();
    bytes_.clear();
}

void KeyBatch::reserve(std::size_t keys, std::size_t bytes) {
    items_.reserve(keys);
    bytes_.reserve(bytes);
}

void KeyBatch::add(const KeyWindow& window) {
    if (window.size() > 0) window.serialise(bytes_);
    items_.push_back({.key = window.key(), .expires_at = window.expires_at(), .end = bytes_.size()});
}

KeyBatch::Entry KeyBatch::operator[](std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : items_[i - 1].end;
    return {.key = items_[i].key,
            .expires_at = items_[i].expires_at,
            .state = std::string_view{bytes_}.substr(begin, items_[i].end - begin)};
}

}  // namespace sluice
