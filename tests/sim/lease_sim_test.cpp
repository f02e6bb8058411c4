// Whole fleets in virtual time: nothing too much is ever admitted, and little too few.
#include "sim/lease_sim.hpp"

#include <gtest/gtest.h>

#include "sim/effort.hpp"

namespace sluice::sim {
namespace {

struct Sums {
    std::uint64_t admitted = 0;
    std::uint64_t entitled = 0;
    std::uint64_t requests = 0;
    std::uint64_t calls = 0;
    std::uint64_t most = 0;
    Nanos longest_wait = 0;
    double share() const { return static_cast<double>(admitted) / static_cast<double>(entitled); }
    double calls_a_request() const { return static_cast<double>(calls) / static_cast<double>(requests); }
};

Sums run(SimConfig config, int seeds) {
    Sums sums;
    for (int seed = 1; seed <= seeds; ++seed) {
        config.seed = static_cast<std::uint64_t>(seed);
        const SimResult result = LeaseSim{config}.run();
        sums.admitted += result.admitted;
        sums.entitled += result.entitled;
        sums.requests += result.requests;
        sums.calls += result.calls;
        sums.most = std::max(sums.most, result.most);
        sums.longest_wait = std::max(sums.longest_wait, result.longest_wait);
    }
    return sums;
}

const std::vector<std::uint64_t> kLimits{1, 3, 10, 100, 1000};
const std::vector<double> kLoads{0.9, 1, 1.5, 2};

TEST(LeaseSim, LosesNothingOfWhatIsEntitledWhenAllIsWell) {
    const int seeds = effort("SLUICE_SIM_SEEDS", 1);
    for (const Nanos window : {10 * kSecond, 60 * kSecond})
        for (const std::uint64_t limit : {10U, 100U, 1000U, 10000U}) {
            if (limit >= 1000 && window > 10 * kSecond && seeds == 1) continue;
            Sums all;
            for (const double load : kLoads)
                for (const int hosts : {1, 3, 5}) {
                    const SimConfig config{.hosts = hosts,
                                           .limit = limit,
                                           .window = window,
                                           .load = load,
                                           .length = window * (limit < 1000 ? 20 : 3)};
                    const Sums sums = run(config, seeds);
                    EXPECT_LE(sums.most, limit) << hosts << " hosts, load " << load;
                    EXPECT_LE(sums.longest_wait, config.deadline);
                    // One request of the few hundreds of a short run weighs more than one in a thousand.
                    EXPECT_GE(sums.share(), seeds >= 10 ? 0.999 : 0.99) << hosts << " hosts, load " << load;
                    all.admitted += sums.admitted;
                    all.entitled += sums.entitled;
                }
            EXPECT_GE(all.share(), 0.999) << "limit " << limit << ", window " << window;
        }
}

TEST(LeaseSim, HotKeysCostOneCallInAHundredRequests) {
    const Sums sums = run({.hosts = 3, .limit = 10'000, .load = 0.9}, 1);
    EXPECT_LE(sums.calls_a_request(), 0.01);
}

struct Fault {
    std::string name;
    SimConfig config;
};

std::vector<Fault> faults_that_cost_nothing() {
    std::vector<Fault> faults(6);
    faults[0] = {"messages lost, repeated and delayed", {.lost = 0.1, .repeated = 0.1, .delayed = 0.1}};
    faults[1] = {"hosts crash and come back", {.crash_every = 700 * kMillisecond}};
    faults[2] = {"partitions", {.partition_every = 2 * kSecond}};
    faults[3] = {"Redis's clock goes back", {.clock_steps = {{9 * kSecond, -5 * kSecond}}}};
    faults[4] = {"all of it",
                 {.lost = 0.05,
                  .repeated = 0.05,
                  .delayed = 0.05,
                  .crash_every = 3 * kSecond,
                  .partition_every = 4 * kSecond,
                  .clock_steps = {{9 * kSecond, -5 * kSecond}, {20 * kSecond, -5 * kSecond}}}};
    faults[5] = {"a slow network", {.latency = 15 * kMillisecond}};
    return faults;
}

TEST(LeaseSim, NeverAdmitsTooMuch) {
    for (Fault& fault : faults_that_cost_nothing())
        for (const std::uint64_t limit : kLimits)
            for (const double load : {1.0, 2.0}) {
                fault.config.hosts = 4;
                fault.config.limit = limit;
                fault.config.load = load;
                const Sums sums = run(fault.config, effort("SLUICE_SIM_SEEDS", 4));
                EXPECT_LE(sums.most, limit) << fault.name << ", load " << load;
                EXPECT_GT(sums.admitted, 0U) << fault.name;
            }
}

TEST(LeaseSim, NeverAdmitsTooMuchOnAThousandHosts) {
    const Sums sums = run({.hosts = 1000,
                           .limit = 5000,
                           .load = 1.5,
                           .length = 12 * kSecond,
                           .lost = 0.01,
                           .repeated = 0.01,
                           .delayed = 0.01,
                           .crash_every = kSecond,
                           .partition_every = kSecond},
                          effort("SLUICE_SIM_SEEDS", 1));
    EXPECT_LE(sums.most, 5000U);
    EXPECT_GE(sums.share(), 0.9);
}

// Redis forgets, and so do the promises that rested on it. What hosts still know they tell when they next speak.
TEST(LeaseSim, AFlushedRedisCostsAtMostOneLimitMore) {
    for (const std::uint64_t limit : kLimits) {
        const Sums sums = run({.hosts = 4, .limit = limit, .load = 2, .flushes = {15 * kSecond}},
                              effort("SLUICE_SIM_SEEDS", 4));
        EXPECT_LE(sums.most, 2 * limit);
    }
}

// What other hosts were granted in the last moments is missing on the replica until they speak; no more than that.
TEST(LeaseSim, AReplicaThatMissedWritesCostsAtMostWhatItMissed) {
    for (const std::uint64_t limit : {10U, 100U, 1000U}) {
        const SimConfig config{
            .hosts = 4, .limit = limit, .load = 2, .failovers = {15 * kSecond, 25 * kSecond}};
        const auto missed = static_cast<std::uint64_t>(config.load * static_cast<double>(limit) *
                                                       static_cast<double>(config.replica_lag) /
                                                       static_cast<double>(config.window));
        // The arrivals of a replica's lag, random as they are, at least a few.
        EXPECT_LE(run(config, effort("SLUICE_SIM_SEEDS", 4)).most, limit + 2 * missed + 5);
    }
}

// A clock set forward is not believed. The host's own estimate may be late by the time a message takes and by one in a
// thousand of the time since it last spoke: by so much may a window be shorter than it should.
TEST(LeaseSim, AClockSetForwardShortensTheWindowByNextToNothing) {
    for (const std::uint64_t limit : {100U, 1000U})  // every host has spoken before
        for (int seed = 1; seed <= effort("SLUICE_SIM_SEEDS", 10); ++seed) {
            SimConfig config{.seed = static_cast<std::uint64_t>(seed),
                             .hosts = 4,
                             .limit = limit,
                             .load = 2,
                             .clock_steps = {{9 * kSecond, 5 * kSecond}, {22 * kSecond, 5 * kSecond}}};
            LeaseSim sim{config};
            sim.run();
            EXPECT_LE(most_in_window(sim.admissions(), config.window - 30 * kMillisecond), limit);
        }
}

}  // namespace
}  // namespace sluice::sim
