#include "http/proxy_protocol.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice::http {
namespace {

using Kind = ProxyHeader::Kind;
using namespace std::string_literals;

ProxyHeader parse(const std::string& text) {
    return parse_proxy_header({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;
const std::string kTcp4 =
    kSignature + "\x21\x11\x00\x0c"s + "\xcb\x00\x71\x01"s + "\x0a\x00\x00\x01"s + "\x12\x34\x00\x50"s;

TEST(ProxyProtocol, Version1) {
    const auto v4 = parse("PROXY TCP4 203.0.113.1 10.0.0.1 4711 80\r\nGET");
    EXPECT_EQ(v4.kind, Kind::kPresent);
    EXPECT_EQ(v4.length, 41U);
    EXPECT_EQ(v4.source, IpAddress::parse("203.0.113.1"));
    const auto v6 = parse("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n");
    EXPECT_EQ(v6.kind, Kind::kPresent);
    EXPECT_EQ(v6.source, IpAddress::parse("2001:db8::1"));
    const auto unknown = parse("PROXY UNKNOWN whatever is here\r\n");
    EXPECT_EQ(unknown.kind, Kind::kPresent);
    EXPECT_FALSE(unknown.source);
}

TEST(ProxyProtocol, Version1Invalid) {
    for (const std::string text :
         {"PROXY TCP4 203.0.113.1 10.0.0.1 4711\r\n", "PROXY TCP4 203.0.113.1 10.0.0.1 4711 80 x\r\n",
          "PROXY TCP4 203.0.113.1 10.0.0.1 4711 80\n", "PROXY TCP4 ::1 ::2 4711 80\r\n",
          "PROXY TCP6 203.0.113.1 10.0.0.1 4711 80\r\n", "PROXY TCP4 203.0.113.1 10.0.0.1 04711 80\r\n",
          "PROXY TCP4 203.0.113.1 10.0.0.1 65536 80\r\n", "PROXY TCP4  203.0.113.1 10.0.0.1 1 80\r\n",
          "PROXY UDP4 203.0.113.1 10.0.0.1 1 80\r\n", "PROXY \r\n", "PROXY TCP4 x y 1 2\r\n"}) {
        EXPECT_EQ(parse(text).kind, Kind::kInvalid) << text;
    }
    EXPECT_EQ(parse("PROXY TCP4 " + std::string(200, '1')).kind, Kind::kInvalid);
}

TEST(ProxyProtocol, Version2) {
    const auto v4 = parse(kTcp4 + "GET");
    EXPECT_EQ(v4.kind, Kind::kPresent);
    EXPECT_EQ(v4.length, 28U);
    EXPECT_EQ(v4.source, IpAddress::parse("203.0.113.1"));
    const auto v6 = parse(kSignature + "\x21\x21\x00\x24"s + "\x20\x01\x0d\xb8"s + std::string(11, '\0') +
                          "\x07"s + std::string(16, '\x01') + "\x00\x01\x00\x02"s);
    EXPECT_EQ(v6.kind, Kind::kPresent);
    EXPECT_EQ(v6.source, IpAddress::parse("2001:db8::7"));
    const auto local = parse(kSignature + "\x20\x00\x00\x00"s);
    EXPECT_EQ(local.kind, Kind::kPresent);
    EXPECT_EQ(local.length, 16U);
    EXPECT_FALSE(local.source);
    const auto with_tlv = parse(kSignature + "\x21\x11\x00\x10"s + kTcp4.substr(16) + "\x04\x00\x01x"s);
    EXPECT_EQ(with_tlv.kind, Kind::kPresent);
    EXPECT_EQ(with_tlv.length, 32U);
}

TEST(ProxyProtocol, Version2Invalid) {
    EXPECT_EQ(parse(kSignature + "\x11\x11\x00\x0c"s).kind, Kind::kInvalid);  // version 1 in binary
    EXPECT_EQ(parse(kSignature + "\x22\x11\x00\x0c"s).kind, Kind::kInvalid);  // unknown command
    EXPECT_EQ(parse(kSignature + "\x21\x11\xff\xff"s).kind, Kind::kInvalid);  // absurdly long
    EXPECT_EQ(parse(kSignature + "\x21\x11\x00\x04"s + "abcd").kind,
              Kind::kInvalid);  // too short for its family
    EXPECT_EQ(parse(kSignature + "\x21\x21\x00\x0c"s + std::string(12, 'a')).kind, Kind::kInvalid);
    EXPECT_EQ(parse(kSignature + "\x21\x51\x00\x00"s).kind, Kind::kInvalid);  // unknown family
}

TEST(ProxyProtocol, EveryCutIsIncomplete) {
    const std::string v1 = "PROXY TCP4 203.0.113.1 10.0.0.1 4711 80\r\n";
    for (const std::string& whole : {v1, kTcp4}) {
        for (std::size_t length = 1; length < whole.size(); ++length) {
            EXPECT_EQ(parse(whole.substr(0, length)).kind, Kind::kIncomplete) << length;
        }
    }
}

TEST(ProxyProtocol, OtherBeginningsAreAbsent) {
    for (const std::string text :
         {"GET / HTTP/1.1\r\n", "POST /", "PUT /", "PATCH", "PROXYX", "\x16\x03\x01", "\r\nGET"}) {
        EXPECT_EQ(parse(text).kind, Kind::kAbsent) << text;
    }
    EXPECT_EQ(parse("P").kind, Kind::kIncomplete);
}

}  // namespace
}  // namespace sluice::http
