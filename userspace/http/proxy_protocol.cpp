#include "http/proxy_protocol.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "http/characters.hpp"

namespace sluice::http {
namespace {

using Kind = ProxyHeader::Kind;

constexpr std::string_view kSignature1 = "PROXY ";
constexpr std::string_view kSignature2{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr std::size_t kMaxLine1 = 107;  // with CRLF, proxy-protocol.txt §2.1
constexpr std::size_t kFixedPart2 = 16;

// Cuts the word before the next single blank off `rest`.
std::string_view take_word(std::string_view& rest) {
    const std::size_t blank = std::min(rest.find(' '), rest.size());
    const std::string_view word = rest.substr(0, blank);
    rest.remove_prefix(std::min(blank + 1, rest.size()));
    return word;
}

bool is_port(std::string_view text) {
    if (text.empty() || text.size() > 5 || !all(text, kDigit)) return false;
    if (text.size() > 1 && text.front() == '0') return false;
    unsigned value = 0;
    for (const char c : text) value = value * 10U + hex_value(c);
    return value <= 65535;
}

ProxyHeader parse_version1(std::string_view text) {
    const std::size_t newline = text.substr(0, kMaxLine1).find('\n');
    if (newline == std::string_view::npos) {
        return {text.size() < kMaxLine1 ? Kind::kIncomplete : Kind::kInvalid, 0, {}};
    }
    if (text[newline - 1] != '\r') return {Kind::kInvalid, 0, {}};
    std::string_view rest = text.substr(kSignature1.size(), newline - 1 - kSignature1.size());
    const std::string_view family = take_word(rest);
    if (family == "UNKNOWN") return {Kind::kPresent, newline + 1, {}};
    if (family != "TCP4" && family != "TCP6") return {Kind::kInvalid, 0, {}};
    const std::string_view source_text = take_word(rest);
    const std::string_view destination_text = take_word(rest);
    const std::string_view source_port = take_word(rest);
    const bool wants_v6 = family == "TCP6";
    const bool source_is_v6 = source_text.find(':') != std::string_view::npos;
    const auto source = IpAddress::parse(source_text);
    const auto destination = IpAddress::parse(destination_text);
    if (!source || !destination || source_is_v6 != wants_v6 || !is_port(source_port) || !is_port(rest)) {
        return {Kind::kInvalid, 0, {}};
    }
    return {Kind::kPresent, newline + 1, source};
}

ProxyHeader parse_version2(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kFixedPart2) return {Kind::kIncomplete, 0, {}};
    const unsigned version = bytes[12] >> 4U;
    const unsigned command = bytes[12] & 15U;
    const unsigned family = bytes[13] >> 4U;
    const std::size_t body = static_cast<std::size_t>(bytes[14]) * 256U + bytes[15];
    const std::size_t length = kFixedPart2 + body;
    if (version != 2 || command > 1 || length > kMaxProxyHeaderBytes) return {Kind::kInvalid, 0, {}};
    if (bytes.size() < length) return {Kind::kIncomplete, 0, {}};
    if (command == 0) return {Kind::kPresent, length, {}};  // LOCAL: the proxy's own health check
    const auto addresses = bytes.subspan(kFixedPart2, body);
    if (family == 1) {
        if (addresses.size() < 12) return {Kind::kInvalid, 0, {}};
        std::array<std::uint8_t, 4> source{};
        std::copy_n(addresses.begin(), source.size(), source.begin());
        return {Kind::kPresent, length, IpAddress::from_v4(source)};
    }
    if (family == 2) {
        if (addresses.size() < 36) return {Kind::kInvalid, 0, {}};
        std::array<std::uint8_t, 16> source{};
        std::copy_n(addresses.begin(), source.size(), source.begin());
        return {Kind::kPresent, length, IpAddress::from_v6(source)};
    }
    if (family == 0 || family == 3) return {Kind::kPresent, length, {}};  // unspecified, Unix socket
    return {Kind::kInvalid, 0, {}};
}

}  // namespace

ProxyHeader parse_proxy_header(std::span<const std::uint8_t> bytes) {
    const std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    for (const std::string_view signature : {kSignature1, kSignature2}) {
        const std::size_t have = std::min(text.size(), signature.size());
        if (text.substr(0, have) != signature.substr(0, have)) continue;
        if (have < signature.size()) return {Kind::kIncomplete, 0, {}};
        return signature == kSignature1 ? parse_version1(text) : parse_version2(bytes);
    }
    return {};
}

}  // namespace sluice::http
