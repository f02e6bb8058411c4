// The start and the end of a body that streams by, in bounded memory.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "http/application.hpp"

namespace sluice::http {

class BodySampler {
  public:
    // Keeps up to `start_bytes` of the start and, of what follows, the last `end_bytes`. Both 0: keeps
    // nothing.
    void begin(std::size_t start_bytes, std::size_t end_bytes) {
        start_bytes_ = start_bytes;
        end_bytes_ = end_bytes;
        start_.clear();
        end_.clear();
        total_ = 0;
    }
    void add(std::string_view data) {
        total_ += data.size();
        const std::size_t head = std::min(data.size(), start_bytes_ - start_.size());
        start_.append(data.substr(0, head));
        data.remove_prefix(head);
        if (end_bytes_ == 0 || data.empty()) return;
        if (data.size() > end_bytes_) data.remove_prefix(data.size() - end_bytes_);
        // Twice the size is kept, so that old bytes are moved out once per end_bytes_ and not at every piece.
        if (end_.size() + data.size() > 2 * end_bytes_) end_.erase(0, end_.size() + data.size() - end_bytes_);
        end_.append(data);
    }
    BodySample sample() const {
        const std::string_view end = end_;
        return {start_, end.substr(end.size() - std::min(end.size(), end_bytes_)), total_};
    }

  private:
    std::size_t start_bytes_ = 0;
    std::size_t end_bytes_ = 0;
    std::string start_;
    std::string end_;
    std::uint64_t total_ = 0;
};

}  // namespace sluice::http
