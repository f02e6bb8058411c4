// What shadow mode says it would have dropped is what the same packets lose under enforcement, reason by reason.
//
// The same replay: the same frames at the same times, from empty tables, under policies that differ in nothing but
// `mode`. Without a ban rule, since shadow mode bans no one, and with standing bans that outlive the replay.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <utility>

#include "bpf/program_clock.hpp"
#include "bpf/program_under_test.hpp"
#include "model/traffic.hpp"

namespace sluice::test {
namespace {

constexpr Nanos kStart = kDay;
constexpr Nanos kShortestBurst =
    50 * kMillisecond;  // longer than two ticks: judged by the clock that is set here

using Change = std::function<void(KernelPolicy&)>;

std::string name_of(std::size_t reason) {
    return std::string{kernel_reasons()[reason].name};
}
bool drops(std::size_t reason) {
    return kernel_reasons()[reason].verdict == "drop";
}
bool is_of_limit(std::size_t reason) {
    return kernel_reasons()[reason].name.starts_with("limit_");
}

// Of each policy of a scenario.
constexpr std::uint64_t kPackets = 8'000;

class Shadow : public BpfTest {
  protected:
    TableSizes sizes() const override { return {1U << 17, 1U << 17, 1U << 10}; }

    void SetUp() override {
        BpfTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        auto clock = ProgramClock::of(*program_);
        ASSERT_TRUE(clock) << clock.error().message;
        clock_ = std::move(*clock);
        for (const auto& [table, fd] : {std::pair{&sources_, &program_->tables().descriptors().sources},
                                        {&prefixes_, &program_->tables().descriptors().prefixes}}) {
            auto memory =
                MappedMemory::of_map(fd->get(), sizeof(sluice_set) * table_entries(1U << 17), "table");
            ASSERT_TRUE(memory) << memory.error().message;
            *table = std::move(*memory);
        }
    }

    // What the program counts over the scenario, its policies changed so. Bans that are placed never expire meanwhile.
    sluice_counters replay(const model::Scenario& scenario, const Change& change) {
        KernelTables& tables = program_->tables();
        for (const MappedMemory* table : {&sources_, &prefixes_})
            std::ranges::fill(table->as<std::uint64_t>(), 0);
        const auto standing = tables.bans();
        EXPECT_TRUE(standing);
        for (const Ban& ban : *standing) EXPECT_TRUE(tables.lift(ban.source));
        const sluice_counters before = program_->statistics();
        Nanos now = kStart;
        std::uint64_t failed = 0;
        for (std::size_t i = 0; i < scenario.policies.size(); ++i) {
            model::Rules rules = scenario.policies[i];
            rules.kernel.ban.reset();
            change(rules.kernel);
            EXPECT_TRUE(tables.apply(rules.kernel, rules.source_prefix, rules.never_ban, ++generation_));
            for (const model::OperatorBan& ban : scenario.bans)
                if (i == 0)  // those that the policy allows or trusts are refused, in each replay alike
                    static_cast<void>(tables.ban({ban.source, 300 * kDay, "replay", BanOrigin::kOperator}));
            const std::uint64_t first = i * model::Scenario::kPacketsPerPolicy;
            for (std::uint64_t packet = first; packet < first + kPackets; ++packet) {
                now += scenario.gap_before(packet);
                EXPECT_TRUE(clock_.set(now));
                const Bytes frame = scenario.frame(packet);
                LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                            .data_size_in = static_cast<std::uint32_t>(frame.size()), .repeat = 1);
                failed += bpf_prog_test_run_opts(program_->program(), &options) != 0 ? 1 : 0;
            }
        }
        EXPECT_EQ(failed, 0U);
        sluice_counters moved = program_->statistics();
        for (std::size_t i = 0; i < kKernelReasons; ++i)
            for (const auto counts : {&sluice_counters::reason, &sluice_counters::would}) {
                (moved.*counts)[i].packets -= (before.*counts)[i].packets;
                (moved.*counts)[i].bytes -= (before.*counts)[i].bytes;
            }
        moved.sources_evicted -= before.sources_evicted;
        return moved;
    }

