#include "kernel/kernel_plan.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "kernel/abi_convert.hpp"
#include "kernel/bpf_arithmetic.hpp"
#include "kernel/kernel_enforcer.hpp"
#include "kernel/prefix_blocks.hpp"

namespace sluice {
namespace {

PacketLimit limit(const char* name, PacketCount count, std::uint64_t burst = 10'000) {
    return {name, count, PacketScope::kSource, {100, kSecond}, burst, LimitMode::kEnforce};
}

KernelPolicy policy_with(std::vector<PacketLimit> limits) {
    KernelPolicy policy;
    policy.mode = KernelMode::kEnforce;
    policy.limits = std::move(limits);
    return policy;
}

// The program's walk through the tree, with blocks from memory instead of a map.
bool contains(const KernelPlan& plan, const sluice_prefix_set& set, const IpAddress& address) {
    const sluice_address key = to_abi(address);
    std::uint32_t number = 0;
    for (std::uint32_t level = 0; level < set.depth; ++level)
        number = sluice_descend(
            &set, level, number,
            sluice_find_fence(&plan.blocks.at(set.base[level] + number), &key, address.is_v4()));
    return (number & 1) != 0;
}

TEST(KernelPlan, AsksNarrowLimitsFirst) {
    const KernelPlan plan = make_kernel_plan(
        policy_with({limit("all", PacketCount::kPackets), limit("bytes", PacketCount::kBytes),
                     limit("udp", PacketCount::kUdp), limit("syn", PacketCount::kTcpSyn)}),
        {});
    const sluice_limit_list& list = plan.policy.limits[0][0];
    ASSERT_EQ(list.used, 4U);
    const std::vector<std::string> expected{"syn", "udp", "bytes", "all"};
    for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_EQ(plan.limit_names[0][0][list.order[i]], expected[i]);
}

TEST(KernelPlan, AnUnchangedLimitKeepsItsSlotAndSalt) {
    const KernelPlan first = make_kernel_plan(policy_with({limit("a", PacketCount::kPackets)}), {});
    KernelPlanContext context;
    context.previous = &first.policy;
    PacketLimit renamed = limit("b", PacketCount::kPackets);
    renamed.mode = LimitMode::kShadow;
    const KernelPlan second =
        make_kernel_plan(policy_with({limit("syn", PacketCount::kTcpSyn), renamed}), context);
    EXPECT_EQ(second.policy.limits[0][0].limit[0].salt, first.policy.limits[0][0].limit[0].salt);
    EXPECT_EQ(second.limit_names[0][0][0], "b");
    EXPECT_EQ(second.limit_names[0][0][1], "syn");
    const KernelPlan changed =
        make_kernel_plan(policy_with({limit("a", PacketCount::kPackets, 9'999)}), context);
    EXPECT_NE(changed.policy.limits[0][0].limit[0].salt, first.policy.limits[0][0].limit[0].salt);
}

TEST(KernelPlan, LimitsThatDifferOnlyInNameAreTwo) {
    const KernelPlan plan = make_kernel_plan(
        policy_with({limit("a", PacketCount::kPackets), limit("b", PacketCount::kPackets)}), {});
    EXPECT_NE(plan.policy.limits[0][0].limit[0].salt, plan.policy.limits[0][0].limit[1].salt);
}

TEST(KernelPlan, AGroupOfPortsKeepsItsRowByItsName) {
    KernelPolicy policy = policy_with({limit("all", PacketCount::kPackets)});
    policy.ports = {80};
    policy.port_groups = {{"a", {1000, 1001}, {limit("x", PacketCount::kUdp)}, 0},
                          {"b", {2000}, {limit("x", PacketCount::kUdp)}, 0}};
    const KernelPlan first = make_kernel_plan(policy, {});
    EXPECT_EQ(first.policy.port_group[80], 1);
    EXPECT_EQ(first.policy.port_group[1000], 2);
    EXPECT_EQ(first.policy.port_group[1001], 2);
    EXPECT_EQ(first.policy.port_group[2000], 3);
    EXPECT_EQ(first.policy.port_group[443], 0);
    EXPECT_EQ(first.limit_names[2][0][0], "b/x");
    EXPECT_NE(first.policy.limits[1][0].limit[0].salt, first.policy.limits[2][0].limit[0].salt)
        << "a group that comes into another's row reads none of its times";

    policy.port_groups = {{"c", {3000}, {}, 0}, {"b", {1000}, {limit("x", PacketCount::kUdp)}, 0}};
    policy.other_ports = true;
    KernelPlanContext context;
    context.previous = &first.policy;
    const KernelPlan second = make_kernel_plan(policy, context);
    EXPECT_EQ(second.policy.port_group[1000], 3);
    EXPECT_EQ(second.policy.port_group[3000], 2);
    EXPECT_EQ(second.policy.port_group[443], 1);
    EXPECT_EQ(second.policy.limits[2][0].limit[0].salt, first.policy.limits[2][0].limit[0].salt);
}

TEST(KernelPlan, RegionsOfATableShareNothingAndFillIt) {
    for (const std::uint32_t sets : {16U, 1U << 10, 1U << 17}) {
        const std::uint32_t entries = table_entries(sets);
        EXPECT_EQ(region_of(entries, 0).mask + 1, sets);
        std::uint32_t next = 0;
        for (std::size_t group = 0; group < SLUICE_GROUPS; ++group) {
            const sluice_region region = region_of(entries, group);
            EXPECT_EQ(region.base, next) << group;
            EXPECT_TRUE(std::has_single_bit(region.mask + 1)) << group;
            next = region.base + region.mask + 1;
        }
        EXPECT_EQ(next, entries);
    }
}

TEST(KernelPlan, ShortBurstsAskForTheExactClock) {
    EXPECT_FALSE(make_kernel_plan(policy_with({limit("a", PacketCount::kPackets)}), {}).policy.flags &
                 SLUICE_POLICY_EXACT_CLOCK);
    PacketLimit quick = limit("a", PacketCount::kPackets, 10);
    quick.rate = {10'000, kSecond};  // a millisecond's worth
    EXPECT_TRUE(make_kernel_plan(policy_with({quick}), {}).policy.flags & SLUICE_POLICY_EXACT_CLOCK);
}

TEST(KernelPlan, SaysWhatTheKernelCantDo) {
    struct Case {
        std::vector<PacketLimit> limits;
        const char* path;
    };
    PacketLimit endless = limit("a", PacketCount::kPackets, 1'000'000);
    endless.rate = {1, kDay};
    PacketLimit too_fast = limit("a", PacketCount::kPackets);
    too_fast.rate = {1'000'000'000'000, kSecond};
    for (const Case& one : std::vector<Case>{
             {{limit("a", PacketCount::kBytes, 1513)}, "kernel.limits[0].burst"},
             {{limit("a", PacketCount::kPackets, 0)}, "kernel.limits[0].burst"},
             {{endless}, "kernel.limits[0].burst"},
             {{too_fast}, "kernel.limits[0].rate"},
             {std::vector<PacketLimit>(8, limit("a", PacketCount::kUdp)), "kernel.limits[7]"}}) {
        const auto problems = check_kernel_policy(policy_with(one.limits), {});
        ASSERT_EQ(problems.size(), 1U) << one.path;
        EXPECT_EQ(problems.front().path, one.path);
    }
    EXPECT_TRUE(
        check_kernel_policy(policy_with(std::vector<PacketLimit>(7, limit("a", PacketCount::kUdp))), {})
            .empty());
    KernelPolicy bans = policy_with({});
    bans.ban = BanRule{0, kSecond, kSecond};
    EXPECT_EQ(check_kernel_policy(bans, {}).front().path, "kernel.ban.after");
    EXPECT_EQ(check_kernel_policy(policy_with({}), {0, 64}).front().path, "source_prefix.ipv4");
}

TEST(PrefixBlocks, AgreesWithPrefixSetOnRandomLists) {
    std::mt19937_64 random{3};
    for (const std::size_t size : {1U, 3U, 127U, 128U, 129U, 5'000U, 60'000U}) {
        KernelPolicy policy = policy_with({});
        const auto random_address = [&](bool ipv4) {
            if (ipv4) {
                const auto bits = static_cast<std::uint32_t>(random());
                return IpAddress::from_v4(
                    {static_cast<std::uint8_t>(bits >> 24), static_cast<std::uint8_t>(bits >> 16),
                     static_cast<std::uint8_t>(bits >> 8), static_cast<std::uint8_t>(bits)});
            }
            std::array<std::uint8_t, 16> bytes{0x20, 0x01};
            for (std::size_t i = 2; i < 16; ++i) bytes[i] = static_cast<std::uint8_t>(random());
            return IpAddress::from_v6(bytes);
        };
        for (std::size_t i = 0; i < size; ++i) {
            const bool ipv4 = i % 2 == 0;
            const unsigned length =
                ipv4 ? 12 + static_cast<unsigned>(random() % 21) : 20 + static_cast<unsigned>(random() % 109);
            policy.deny.prefixes.emplace_back(random_address(ipv4), length);
        }
        const KernelPlan plan = make_kernel_plan(policy, {});
        const PrefixSet exact{policy.deny.prefixes};
        const auto check = [&](const IpAddress& address) {
            const auto family = static_cast<std::size_t>(address.is_v4() ? SLUICE_IPV4 : SLUICE_IPV6);
            ASSERT_EQ(contains(plan, plan.policy.deny[family], address), exact.contains(address))
                << address.to_string();
        };
        for (int i = 0; i < 20'000; ++i) check(random_address(i % 2 == 0));
        // The edges of every prefix, and one beyond.
        for (const IpPrefix& prefix : policy.deny.prefixes) {
            const sluice_address first = to_abi(prefix.address());
            const sluice_address mask = mask_of(prefix.is_v4(), prefix.length());
            check(prefix.address());
            check(from_abi({first.hi | ~mask.hi, first.lo | ~mask.lo}));
            check(from_abi({first.hi, first.lo - 1}));
        }
    }
}

TEST(PrefixBlocks, EdgesOfTheAddressSpace) {
    const auto built = [](std::vector<IpPrefix> prefixes) {
        KernelPolicy policy = policy_with({});
        policy.deny.prefixes = std::move(prefixes);
        return make_kernel_plan(policy, {});
    };
    const auto in = [](const KernelPlan& plan, const char* text) {
        const IpAddress address = *IpAddress::parse(text);
        return contains(plan, plan.policy.deny[address.is_v4() ? SLUICE_IPV4 : SLUICE_IPV6], address);
    };
    const KernelPlan none = built({});
    EXPECT_FALSE(in(none, "0.0.0.0"));
    const KernelPlan everyone = built({*IpPrefix::parse("0.0.0.0/0"), *IpPrefix::parse("::/0")});
    for (const char* text : {"0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"})
        EXPECT_TRUE(in(everyone, text)) << text;
    const KernelPlan first = built({*IpPrefix::parse("::/128"), *IpPrefix::parse("0.0.0.0/32")});
    EXPECT_TRUE(in(first, "::"));
    EXPECT_FALSE(in(first, "::1"));
    EXPECT_FALSE(in(first, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    EXPECT_TRUE(in(first, "0.0.0.0"));
    EXPECT_FALSE(in(first, "0.0.0.1"));
    const KernelPlan last = built({*IpPrefix::parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")});
    EXPECT_TRUE(in(last, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    EXPECT_FALSE(in(last, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"));
    // Neighbours melt into one range.
    EXPECT_EQ(
        prefix_boundaries({*IpPrefix::parse("10.0.0.0/25"), *IpPrefix::parse("10.0.0.128/25")}, true).size(),
        3U);
}

TEST(KernelReasons, AreTheContractsWords) {
    const std::vector<std::string> expected{"passed",       "allowed",       "unprotected", "not_ip",
                                            "malformed",    "denied",        "banned",      "limit_packets",
                                            "limit_bytes",  "limit_tcp_syn", "limit_udp",   "limit_icmp",
                                            "limit_prefix", "syn_cookie",    "shadow",      "internal_error"};
    ASSERT_EQ(kernel_reasons().size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(kernel_reasons()[i].name, expected[i]);
}

}  // namespace
}  // namespace sluice
