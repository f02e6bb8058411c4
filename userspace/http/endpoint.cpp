#include "http/endpoint.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <cstring>

namespace sluice::http {
namespace {

Error bad_endpoint(std::string_view text, std::string_view why) {
    return Error{ErrorCode::kInvalid, "address \"" + std::string{text} + "\": " + std::string{why} +
                                          "; write 127.0.0.1:8000, [::1]:8000 or unix:/run/app.sock"};
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view text) {
    constexpr std::string_view kUnix = "unix:";
    Endpoint endpoint;
    if (text.substr(0, kUnix.size()) == kUnix) {
        endpoint.unix_path = text.substr(kUnix.size());
        if (endpoint.unix_path.empty() || endpoint.unix_path.front() != '/') {
            return bad_endpoint(text, "a Unix socket needs an absolute path");
        }
        if (endpoint.unix_path.size() >= sizeof(sockaddr_un::sun_path)) {
            return bad_endpoint(text, "the path is longer than 107 bytes");
        }
        return endpoint;
    }
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return bad_endpoint(text, "has no port");
    const std::string_view port = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
    if (port.empty() || error != std::errc{} || end != port.data() + port.size()) {
        return bad_endpoint(text, "the port is not a number from 0 to 65535");
    }
    std::string_view host = text.substr(0, colon);
    const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (brackets) host = host.substr(1, host.size() - 2);
    const auto address = IpAddress::parse(host);
    const bool colons = host.find(':') != std::string_view::npos;
    if (!address || brackets != colons) return bad_endpoint(text, "the host is not an IP address");
    endpoint.address = *address;
    return endpoint;
}

std::string Endpoint::to_string() const {
    if (is_unix()) return "unix:" + unix_path;
    const std::string host = address.to_string();
    return (address.is_v4() ? host : "[" + host + "]") + ":" + std::to_string(port);
}

socklen_t Endpoint::to_sockaddr(sockaddr_storage& storage) const {
    std::memset(&storage, 0, sizeof storage);
    if (is_unix()) {
        sockaddr_un unix_address{};
        unix_address.sun_family = AF_UNIX;
        std::memcpy(unix_address.sun_path, unix_path.data(), unix_path.size());
        std::memcpy(&storage, &unix_address, sizeof unix_address);
        return sizeof unix_address;
    }
    if (address.is_v4()) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        const auto bytes = address.v4_bytes();
        std::memcpy(&v4.sin_addr, bytes.data(), bytes.size());
        std::memcpy(&storage, &v4, sizeof v4);
        return sizeof v4;
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&v6.sin6_addr, address.bytes().data(), address.bytes().size());
    std::memcpy(&storage, &v6, sizeof v6);
    return sizeof v6;
}

}  // namespace sluice::http
