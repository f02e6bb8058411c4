// Several threads at once: never more than the limit, no count lost, upkeep in between. Built with the tsan
// preset, the same tests look for races.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "fixtures.hpp"

namespace sluice {
namespace {

using test::charge_of;

constexpr std::uint64_t kRequests = test::kSanitized ? 3'000 : 100'000;
constexpr unsigned kThreads = 4;
constexpr LimiterConfig kConfig{.max_keys = 5'000, .max_bytes = 64 << 20, .shards = 8, .track_changes = true};

template <class Body>
void in_threads(Body&& body) {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < kThreads; ++t) threads.emplace_back([&body, t] { body(t); });
}

TEST(LimiterConcurrency, NeverMoreThanTheLimit) {
    Limiter limiter{kConfig};
    const Rate user_rate{200, kHour};
    const Rate shared_rate{5000, kHour};
    std::array<std::atomic<std::uint64_t>, 40> admitted{};
    std::atomic<bool> done{false};
    {
        // Sweeps, drains and looks meanwhile, as the daemon does.
        std::jthread upkeep{[&] {
            KeyBatch batch;
            while (!done) {
                limiter.sweep(kSecond, 1000);
                batch.clear();
                limiter.drain_changes(1000, batch);
                limiter.mark_changed(batch);
                static_cast<void>(limiter.stats());
                std::this_thread::yield();
            }
        }};
        in_threads([&](unsigned t) {
            for (std::uint64_t i = 0; i < kRequests; ++i) {
                const std::uint64_t user = (i * 7 + t) % admitted.size();
                // In different orders: the locks must not depend on it.
                std::array charges{charge_of(user, user_rate, 1, "user"),
                                   charge_of(0, shared_rate, 1, "shared"),
                                   charge_of(i, {1, kHour}, 1, "unique")};
                if (t % 2 == 1) std::swap(charges[0], charges[1]);
                std::array<ChargeResult, 3> results;
                if (limiter.admit(std::span{charges}.first(2 + i % 2), kSecond, results).admitted)
                    ++admitted[user];
            }
        });
        done = true;
    }
    std::uint64_t total = 0;
    for (std::uint64_t user = 0; user < admitted.size(); ++user) {
        EXPECT_LE(admitted[user], 200U);
        EXPECT_EQ(admitted[user], limiter.usage(test::key_of("user", user), user_rate, kSecond).used);
        total += admitted[user];
    }
    EXPECT_EQ(total, limiter.usage(test::key_of("shared", 0), shared_rate, kSecond).used) << "all or none";
    EXPECT_LE(total, 5000U);
    if (!test::kSanitized) {
        EXPECT_EQ(total, 5000U) << "enough was asked for";
    }
}

TEST(LimiterConcurrency, TimesFromDifferentThreadsNeverOvershoot) {
    Limiter limiter{kConfig};
    const Rate rate{50, kMillisecond};
    std::array<std::vector<Nanos>, kThreads> admitted;
    std::atomic<Nanos> clock{kSecond};
    in_threads([&](unsigned t) {
        for (std::uint64_t i = 0; i < kRequests; ++i) {
            const Nanos now =
                clock.fetch_add(997);  // read before the decision, as a caller does: may be late
            if (test::admit_one(limiter, charge_of(1, rate), now).admitted) admitted[t].push_back(now);
        }
    });
    std::uint64_t total = 0;
    for (const auto& times : admitted) total += times.size();
    const auto windows = static_cast<std::uint64_t>((clock - kSecond) / kMillisecond);
    EXPECT_LE(total, (windows + 1) * rate.count);
    EXPECT_GT(total, windows * rate.count / 2);
}

TEST(LimiterConcurrency, TablesGrowUnderLoad) {
    Limiter limiter{{.max_keys = 1'000'000, .max_bytes = 1 << 30, .shards = 2}};
    in_threads([&](unsigned t) {
        for (std::uint64_t i = 0; i < kRequests; ++i) {
            ASSERT_TRUE(test::admit_one(limiter, charge_of(i, {10, kHour}, 1 + t), kSecond).admitted);
        }
    });
    EXPECT_EQ(limiter.stats().keys, kRequests);
    for (std::uint64_t i = 0; i < kRequests; ++i) {
        ASSERT_EQ(limiter.usage(test::key_of("limit", i), {10, kHour}, kSecond).used, 10U);
    }
}

}  // namespace
}  // namespace sluice
