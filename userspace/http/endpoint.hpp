// Where to listen or connect: "127.0.0.1:8000", "[::1]:8000" or "unix:/run/app.sock".
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/ip_prefix.hpp"
#include "base/result.hpp"

namespace sluice::http {

struct Endpoint {
    IpAddress address;  // IPv4 mapped
    std::uint16_t port = 0;
    std::string unix_path;  // not empty: a Unix socket, and address and port mean nothing

    bool is_unix() const { return !unix_path.empty(); }
    // As parse() reads it.
    std::string to_string() const;
    // Addresses only, never names: a name server is not asked on the data path. Port 0 is accepted (a
    // listener then takes a free one). The error says what is wrong with `text` and gives an example.
    static Result<Endpoint> parse(std::string_view text);

    // Fills `storage`; returns the length to give to bind() or connect().
    socklen_t to_sockaddr(sockaddr_storage& storage) const;

    bool operator==(const Endpoint&) const = default;
};

}  // namespace sluice::http
