// PROXY protocol versions 1 and 2 (haproxy.org, proxy-protocol.txt): what a trusted proxy says about the
// connection before its first request. Pure: bytes in, address out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/ip_prefix.hpp"

namespace sluice::http {

struct ProxyHeader {
    enum class Kind : std::uint8_t {
        kAbsent,      // the bytes begin something else
        kIncomplete,  // so far it could be one: read more
        kInvalid,     // it is one, and it is wrong
        kPresent,
    };
    Kind kind = Kind::kAbsent;
    std::size_t length = 0;  // kPresent: bytes it takes
    std::optional<IpAddress>
        source;  // kPresent: empty for LOCAL and UNKNOWN, which mean the socket's own peer
};

// The longest header accepted: version 1 has at most 107 bytes, version 2 is cut off here (TLVs included).
inline constexpr std::size_t kMaxProxyHeaderBytes = 2048;

ProxyHeader parse_proxy_header(std::span<const std::uint8_t> bytes);

}  // namespace sluice::http
