#include "base/ip_prefix.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace sluice {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr unsigned kMappedBits = 96;

using Bytes = std::array<std::uint8_t, 16>;

// Keeps the first `bits` of 128, the rest set to `fill`'s bits.
Bytes masked(Bytes bytes, unsigned bits, std::uint8_t fill) {
    for (unsigned i = 0; i < bytes.size(); ++i) {
        const unsigned from = i * 8;
        if (bits >= from + 8) continue;
        const auto keep = static_cast<std::uint8_t>(bits <= from ? 0 : 0xff << (8 - (bits - from)));
        bytes[i] = static_cast<std::uint8_t>((bytes[i] & keep) | (fill & ~keep));
    }
    return bytes;
}

// In 128-bit terms.
unsigned full_length(const IpPrefix& prefix) {
    return prefix.length() + (prefix.is_v4() ? kMappedBits : 0);
}

}  // namespace

IpAddress IpAddress::from_v4(const std::array<std::uint8_t, 4>& bytes) {
    IpAddress address;
    std::ranges::copy(kMappedPrefix, address.bytes_.begin());
    std::ranges::copy(bytes, address.bytes_.begin() + kMappedPrefix.size());
    return address;
}

std::optional<IpAddress> IpAddress::from_sockaddr(const sockaddr* address) {
    if (address->sa_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, address, sizeof v4);
        std::array<std::uint8_t, 4> bytes{};
        std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
        return from_v4(bytes);
    }
    if (address->sa_family == AF_INET6) {
        sockaddr_in6 v6{};
        std::memcpy(&v6, address, sizeof v6);
        Bytes bytes{};
        std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
        return from_v6(bytes);
    }
    return std::nullopt;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
    if (text.empty() || text.size() >= INET6_ADDRSTRLEN) return std::nullopt;
    std::array<char, INET6_ADDRSTRLEN> terminated{};
    std::ranges::copy(text, terminated.begin());
    std::array<std::uint8_t, 4> v4{};
    if (::inet_pton(AF_INET, terminated.data(), v4.data()) == 1) return from_v4(v4);
    Bytes v6{};
    if (::inet_pton(AF_INET6, terminated.data(), v6.data()) == 1) return from_v6(v6);
    return std::nullopt;
}

bool IpAddress::is_v4() const {
    return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes_.begin());
}

std::array<std::uint8_t, 4> IpAddress::v4_bytes() const {
    return {bytes_[12], bytes_[13], bytes_[14], bytes_[15]};
}

std::string IpAddress::to_string() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const bool v4 = is_v4();
    ::inet_ntop(v4 ? AF_INET : AF_INET6, bytes_.data() + (v4 ? kMappedPrefix.size() : 0), text.data(),
                text.size());
    return text.data();
}

IpPrefix::IpPrefix(const IpAddress& address, unsigned length)
    : length_(std::min(length, address.is_v4() ? 32U : 128U)) {
    address_ = IpAddress::from_v6(masked(address.bytes(), length_ + (address.is_v4() ? kMappedBits : 0), 0));
}

Result<IpPrefix> IpPrefix::parse(std::string_view text) {
    const auto fail = [&](std::string_view why) {
        return Error{ErrorCode::kInvalid, "'" + std::string{text} + "' " + std::string{why}};
    };
    const std::size_t slash = text.find('/');
    const auto address = IpAddress::parse(text.substr(0, slash));
    if (!address) return fail("is not an IPv4 or IPv6 address or prefix");

    // "::ffff:192.0.2.0/120" counts its bits as IPv6; so does its length.
    const bool written_as_v6 = text.find(':') != std::string_view::npos;
    const unsigned offset = address->is_v4() && written_as_v6 ? kMappedBits : 0;
    const unsigned longest = (address->is_v4() ? 32 : 128) + offset;
    unsigned length = longest;
    if (slash != std::string_view::npos) {
        const std::string_view digits = text.substr(slash + 1);
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
        if (error != std::errc{} || end != digits.data() + digits.size() || digits.size() > 3 ||
            length > longest)
            return fail("has a prefix length that is not a number from 0 to " + std::to_string(longest));
        if (length < offset) return fail("covers more than the mapped IPv4 range ::ffff:0:0/96");
    }
    const IpPrefix prefix{*address, length - offset};
    if (prefix.address() != *address)
        return fail("has bits set after its length; the prefix is " + prefix.to_string());
    return prefix;
}

bool IpPrefix::contains(const IpAddress& address) const {
    return address.is_v4() == is_v4() && IpPrefix{address, length_}.address_ == address_;
}

std::string IpPrefix::to_string() const {
    return is_host() ? address_.to_string() : address_.to_string() + "/" + std::to_string(length_);
}

PrefixSet::PrefixSet(const std::vector<IpPrefix>& prefixes) {
    for (const bool v4 : {true, false}) {
        std::vector<Range> ranges;
        for (const IpPrefix& prefix : prefixes)
            if (prefix.is_v4() == v4)
                ranges.push_back(
                    {prefix.address().bytes(), masked(prefix.address().bytes(), full_length(prefix), 0xff)});
        const auto before = [](const Range& a, const Range& b) {
            return a.first != b.first ? a.first < b.first : a.last > b.last;
        };
        // A policy's lists come sorted like this.
        if (!std::ranges::is_sorted(ranges, before)) std::ranges::sort(ranges, before);
        // Two prefixes are nested or disjoint, so a range either extends none or is swallowed by its
        // predecessor.
        std::vector<Range>& merged = v4 ? v4_ : v6_;
        for (const Range& range : ranges)
            if (merged.empty() || merged.back().last < range.first) merged.push_back(range);
    }
}

bool PrefixSet::intersects(const std::vector<Range>& ranges, const Range& range) {
    const auto after = std::ranges::upper_bound(ranges, range.last, {}, &Range::first);
    return after != ranges.begin() && range.first <= std::prev(after)->last;
}

bool PrefixSet::contains(const IpAddress& address) const {
    return intersects(of_family(address.is_v4()), {address.bytes(), address.bytes()});
}

bool PrefixSet::overlaps(const IpPrefix& prefix) const {
    return intersects(
        of_family(prefix.is_v4()),
        {prefix.address().bytes(), masked(prefix.address().bytes(), full_length(prefix), 0xff)});
}

}  // namespace sluice

std::size_t std::hash<sluice::IpAddress>::operator()(const sluice::IpAddress& address) const noexcept {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    std::memcpy(&high, address.bytes().data(), sizeof high);
    std::memcpy(&low, address.bytes().data() + sizeof high, sizeof low);
    // Murmur3's finaliser: cheap, and addresses differ in few bits. Containers that an attacker fills are
    // bounded.
    std::uint64_t mixed = high * 0x9e3779b97f4a7c15ULL ^ low;
    mixed = (mixed ^ (mixed >> 33)) * 0xff51afd7ed558ccdULL;
    mixed = (mixed ^ (mixed >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    return mixed ^ (mixed >> 33);
}
