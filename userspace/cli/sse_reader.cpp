#include "cli/sse_reader.hpp"

namespace sluice {
namespace {

constexpr std::size_t kLongestLineBytes = 1U << 20;

}  // namespace

std::vector<std::string> SseReader::feed(std::string_view bytes) {
    std::vector<std::string> complete;
    for (const char c : bytes) {
        if (c == '\n') {
            if (!overlong_) take_line(line_, complete);
            line_.clear();
            overlong_ = false;
        } else if (line_.size() < kLongestLineBytes) {
            line_ += c;
        } else {
            overlong_ = true;
        }
    }
    return complete;
}

void SseReader::take_line(std::string_view line, std::vector<std::string>& complete) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) {
        if (has_data_) complete.push_back(std::move(data_));
        data_.clear();
        has_data_ = false;
        return;
    }
    constexpr std::string_view kField = "data:";
    if (!line.starts_with(kField)) return;
    line.remove_prefix(kField.size());
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (has_data_) data_ += '\n';
    data_ += line;
    has_data_ = true;
}

}  // namespace sluice
