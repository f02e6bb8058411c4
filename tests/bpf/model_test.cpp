// The loaded program against the model, packet by packet: reason, verdict and bytes.
//
// SLUICE_REPLAY_PACKETS=N  how many (default: 10 million; under a sanitizer, which sees nothing of the kernel, 100
//                          thousand)
// SLUICE_REPLAY_SEED=N     other ones
//
// Not covered: tables so full that entries are evicted (the scenarios are small; one that meets a full set ends), two
// processors on one source, frames of less than 14 bytes, bursts shorter than two ticks of the coarse clock.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <thread>

#include "bpf/replay.hpp"

namespace sluice::test {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kPackets = 100'000;
#else
constexpr std::uint64_t kPackets = 10'000'000;
#endif
constexpr Nanos kShortestBurst = 50 * kMillisecond;

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
    const char* text = std::getenv(variable);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(Model, TheProgramDoesWhatTheModelSays) {
    if (::geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
    const std::uint64_t wanted = number_from("SLUICE_REPLAY_PACKETS", kPackets);
    const std::uint64_t first_seed = number_from("SLUICE_REPLAY_SEED", 1);
    std::atomic<std::uint64_t> seeds{0}, packets{0};
    std::atomic<bool> differs{false};
    std::mutex mutex;
    ReplaySums sums;

    // Each thread has a program and tables of its own.
    const auto replay_scenarios = [&] {
        auto replay = Replay::open();
        ASSERT_TRUE(replay) << replay.error().message;
        std::uint64_t counted = 0;
        while (packets < wanted && !differs) {
            const model::Scenario scenario = model::make_scenario(first_seed + seeds++, kShortestBurst);
            std::vector<std::uint64_t> all(scenario.packets());
            std::iota(all.begin(), all.end(), 0);
            const auto difference = (*replay)->run(scenario, all);
            ASSERT_TRUE(difference) << "seed " << scenario.seed << ": " << difference.error().message;
            packets += (*replay)->sums().packets - counted;
            counted = (*replay)->sums().packets;
            if (*difference && !differs.exchange(true))
                ADD_FAILURE() << minimal_reproduction(**replay, scenario, **difference);
        }
        const std::lock_guard lock{mutex};
        sums.packets += (*replay)->sums().packets;
        sums.overflows += (*replay)->sums().overflows;
        for (const auto& [reason, count] : (*replay)->sums().reasons) sums.reasons[reason] += count;
    };
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i) threads.emplace_back(replay_scenarios);
    replay_scenarios();
    for (std::thread& thread : threads) thread.join();
    if (HasFailure()) return;

    std::printf("%llu packets in %llu scenarios, %llu ended by a full set:",
                static_cast<unsigned long long>(sums.packets), static_cast<unsigned long long>(seeds.load()),
                static_cast<unsigned long long>(sums.overflows));
    for (const auto& [reason, count] : sums.reasons)
        std::printf(" %.*s %llu", static_cast<int>(reason.size()), reason.data(),
                    static_cast<unsigned long long>(count));
    std::printf("\n");
    EXPECT_GE(sums.packets, wanted);
    EXPECT_LE(sums.overflows * 20, seeds.load());
    // Every reason that packets can have was met, or the scenarios miss what they are for.
    if (wanted < 1'000'000) return;
    for (const KernelReason& reason : kernel_reasons()) {
        if (reason.name == "syn_cookie" || reason.name == "internal_error") continue;
        EXPECT_GT(sums.reasons[reason.name], wanted / 10'000) << reason.name;
    }
}

}  // namespace
}  // namespace sluice::test
