// Server-sent events (WHATWG HTML, 9.2.6): bytes in, the data of each event out. Names, ids and comments are
// dropped.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice {

class SseReader {
  public:
    // The events that these bytes complete; what is left waits for the next call. A line over 1 MiB is
    // dropped.
    std::vector<std::string> feed(std::string_view bytes);

  private:
    void take_line(std::string_view line, std::vector<std::string>& complete);

    std::string line_;  // so far, without its end
    std::string data_;
    bool has_data_ = false;
    bool overlong_ = false;
};

}  // namespace sluice
