// Fixed-size blocks shared by a worker's connections, and a byte queue over one of them. One thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace sluice::http {

// Blocks come back and are handed out again: the steady state allocates nothing, and an idle connection holds
// none.
class BlockPool {
  public:
    explicit BlockPool(std::size_t block_bytes) : block_bytes_(block_bytes) {}

    std::size_t block_bytes() const { return block_bytes_; }
    std::unique_ptr<char[]> take() {
        if (free_.empty()) return std::make_unique_for_overwrite<char[]>(block_bytes_);
        auto block = std::move(free_.back());
        free_.pop_back();
        return block;
    }
    void give(std::unique_ptr<char[]> block) {
        if (free_.size() < kMaxKept) free_.push_back(std::move(block));
    }

  private:
    static constexpr std::size_t kMaxKept = 512;  // 16 MiB a worker at the default block size
    std::size_t block_bytes_;
    std::vector<std::unique_ptr<char[]>> free_;
};

// Bytes go in at the end and out at the front. The first bytes can be pinned: then they stay where they are,
// so that views into them live on, and the queue works behind them.
class Buffer {
  public:
    explicit Buffer(BlockPool& pool) : pool_(&pool) {}
    ~Buffer() { drop(); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    bool empty() const { return begin_ == end_; }
    std::size_t size() const { return end_ - begin_; }
    std::string_view data() const { return {block_.get() + begin_, size()}; }

    // Bytes that fit in without growing.
    std::size_t room() const { return (block_ ? capacity_ : pool_->block_bytes()) - pinned_ - size(); }
    // The free bytes at the end, for reading into; commit() what was read.
    std::span<char> space() {
        ensure(0);
        if (end_ == capacity_) compact();
        return {block_.get() + end_, capacity_ - end_};
    }
    void commit(std::size_t bytes) { end_ += bytes; }
    void consume(std::size_t bytes) {
        begin_ += bytes;
        if (begin_ == end_) begin_ = end_ = pinned_;
    }
    // Room for `bytes` in one piece at the end, for writing into; commit() what was written. Grows beyond a
    // block if it must; not while something is pinned.
    char* reserve(std::size_t bytes) {
        if (capacity_ - end_ < bytes) {
            ensure(bytes);
            if (capacity_ - end_ < bytes) compact();
        }
        return block_.get() + end_;
    }
    // Grows as reserve() does.
    void append(std::string_view bytes) {
        if (bytes.empty()) return;
        std::memcpy(reserve(bytes.size()), bytes.data(), bytes.size());
        end_ += bytes.size();
    }

    // Pins the first `bytes` of data(); nothing was pinned, and nothing consumed since the buffer was empty.
    void pin(std::size_t bytes) {
        begin_ += bytes;
        pinned_ = begin_;
    }
    // Gives up what was pinned and moves what is left to the front.
    void unpin() {
        pinned_ = 0;
        compact();
    }
    // Forgets everything and gives the block back.
    void drop() {
        if (block_ && capacity_ == pool_->block_bytes()) pool_->give(std::move(block_));
        block_.reset();
        begin_ = end_ = pinned_ = capacity_ = 0;
    }
    void drop_if_empty() {
        if (block_ && begin_ == end_ && pinned_ == 0) drop();
    }

  private:
    void ensure(std::size_t more) {
        if (!block_ && more <= pool_->block_bytes()) {
            block_ = pool_->take();
            capacity_ = pool_->block_bytes();
        } else if (!block_ || size() + more > capacity_ - pinned_) {
            const std::size_t wanted = std::max(pinned_ + size() + more, 2 * capacity_);
            auto larger = std::make_unique_for_overwrite<char[]>(wanted);
            if (block_) std::memcpy(larger.get(), block_.get(), end_);
            if (block_ && capacity_ == pool_->block_bytes()) pool_->give(std::move(block_));
            block_ = std::move(larger);
            capacity_ = wanted;
        }
    }
    void compact() {
        if (begin_ == pinned_) return;
        if (begin_ != end_) std::memmove(block_.get() + pinned_, block_.get() + begin_, size());
        end_ = pinned_ + size();
        begin_ = pinned_;
    }

    BlockPool* pool_;
    std::unique_ptr<char[]> block_;
    std::size_t capacity_ = 0;
    std::size_t pinned_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

}  // namespace sluice::http
