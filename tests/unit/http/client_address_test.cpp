#include "http/client_address.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice::http {
namespace {

IpAddress ip(std::string_view text) {
    const auto address = IpAddress::parse(text);
    EXPECT_TRUE(address) << text;
    return address.value_or(IpAddress{});
}

PrefixSet trusting(const std::vector<std::string_view>& texts) {
    std::vector<IpPrefix> prefixes;
    for (const auto text : texts) prefixes.push_back(*IpPrefix::parse(text));
    return PrefixSet{prefixes};
}

Fields forwarded_for(const std::vector<std::string_view>& values) {
    Fields fields;
    fields.add("Host", "a");
    for (const auto value : values) fields.add("x-forwarded-FOR", value);
    fields.add("X-Real-IP", "203.0.113.99");
    fields.add("Forwarded", "for=203.0.113.98");
    return fields;
}

struct Case {
    std::string_view name;
    std::string_view peer;
    std::vector<std::string_view> chain;
    std::string_view client;
    bool told;
};

TEST(ClientAddress, WalksFromTheRightToTheFirstUntrusted) {
    const PrefixSet trusted = trusting({"10.0.0.0/8", "127.0.0.1", "2001:db8:1::/48"});
    const Case cases[] = {
        {"no chain", "10.0.0.1", {}, "10.0.0.1", false},
        {"untrusted peer", "198.51.100.1", {"203.0.113.1"}, "198.51.100.1", false},
        {"one hop", "10.0.0.1", {"203.0.113.1"}, "203.0.113.1", true},
        {"forged left part", "10.0.0.1", {"1.2.3.4, 203.0.113.1"}, "203.0.113.1", true},
        {"two proxies", "10.0.0.1", {"203.0.113.1, 10.0.0.2"}, "203.0.113.1", true},
        {"two fields are one list", "10.0.0.1", {"1.2.3.4, 203.0.113.1", "10.0.0.2"}, "203.0.113.1", true},
        {"all trusted: the leftmost", "10.0.0.1", {"10.0.0.3, 10.0.0.2"}, "10.0.0.3", true},
        {"unreadable hop stops", "10.0.0.1", {"203.0.113.1, unknown, 10.0.0.2"}, "10.0.0.2", true},
        {"unreadable first hop", "10.0.0.1", {"unknown"}, "10.0.0.1", false},
        {"empty element stops", "10.0.0.1", {"203.0.113.1,, 10.0.0.2"}, "10.0.0.2", true},
        {"empty value", "10.0.0.1", {""}, "10.0.0.1", false},
        {"port", "10.0.0.1", {"203.0.113.1:4711"}, "203.0.113.1", true},
        {"IPv6", "2001:db8:1::9", {"2001:db8:2::1"}, "2001:db8:2::1", true},
        {"IPv6 brackets", "10.0.0.1", {"[2001:db8:2::1]"}, "2001:db8:2::1", true},
        {"IPv6 brackets and port", "10.0.0.1", {"[2001:db8:2::1]:443"}, "2001:db8:2::1", true},
        {"mapped is IPv4", "10.0.0.1", {"::ffff:203.0.113.1"}, "203.0.113.1", true},
        {"mapped proxy is trusted", "::ffff:10.0.0.1", {"203.0.113.1"}, "203.0.113.1", true},
        {"mapped hop is trusted", "10.0.0.1", {"203.0.113.1, ::ffff:10.0.0.2"}, "203.0.113.1", true},
        {"blanks", "10.0.0.1", {" \t203.0.113.1\t "}, "203.0.113.1", true},
        {"leading zeros are unreadable", "10.0.0.1", {"203.0.113.010"}, "10.0.0.1", false},
        {"octal", "10.0.0.1", {"0313.0.113.1"}, "10.0.0.1", false},
        {"decimal", "10.0.0.1", {"3405803777"}, "10.0.0.1", false},
        {"quoted", "10.0.0.1", {"\"203.0.113.1\""}, "10.0.0.1", false},
    };
    for (const auto& c : cases) {
        const auto client = resolve_client(ip(c.peer), forwarded_for(c.chain), trusted);
        EXPECT_EQ(client.address, ip(c.client)) << c.name << ": " << client.address.to_string();
        EXPECT_EQ(client.via_trusted_proxy, c.told) << c.name;
    }
}

TEST(ClientAddress, NobodyTrustedMeansThePeer) {
    const auto client = resolve_client(ip("10.0.0.1"), forwarded_for({"203.0.113.1"}), PrefixSet{});
    EXPECT_EQ(client.address, ip("10.0.0.1"));
    EXPECT_FALSE(client.via_trusted_proxy);
}

TEST(ClientAddress, HopForms) {
    for (const std::string_view bad :
         {"", " ", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:123456",
          "[1.2.3.4]", "[::1", "::1]", "[::1]x", "[::1]:", "fe80::1%eth0", "[fe80::1%eth0]",
          "1.2.3.4 5.6.7.8", "for=1.2.3.4"}) {
        EXPECT_FALSE(parse_hop(bad)) << bad;
    }
    EXPECT_EQ(parse_hop("::1"), ip("::1"));
    EXPECT_EQ(parse_hop("[::ffff:1.2.3.4]:80"), ip("1.2.3.4"));
}

}  // namespace
}  // namespace sluice::http
