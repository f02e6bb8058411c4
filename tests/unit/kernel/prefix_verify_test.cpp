#include "kernel/prefix_verify.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "kernel/prefix_blocks.hpp"

namespace sluice {
namespace {

std::vector<IpPrefix> prefixes_of(const std::vector<std::string>& texts) {
    std::vector<IpPrefix> prefixes;
    for (const std::string& text : texts) prefixes.push_back(*IpPrefix::parse(text));
    return prefixes;
}

struct Tree {
    std::vector<sluice_fences> blocks;
    sluice_prefix_set set;
    bool ipv4;

    Tree(const std::vector<IpPrefix>& prefixes, bool v4)
        : set{append_prefix_set(prefix_boundaries(prefixes, v4), blocks)}, ipv4{v4} {}
    Result<> verify(const std::vector<IpPrefix>& prefixes) const {
        return verify_prefix_set(set, blocks, prefixes, ipv4, "kernel.deny");
    }
};

// Nested, adjacent, alike, both families, unsorted; as many as make two levels.
std::vector<IpPrefix> random_prefixes(std::mt19937_64& random, std::size_t count) {
    std::vector<IpPrefix> prefixes;
    while (prefixes.size() < count) {
        const std::uint64_t bits = random();
        const auto byte = [&](int n) { return static_cast<std::uint8_t>(bits >> 8 * n); };
        if (bits % 2 == 0)
            prefixes.emplace_back(IpAddress::from_v4({10, byte(1), byte(2), byte(3)}), 12 + byte(4) % 21);
        else
            prefixes.emplace_back(IpAddress::from_v6({0x20, 1, byte(1), byte(2), byte(3)}),
                                  20 + byte(4) % 109);
    }
    return prefixes;
}

TEST(PrefixVerify, WhatWasBuiltIsThere) {
    std::mt19937_64 random{1};
    for (const std::size_t count : {0U, 1U, 10U, 3000U}) {
        const auto prefixes = random_prefixes(random, count);
        for (const bool ipv4 : {true, false}) {
            const auto verified = Tree{prefixes, ipv4}.verify(prefixes);
            EXPECT_TRUE(verified) << verified.error().message;
        }
    }
    for (const auto& edges :
         {prefixes_of({"0.0.0.0/0"}), prefixes_of({"::/0"}), prefixes_of({"::/1", "8000::/1"}),
          prefixes_of({"0.0.0.0/8", "255.255.255.255", "::", "ffff::/16"})})
        for (const bool ipv4 : {true, false}) {
            const auto verified = Tree{edges, ipv4}.verify(edges);
            EXPECT_TRUE(verified) << edges.front().to_string() << ": " << verified.error().message;
        }
}

TEST(PrefixVerify, NamesWhatIsMissingAndWhatIsTooMuch) {
    const auto all = prefixes_of({"192.0.2.0/24", "198.51.100.7", "2001:db8::/32"});
    const Tree without{prefixes_of({"192.0.2.0/24"}), true};
    EXPECT_EQ(without.verify(all).error().message,
              "read back kernel.deny: 198.51.100.7 did not get into the kernel's list");
    EXPECT_FALSE((Tree{{}, false}.verify(all)));
    const Tree more{prefixes_of({"192.0.2.0/24", "198.51.100.6/31"}), true};
    EXPECT_NE(more.verify(all).error().message.find("198.51.100.7 has a neighbour"), std::string::npos);
    const Tree longer{prefixes_of({"192.0.2.0/24", "198.51.100.7", "203.0.113.1"}), true};
    EXPECT_TRUE(longer.verify(all)) << "a range that touches none of the list's is not looked for";
    EXPECT_FALSE((Tree{all, true}.verify({})));
}

TEST(PrefixVerify, SeesDamageInAnyBlock) {
    std::mt19937_64 random{2};
    auto prefixes = random_prefixes(random, 2000);
    std::erase_if(prefixes, [](const IpPrefix& prefix) { return prefix.length() < 24; });
    for (int round = 0; round < 50; ++round) {
        Tree tree{prefixes, true};
        // A boundary moved within a leaf; the first level is that of the root.
        const auto leaf = tree.set.base[tree.set.depth - 1] +
                          random() % (tree.blocks.size() - tree.set.base[tree.set.depth - 1]);
        __u64& boundary = tree.blocks[leaf].lo[1 + random() % 100];
        if (boundary == ~__u64{0}) continue;
        boundary += 1;
        EXPECT_FALSE(tree.verify(prefixes)) << round;
    }
}

}  // namespace
}  // namespace sluice
