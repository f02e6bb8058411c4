#include "cli/text_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/unique_fd.hpp"

namespace sluice {
namespace {

constexpr std::size_t kLargestBytes = 64U << 20;

}  // namespace

Result<std::string> read_text_file(const std::string& path) {
    const bool is_standard_input = path == "-";
    const UniqueFd file{is_standard_input ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!is_standard_input && !file) return system_error("open", path, errno);
    std::string text;
    std::array<char, 65'536> buffer{};
    while (true) {
        const ssize_t count =
            ::read(is_standard_input ? STDIN_FILENO : file.get(), buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return system_error("read", path, errno);
        if (count == 0) return text;
        text.append(buffer.data(), static_cast<std::size_t>(count));
        if (text.size() > kLargestBytes)
            return Error{ErrorCode::kInvalid, "read " + path + ": larger than 64 MiB"};
    }
}

}  // namespace sluice
