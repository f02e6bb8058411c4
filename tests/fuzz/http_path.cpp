// Any bytes as a request target, against a second reading of it: decode everything, split at slashes, resolve
// dots. What is accepted must mean the same segments before and after, and its canonical form must be its
// own.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/expect.hpp"
#include "http/path.hpp"

namespace {

unsigned digit(char c) {
    return static_cast<unsigned>(std::string_view{"0123456789abcdef"}.find(static_cast<char>(c | 0x20)));
}

// The segments of a path that is known to be accepted, as a server that decodes once sees them.
std::vector<std::string> segments(std::string_view path) {
    std::vector<std::string> all;
    std::string segment;
    const auto end_segment = [&] {
        if (segment == "..") {
            SLUICE_EXPECT(!all.empty());
            all.pop_back();
        } else if (!segment.empty() && segment != ".") {
            all.push_back(segment);
        }
        segment.clear();
    };
    for (std::size_t i = 0; i < path.size(); ++i) {
        if (path[i] == '/') {
            end_segment();
        } else if (path[i] == '%') {
            segment.push_back(static_cast<char>(digit(path[i + 1]) * 16 + digit(path[i + 2])));
            SLUICE_EXPECT(segment.back() != '/' && segment.back() != '\\' && segment.back() != '\0');
            i += 2;
        } else {
            segment.push_back(path[i]);
        }
    }
    end_segment();
    return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view target{reinterpret_cast<const char*>(data), size};
    sluice::http::Target parsed;
    if (target == "*" || !sluice::http::parse_target("GET", target, parsed)) return 0;
    SLUICE_EXPECT(parsed.path.starts_with('/'));
    SLUICE_EXPECT(parsed.path.find("//") == std::string::npos);
    for (const char c : parsed.path)
        SLUICE_EXPECT(c > 0x20 && c < 0x7f && c != ';' && c != '\\' && c != '?' && c != '#');

    if (target.starts_with('/')) {
        const std::string_view raw = target.substr(0, target.find('?'));
        SLUICE_EXPECT(segments(raw) == segments(parsed.path));
    }
    sluice::http::Target again;
    SLUICE_EXPECT(sluice::http::parse_target("GET", parsed.path, again));
    SLUICE_EXPECT(again.path == parsed.path);
    return 0;
}
