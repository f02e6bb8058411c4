// Whose request it is: the peer, or what trusted proxies say about it. Pure.
#pragma once

#include <optional>
#include <string_view>

#include "base/ip_prefix.hpp"
#include "http/fields.hpp"

namespace sluice::http {

struct ClientAddress {
    IpAddress address;
    bool via_trusted_proxy = false;  // the address was told, not seen
};

// One hop of X-Forwarded-For: "192.0.2.1", "192.0.2.1:1234", "2001:db8::1", "[2001:db8::1]" or
// "[2001:db8::1]:1234", blanks around it ignored. nullopt: anything else, such as "unknown" or an obfuscated
// name.
std::optional<IpAddress> parse_hop(std::string_view hop);

// Walks the chain of X-Forwarded-For (all fields of this name are one list) from the right: each trusted hop
// vouches for the one to its left, and the first one that is not trusted is the client. A hop that can't be
// read ends the walk at the proxy that wrote it. X-Real-IP and Forwarded are never asked. With an untrusted
// peer the answer is the peer.
ClientAddress resolve_client(const IpAddress& peer, const Fields& fields, const PrefixSet& trusted);

}  // namespace sluice::http
