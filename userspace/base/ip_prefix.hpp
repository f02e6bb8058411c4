// IP addresses and prefixes as canonical bytes: IPv4 is held as ::ffff:a.b.c.d, so that one address has one
// form.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

struct sockaddr;

namespace sluice {

class IpAddress {
  public:
    constexpr IpAddress() = default;  // "::"

    // Network byte order. Bytes of ::ffff:0:0/96 are IPv4.
    static IpAddress from_v4(const std::array<std::uint8_t, 4>& bytes);
    static constexpr IpAddress from_v6(const std::array<std::uint8_t, 16>& bytes) {
        IpAddress address;
        address.bytes_ = bytes;
        return address;
    }
    // AF_INET or AF_INET6; nullopt for other families.
    static std::optional<IpAddress> from_sockaddr(const sockaddr* address);
    // Dotted quad or RFC 4291 text, no brackets, no port; "a%eth0" (a zone) is refused. Leading zeros in a
    // dotted quad are refused, as inet_pton does.
    static std::optional<IpAddress> parse(std::string_view text);

    bool is_v4() const;
    // All 16 bytes, IPv4 mapped.
    const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
    // The IPv4 address in network byte order as memory; only if is_v4().
    std::array<std::uint8_t, 4> v4_bytes() const;
    // RFC 5952; IPv4 as a dotted quad.
    std::string to_string() const;

    auto operator<=>(const IpAddress&) const = default;

  private:
    std::array<std::uint8_t, 16> bytes_{};
};

class IpPrefix {
  public:
    constexpr IpPrefix() = default;
    // The prefix of `length` bits (0…32 for IPv4, 0…128 for IPv6; larger is cut) that contains address.
    IpPrefix(const IpAddress& address, unsigned length);

    // "192.0.2.0/24", "2001:db8::/32" or a bare address. Host bits that are set are refused: "192.0.2.1/24"
    // most often is a slip, and the message names the prefix that was probably meant. A prefix of
    // ::ffff:0:0/96 is IPv4.
    static Result<IpPrefix> parse(std::string_view text);

    const IpAddress& address() const { return address_; }
    // In the family's own bits: 0…32 or 0…128.
    unsigned length() const { return length_; }
    bool is_v4() const { return address_.is_v4(); }
    bool is_host() const { return length_ == (is_v4() ? 32U : 128U); }
    bool contains(const IpAddress& address) const;
    // "192.0.2.0/24"; a host prefix without its length.
    std::string to_string() const;

    auto operator<=>(const IpPrefix&) const = default;

  private:
    IpAddress address_;
    unsigned length_ = 0;
};

// How many bits of an address make a source (policy: source_prefix).
struct SourcePrefix {
    std::uint8_t ipv4 = 32;
    std::uint8_t ipv6 = 64;

    IpPrefix of(const IpAddress& address) const { return IpPrefix{address, address.is_v4() ? ipv4 : ipv6}; }
    bool operator==(const SourcePrefix&) const = default;
};

// An immutable set of prefixes asked for membership: sorted and merged ranges, O(log n) a look-up, 32 bytes a
// range.
class PrefixSet {
  public:
    PrefixSet() = default;
    explicit PrefixSet(const std::vector<IpPrefix>& prefixes);
    bool contains(const IpAddress& address) const;
    // Whether any address of the prefix is in the set.
    bool overlaps(const IpPrefix& prefix) const;
    bool empty() const { return v4_.empty() && v6_.empty(); }

  private:
    struct Range {
        std::array<std::uint8_t, 16> first;
        std::array<std::uint8_t, 16> last;
    };
    // Apart, because ::/0 does not contain the IPv4 addresses although their bytes lie within it.
    const std::vector<Range>& of_family(bool v4) const { return v4 ? v4_ : v6_; }
    static bool intersects(const std::vector<Range>& ranges, const Range& range);

    std::vector<Range> v4_;
    std::vector<Range> v6_;
};

}  // namespace sluice

template <>
struct std::hash<sluice::IpAddress> {
    std::size_t operator()(const sluice::IpAddress& address) const noexcept;
};
template <>
struct std::hash<sluice::IpPrefix> {
    std::size_t operator()(const sluice::IpPrefix& prefix) const noexcept {
        return std::hash<sluice::IpAddress>{}(prefix.address()) ^ (prefix.length() * 0x9e3779b97f4a7c15ULL);
    }
};
