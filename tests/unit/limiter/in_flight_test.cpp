#include "limiter/in_flight.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "fixtures.hpp"

namespace sluice {
namespace {

using Slots = std::vector<InFlight::Slot>;

Charge at_once(std::uint64_t subject, std::uint64_t count, std::string_view limit = "limit",
               LimitMode mode = LimitMode::kEnforce) {
    return test::charge_of(subject, Rate{count, 0}, 1, limit, mode);
}

// Takes the slots if it may; whether it may.
bool take(InFlight& table, std::span<const Charge> charges, Slots& slots) {
    std::array<ChargeResult, kMaxCharges> results;
    InFlight::Attempt attempt{table, charges, 0, results};
    if (!attempt.admission().admitted) return false;
    attempt.take(slots);
    return true;
}

TEST(InFlight, AdmitsExactlySoMany) {
    InFlight table;
    const Charge charge = at_once(1, 2);
    std::array<ChargeResult, 1> result;
    Slots slots;
    for (const std::uint64_t used : {1U, 2U}) {
        InFlight::Attempt attempt{table, {&charge, 1}, 7, result};
        ASSERT_TRUE(attempt.admission().admitted);
        attempt.take(slots);
        EXPECT_EQ(result[0].used, used);
        EXPECT_EQ(result[0].remaining, 2 - used);
        EXPECT_FALSE(result[0].refused);
    }
    {
        const InFlight::Attempt attempt{table, {&charge, 1}, 7, result};
        EXPECT_FALSE(attempt.admission().admitted);
        EXPECT_EQ(attempt.admission().retry_at, 7 + kSlotRetry);
    }
    EXPECT_TRUE(result[0].refused);
    EXPECT_EQ(result[0].used, 2U);
    EXPECT_EQ(result[0].remaining, 0U);
    slots.pop_back();
    EXPECT_EQ(table.used(charge.key), 1U);
    EXPECT_TRUE(take(table, {&charge, 1}, slots));
}

TEST(InFlight, AnAttemptThatTakesNothingLeavesNothing) {
    InFlight table;
    const Charge charge = at_once(1, 1);
    std::array<ChargeResult, 1> result;
    { const InFlight::Attempt attempt{table, {&charge, 1}, 0, result}; }
    EXPECT_TRUE(table.peek({&charge, 1}, 0, result).admitted);
    EXPECT_EQ(table.stats().keys, 0U);
}

TEST(InFlight, ASlotIsGivenBackOnceHoweverItIsMoved) {
    InFlight table;
    const Charge charge = at_once(1, 3);
    Slots slots;
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(take(table, {&charge, 1}, slots));
    Slots others = std::move(slots);
    others[0] = std::move(others[1]);  // the former stands in others[1] now
    EXPECT_EQ(table.used(charge.key), 3U);
    { const InFlight::Slot last = std::move(others[2]); }
    EXPECT_EQ(table.used(charge.key), 2U);
    others.erase(others.begin());
    EXPECT_EQ(table.used(charge.key), 1U);
    others.clear();
    EXPECT_EQ(table.used(charge.key), 0U);
    EXPECT_EQ(table.stats().keys, 0U);
}

TEST(InFlight, AllOrNone) {
    InFlight table;
    const std::array charges{at_once(1, 5, "wide"), at_once(1, 1, "narrow")};
    Slots slots;
    EXPECT_TRUE(take(table, charges, slots));
    EXPECT_FALSE(take(table, charges, slots));
    EXPECT_EQ(table.used(charges[0].key), 1U);
    EXPECT_EQ(table.stats().slots, 2U);
}

TEST(InFlight, AShadowCountsAsEnforcingItWouldAndRefusesNobody) {
    InFlight table;
    const Charge charge = at_once(1, 1, "limit", LimitMode::kShadow);
    Slots slots;
    EXPECT_TRUE(take(table, {&charge, 1}, slots));
    std::array<ChargeResult, 1> result;
    InFlight::Attempt attempt{table, {&charge, 1}, 0, result};
    EXPECT_TRUE(attempt.admission().admitted);
    attempt.take(slots);
    EXPECT_TRUE(result[0].refused);
    EXPECT_EQ(slots.size(), 1U);
}

TEST(InFlight, ALoweredLimitAdmitsNoneUntilBelowIt) {
    InFlight table;
    const Charge before = at_once(1, 4);
    const Charge after = at_once(1, 2);
    Slots slots;
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(take(table, {&before, 1}, slots));
    for (int ended = 0; ended < 3; ++ended) {
        EXPECT_FALSE(take(table, {&after, 1}, slots)) << ended;
        slots.pop_back();
    }
    EXPECT_TRUE(take(table, {&after, 1}, slots));
    EXPECT_FALSE(take(table, {&after, 1}, slots));
}

// Keys that nobody uses any more are gone: what a flood of them leaves is nothing.
TEST(InFlight, KeysAreKeptOnlyWhileInFlight) {
    InFlight table;
    std::array<Slots, 100> connections;
    for (std::uint64_t i = 0; i < 50'000; ++i) {
        Slots& slots = connections[i % connections.size()];
        slots.clear();
        const std::array charges{at_once(i, 5, "a"), at_once(i, 5, "b")};
        ASSERT_TRUE(take(table, charges, slots));
        if (i % 1000 == 0) {
            ASSERT_LE(table.stats().keys, 2 * connections.size());
        }
    }
    for (Slots& slots : connections) slots.clear();
    EXPECT_EQ(table.stats().keys, 0U);
}

// Beside a model that only counts: requests of several limits begin and end in any order, under limits that change and
// modes that differ.
TEST(InFlight, RandomRequestsBesideAModel) {
    std::mt19937 random{20261124};
    const auto below = [&](std::uint64_t n) { return random() % n; };
    InFlight table;
    struct Live {
        Slots slots;
        std::vector<std::pair<std::size_t, std::uint64_t>> held;  // limit, subject
    };
    std::vector<Live> requests;
    std::map<std::pair<std::size_t, std::uint64_t>, std::uint64_t> model;
    constexpr std::array<std::string_view, 3> kNames{"a", "b", "c"};
    std::array<std::uint64_t, 3> counts{1, 3, 8};
    std::uint64_t refused = 0;
    const int rounds = test::kSanitized ? 20'000 : 200'000;
    for (int round = 0; round < rounds; ++round) {
        if (below(200) == 0) counts[below(3)] = 1 + below(10);
        if (!requests.empty() && below(100) < 48) {
            std::swap(requests[below(requests.size())], requests.back());
            for (const auto& held : requests.back().held) --model[held];
            requests.pop_back();
        } else {
            Live live;
            std::vector<Charge> charges;
            std::vector<std::pair<std::size_t, std::uint64_t>> wanted;
            bool fits = true;
            for (std::size_t limit = 0; limit < kNames.size(); ++limit) {
                if (below(3) == 0) continue;
                const std::uint64_t subject = below(limit == 2 ? 2 : 6);
                const bool enforced = below(4) != 0;
                charges.push_back(at_once(subject, counts[limit], kNames[limit],
                                          enforced ? LimitMode::kEnforce : LimitMode::kShadow));
                const bool room = model[{limit, subject}] < counts[limit];
                if (room) wanted.push_back({limit, subject});
                fits = fits && (room || !enforced);
            }
            ASSERT_EQ(take(table, charges, live.slots), fits) << "round " << round;
            if (fits) {
                ASSERT_EQ(live.slots.size(), wanted.size());
                for (const auto& held : wanted) ++model[held];
                live.held = std::move(wanted);
                requests.push_back(std::move(live));
            } else {
                ++refused;
            }
        }
        const std::size_t limit = below(3);
        const std::uint64_t subject = below(6);
        ASSERT_EQ(table.used(test::key_of(kNames[limit], subject)), (model[{limit, subject}]));
    }
    EXPECT_GT(refused, 1000U) << "the limits were reached";
    requests.clear();
    EXPECT_EQ(table.stats().keys, 0U);
    EXPECT_EQ(table.stats().slots, 0U);
}

TEST(InFlight, ExactWhenManyAskAtOnce) {
    constexpr std::uint64_t kLimit = 5;
    constexpr unsigned kThreads = 4;
    InFlight table;
    std::array<std::atomic<std::uint64_t>, 3> running{};
    std::atomic<std::uint64_t> most{0};
    {
        std::vector<std::jthread> threads;
        for (unsigned t = 0; t < kThreads; ++t)
            threads.emplace_back([&, t] {
                std::vector<std::pair<std::size_t, Slots>> held;
                const std::uint64_t rounds = test::kSanitized ? 3'000 : 50'000;
                for (std::uint64_t i = 0; i < rounds; ++i) {
                    const std::size_t subject = (i * 7 + t) % running.size();
                    std::array charges{at_once(subject, kLimit, "user"), at_once(0, 1000, "all")};
                    if (t % 2 == 1) std::swap(charges[0], charges[1]);
                    Slots slots;
                    if (take(table, charges, slots)) {
                        const std::uint64_t now = ++running[subject];
                        std::uint64_t seen = most;
                        while (seen < now && !most.compare_exchange_weak(seen, now)) {
                        }
                        held.emplace_back(subject, std::move(slots));
                    }
                    if (held.size() > 3) {
                        --running[held.front().first];  // before its slot is: never counted too low
                        held.erase(held.begin());
                    }
                    static_cast<void>(table.stats());
                }
                for (auto& [subject, slots] : held) --running[subject];
            });
    }
    EXPECT_LE(most, kLimit);
    EXPECT_EQ(table.stats().slots, 0U);
    Slots slots;
    const Charge charge = at_once(0, kLimit, "user");
    std::uint64_t admitted = 0;
    for (int i = 0; i < 10; ++i) admitted += take(table, {&charge, 1}, slots) ? 1 : 0;
    EXPECT_EQ(admitted, kLimit);
}

// Every thread holds what it gets: exactly the limit gets through.
TEST(InFlight, TheLastSlotsGoToExactlySoMany) {
    constexpr std::uint64_t kLimit = 20;
    InFlight table;
    std::atomic<std::uint64_t> admitted{0};
    std::array<Slots, 4> held;
    {
        std::vector<std::jthread> threads;
        for (Slots& slots : held)
            threads.emplace_back([&] {
                const Charge charge = at_once(1, kLimit);
                for (int i = 0; i < 100; ++i) admitted += take(table, {&charge, 1}, slots) ? 1 : 0;
            });
    }
    EXPECT_EQ(admitted, kLimit);
    EXPECT_EQ(table.used(test::key_of("limit", 1)), kLimit);
}

}  // namespace
}  // namespace sluice
