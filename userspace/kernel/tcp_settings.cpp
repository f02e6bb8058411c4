#include "kernel/tcp_settings.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <functional>
#include <sstream>
#include <string_view>
#include <utility>

#include "base/unique_fd.hpp"

namespace sluice {
namespace {

// /proc/net/snmp and netstat: a line of names, then one of values, both behind the same "Group:".
Result<std::uint64_t> counter(const std::string& file, std::string_view group, std::string_view name) {
    std::ifstream in{file};
    std::string names, values;
    while (std::getline(in, names) && std::getline(in, values)) {
        std::istringstream words{names}, numbers{values};
        std::string word, number;
        if (!(words >> word) || word != group || !(numbers >> number)) continue;
        while (words >> word && numbers >> number)
            if (word == name) {
                std::uint64_t value = 0;
                const auto [end, error] =
                    std::from_chars(number.data(), number.data() + number.size(), value);
                if (error == std::errc{} && end == number.data() + number.size()) return value;
            }
    }
    return Error{ErrorCode::kUnsupported,
                 "read " + file + ": no " + std::string{group} + " " + std::string{name}};
}

}  // namespace

unsigned window_scale_of(std::uint64_t receive_max) {
    const int bits = static_cast<int>(std::bit_width(receive_max));
    return static_cast<unsigned>(std::clamp(bits - 1 - 15, 0, 14));
}

Result<std::uint64_t> TcpControl::last_number(const std::string& name) const {
    const std::string file = settings_ + "/" + name;
    std::ifstream in{file};
    std::uint64_t value = 0;
    bool found = false;
    while (in >> value) found = true;
    if (!found) return Error{ErrorCode::kUnsupported, "read " + file + ": no number"};
    return value;
}

Result<TcpSettings> TcpControl::settings() const {
    TcpSettings out;
    std::uint64_t rmem_max = 0;
    for (const auto& [name, take] :
         {std::pair<const char*, std::function<void(std::uint64_t)>>{
              "ipv4/tcp_syncookies", [&](std::uint64_t v) { out.syncookies = static_cast<int>(v); }},
          {"ipv4/tcp_timestamps", [&](std::uint64_t v) { out.timestamps = static_cast<int>(v); }},
          {"ipv4/tcp_sack", [&](std::uint64_t v) { out.sack = v != 0; }},
          {"ipv4/tcp_window_scaling", [&](std::uint64_t v) { out.window_scaling = v != 0; }},
          {"ipv4/tcp_rmem", [&](std::uint64_t v) { out.receive_max = v; }}}) {
        const auto value = last_number(name);
        if (!value) return value.error();
        take(*value);
    }
    // Absent in a namespace other than the first before Linux 6.11.
    if (const auto value = last_number("core/rmem_max")) rmem_max = *value;
    out.receive_max = std::max(out.receive_max, rmem_max);
    return out;
}

Result<TcpCounters> TcpControl::counters() const {
    const auto opened = counter(counters_ + "/snmp", "Tcp:", "PassiveOpens");
    if (!opened) return opened.error();
    const auto sent = counter(counters_ + "/netstat", "TcpExt:", "SyncookiesSent");
    if (!sent) return sent.error();
    return TcpCounters{*opened, *sent};
}

Result<> TcpControl::write(const std::string& name, int value) const {
    const std::string file = settings_ + "/" + name;
    const UniqueFd fd{::open(file.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!fd) return system_error("open", file, errno);
    const std::string text = std::to_string(value) + "\n";
    if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        return system_error("write", file, errno);
    return {};
}

}  // namespace sluice
