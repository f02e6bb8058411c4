// Lists of a million prefixes in the loaded program.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "bpf/program_under_test.hpp"

namespace sluice::test {
namespace {

class Lists : public BpfTest {};

// Every second /31 from 11.0.0.0 on, and as many /64 of 2001:db8: none touches another.
TEST_F(Lists, AMillionPrefixesAreAllThereAndNothingElse) {
    constexpr unsigned kEach = 500'000;
    KernelPolicy policy = enforcing();
    const auto v4 = [](unsigned i, unsigned last) {
        const unsigned address = (11U << 24) + 4 * i + last;
        return IpAddress::from_v4(
            {static_cast<std::uint8_t>(address >> 24), static_cast<std::uint8_t>(address >> 16),
             static_cast<std::uint8_t>(address >> 8), static_cast<std::uint8_t>(address)});
    };
    const auto v6 = [](unsigned i, unsigned low) {
        std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x0d, 0xb8};
        for (int n = 0; n < 4; ++n)
            bytes[static_cast<std::size_t>(7 - n)] = static_cast<std::uint8_t>((2 * i + low) >> 8 * n);
        return IpAddress::from_v6(bytes);
    };
    for (unsigned i = 0; i < kEach; ++i) {
        policy.deny.prefixes.emplace_back(v4(i, 0), 31);
        policy.deny.prefixes.emplace_back(v6(i, 0), 64);
    }
    apply(policy);
    std::mt19937 random{3};
    for (int round = 0; round < 2000; ++round) {
        const auto i = static_cast<unsigned>(random() % kEach);
        const auto reason = [&](const IpAddress& source) {
            return program_
                ->run(source.is_v4() ? Bytes{Ethernet{} / IPv4{.source = source.to_string()} / Tcp{}}
                                     : Bytes{Ethernet{} / IPv6{.source = source.to_string()} / Tcp{}})
                .reason;
        };
        EXPECT_EQ(reason(v4(i, 0)), "denied");
        EXPECT_EQ(reason(v4(i, 1)), "denied");
        EXPECT_EQ(reason(v4(i, 2)), "passed");
        EXPECT_EQ(reason(v4(i, 3)), "passed");
        EXPECT_EQ(reason(v6(i, 0)), "denied");
        EXPECT_EQ(reason(v6(i, 1)), "passed");
    }
}

}  // namespace
}  // namespace sluice::test
