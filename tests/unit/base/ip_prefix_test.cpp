#include "base/ip_prefix.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

IpAddress address(std::string_view text) {
    return IpAddress::parse(text).value();
}
IpPrefix prefix(std::string_view text) {
    return IpPrefix::parse(text).value();
}

TEST(IpAddress, MappedIpv4IsIpv4) {
    EXPECT_EQ(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    EXPECT_EQ(address("::ffff:c000:201").to_string(), "192.0.2.1");
    EXPECT_FALSE(address("::192.0.2.1").is_v4());
}

TEST(IpAddress, RefusesWhatIsNotOneAddress) {
    for (const auto* text : {"", " ", "192.0.2", "192.0.2.1 ", "192.0.2.256", "192.0.2.01", "fe80::1%eth0",
                             "[::1]", "192.0.2.1:80", "1:2:3:4:5:6:7:8:9", "::1::"})
        EXPECT_FALSE(IpAddress::parse(text)) << text;
}

TEST(IpPrefix, ParsesAndPrints) {
    EXPECT_EQ(prefix("192.0.2.0/24").to_string(), "192.0.2.0/24");
    EXPECT_EQ(prefix("192.0.2.7").to_string(), "192.0.2.7");
    EXPECT_EQ(prefix("2001:db8::/32").to_string(), "2001:db8::/32");
    EXPECT_EQ(prefix("0.0.0.0/0").length(), 0U);
    EXPECT_EQ(prefix("::ffff:192.0.2.0/120"), prefix("192.0.2.0/24"));
}

TEST(IpPrefix, RefusalSaysWhatWouldBeRight) {
    EXPECT_EQ(IpPrefix::parse("192.0.2.1/24").error().message,
              "'192.0.2.1/24' has bits set after its length; the prefix is 192.0.2.0/24");
    EXPECT_EQ(IpPrefix::parse("192.0.2.0/33").error().message,
              "'192.0.2.0/33' has a prefix length that is not a number from 0 to 32");
    for (const auto* text :
         {"192.0.2.0/", "192.0.2.0/-1", "192.0.2.0/+8", "192.0.2.0/24x", "/24", "x/24", "::ffff:0.0.0.0/90"})
        EXPECT_FALSE(IpPrefix::parse(text)) << text;
}

TEST(IpPrefix, Contains) {
    EXPECT_TRUE(prefix("192.0.2.0/24").contains(address("192.0.2.255")));
    EXPECT_FALSE(prefix("192.0.2.0/24").contains(address("192.0.3.0")));
    EXPECT_TRUE(prefix("2001:db8::/33").contains(address("2001:db8:7fff::1")));
    EXPECT_FALSE(prefix("2001:db8::/33").contains(address("2001:db8:8000::1")));
    EXPECT_FALSE(prefix("::/0").contains(address("192.0.2.1")));
}

TEST(SourcePrefix, MasksByFamily) {
    const SourcePrefix source{};
    EXPECT_EQ(source.of(address("192.0.2.9")), prefix("192.0.2.9"));
    EXPECT_EQ(source.of(address("2001:db8::1:2:3:4")), prefix("2001:db8::/64"));
}

TEST(PrefixSet, NestedAndAdjacentPrefixes) {
    const PrefixSet set{
        {prefix("10.0.0.0/8"), prefix("10.1.0.0/16"), prefix("192.0.2.1"), prefix("2001:db8::/32")}};
    EXPECT_TRUE(set.contains(address("10.255.255.255")));
    EXPECT_TRUE(set.contains(address("10.1.2.3")));
    EXPECT_FALSE(set.contains(address("11.0.0.0")));
    EXPECT_TRUE(set.contains(address("192.0.2.1")));
    EXPECT_FALSE(set.contains(address("192.0.2.2")));
    EXPECT_TRUE(set.contains(address("2001:db8:ffff::")));
    EXPECT_TRUE(set.overlaps(prefix("192.0.2.0/24")));
    EXPECT_FALSE(set.overlaps(prefix("192.0.3.0/24")));
    EXPECT_TRUE(set.overlaps(prefix("0.0.0.0/0")));
}

TEST(PrefixSet, AllOfIpv6IsNotIpv4) {
    const PrefixSet set{{prefix("::/0")}};
    EXPECT_TRUE(set.contains(address("2001:db8::1")));
    EXPECT_FALSE(set.contains(address("192.0.2.1")));
    EXPECT_TRUE(PrefixSet{}.empty());
    EXPECT_FALSE(PrefixSet{}.contains(address("::")));
}

}  // namespace
}  // namespace sluice