    ProgramClock clock_;
    MappedMemory sources_, prefixes_;
    std::uint64_t generation_ = 0;
};

// Sources, prefixes, each kind, lists and bans, and limits that are in shadow mode by themselves.
TEST_F(Shadow, OfThePolicyForetellsEveryReason) {
    std::array<std::uint64_t, kKernelReasons> foretold{};
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        const model::Scenario scenario = model::make_scenario(seed, kShortestBurst);
        const auto in_mode = [&](KernelMode mode) {
            return replay(scenario, [&](KernelPolicy& policy) { policy.mode = mode; });
        };
        const sluice_counters enforced = in_mode(KernelMode::kEnforce);
        const sluice_counters shadowed = in_mode(KernelMode::kShadow);
        // A set that is full forgets one for the other, and what it forgets hangs on the order of drops, too.
        if (enforced.sources_evicted + shadowed.sources_evicted != 0) continue;
        std::uint64_t dropped = 0;
        for (std::size_t i = 0; i < kKernelReasons; ++i) {
            SCOPED_TRACE(name_of(i));
            if (drops(i)) {
                EXPECT_EQ(shadowed.would[i].packets, enforced.reason[i].packets + enforced.would[i].packets);
                EXPECT_EQ(shadowed.would[i].bytes, enforced.reason[i].bytes + enforced.would[i].bytes);
                EXPECT_EQ(shadowed.reason[i].packets, 0U);
                dropped += enforced.reason[i].packets;
                foretold[i] += shadowed.would[i].packets;
            } else if (i != SLUICE_SHADOW) {
                EXPECT_EQ(shadowed.reason[i].packets, enforced.reason[i].packets);
                EXPECT_EQ(shadowed.would[i].packets, 0U);
            }
        }
        EXPECT_EQ(shadowed.reason[SLUICE_SHADOW].packets, enforced.reason[SLUICE_SHADOW].packets + dropped);
    }
    for (std::size_t i = 0; i < kKernelReasons; ++i)
        if (drops(i) && i != SLUICE_SYN_COOKIE) {
            EXPECT_GT(foretold[i], 100U) << name_of(i);
        }
}

TEST_F(Shadow, OfAllLimitsForetellsEachOfThem) {
    std::uint64_t foretold = 0;
    for (std::uint64_t seed = 101; seed <= 112; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        const model::Scenario scenario = model::make_scenario(seed, kShortestBurst);
        const auto all_limits = [&](LimitMode mode) {
            return replay(scenario, [&](KernelPolicy& policy) {
                policy.mode = KernelMode::kEnforce;
                for (PacketLimit& limit : policy.limits) limit.mode = mode;
                for (PortGroup& group : policy.port_groups)
                    for (PacketLimit& limit : group.limits) limit.mode = mode;
            });
        };
        const sluice_counters enforced = all_limits(LimitMode::kEnforce);
        const sluice_counters shadowed = all_limits(LimitMode::kShadow);
        if (enforced.sources_evicted + shadowed.sources_evicted != 0) continue;
        for (std::size_t i = 0; i < kKernelReasons; ++i) {
            SCOPED_TRACE(name_of(i));
            EXPECT_EQ(shadowed.would[i].packets, is_of_limit(i) ? enforced.reason[i].packets : 0);
            EXPECT_EQ(shadowed.would[i].bytes, is_of_limit(i) ? enforced.reason[i].bytes : 0);
            foretold += shadowed.would[i].packets;
        }
    }
    EXPECT_GT(foretold, 1'000U);
}

// One limit in shadow mode beside others that are enforced, each in turn.
TEST_F(Shadow, OfOneLimitForetellsIt) {
    model::Scenario scenario = model::make_scenario(3, kShortestBurst);
    scenario.policies.resize(1);
    scenario.bans.clear();
    scenario.policies.front() = {};
    KernelPolicy& policy = scenario.policies.front().kernel;
    policy.mode = KernelMode::kEnforce;
    policy.limits = {
        limit(PacketCount::kTcpSyn, 3, kSecond, 5),   limit(PacketCount::kUdp, 5, kSecond, 6),
        limit(PacketCount::kIcmp, 1, kSecond, 4),     limit(PacketCount::kBytes, 4000, kSecond, 6000),
        limit(PacketCount::kPackets, 3, kSecond, 12), limit(PacketCount::kPackets, 4, kSecond, 14)};
    policy.limits.back().per = PacketScope::kPrefix;
    constexpr std::size_t kReasons[] = {SLUICE_LIMIT_TCP_SYN, SLUICE_LIMIT_UDP,     SLUICE_LIMIT_ICMP,
                                        SLUICE_LIMIT_BYTES,   SLUICE_LIMIT_PACKETS, SLUICE_LIMIT_PREFIX};
    const sluice_counters enforced = replay(scenario, [](KernelPolicy&) {});
    ASSERT_EQ(enforced.sources_evicted, 0U);
    for (std::size_t i = 0; i < std::size(kReasons); ++i) {
        SCOPED_TRACE(name_of(kReasons[i]));
        const sluice_counters counted =
            replay(scenario, [&](KernelPolicy& changed) { changed.limits[i].mode = LimitMode::kShadow; });
        EXPECT_EQ(counted.would[kReasons[i]].packets, enforced.reason[kReasons[i]].packets);
        EXPECT_EQ(counted.would[kReasons[i]].bytes, enforced.reason[kReasons[i]].bytes);
        EXPECT_GT(enforced.reason[kReasons[i]].packets, 10U);
        EXPECT_EQ(counted.reason[kReasons[i]].packets, 0U);
    }
}

}  // namespace
}  // namespace sluice::test
