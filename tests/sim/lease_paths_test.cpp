// Every path of a small world: two hosts, one Redis, a limit of one or two, and at each step any of what can happen.
#include <gtest/gtest.h>

#include <random>

#include "ledger/lease.hpp"
#include "ledger/redis_clock.hpp"
#include "sim/effort.hpp"
#include "sim/lease_model.hpp"
#include "sim/lease_sim.hpp"

namespace sluice::sim {
namespace {

constexpr Nanos kWindow = 100 * kMillisecond;
constexpr LeaseTimes kTimes{
    .long_lease = 60 * kMillisecond, .idle = 25 * kMillisecond, .idle_alone = 45 * kMillisecond};
constexpr int kHosts = 2;

// What can happen to a message. Those that are late can arrive at any later step.
enum class Fate : std::uint8_t { kAnswered, kLost, kAnswerLost, kLate, kAnswerLate, kRepeated };
constexpr int kFates = 6;

struct Late {
    int host;
    std::string name;
    LeaseRequest request;
    std::optional<LeaseReply> reply;
};

struct World {
    explicit World(std::uint64_t limit) : rate{.count = limit, .window = kWindow} {}

    Rate rate;
    Nanos now = kSecond;
    LeaseModel redis;
    std::array<Lease, kHosts> leases{Lease{1, kTimes}, Lease{1, kTimes}};
    std::array<int, kHosts> lives{};
    std::vector<Late> late;
    std::vector<Nanos> admissions;

    std::string name(int host) const { return std::to_string(host) + "/" + std::to_string(lives[host]); }
    std::int64_t clock() const { return now / kMicrosecond; }

    // Choices: each host asks with each fate, each host crashes, a late message arrives, time passes by one of four steps.
    static constexpr int kChoices = kHosts * (kFates + 1) + 1 + 4;

    void choose(int choice) {
        if (choice < kHosts * kFates) return ask(choice / kFates, static_cast<Fate>(choice % kFates));
        choice -= kHosts * kFates;
        if (choice < kHosts) {
            leases[choice] = Lease{1, kTimes};
            ++lives[choice];
            std::erase_if(late, [&](const Late& one) { return one.host == choice && one.reply; });
            return;
        }
        choice -= kHosts;
        if (choice == 0) return arrive();
        constexpr std::array<Nanos, 4> kSteps{kMillisecond, 21 * kMillisecond, 61 * kMillisecond,
                                              99 * kMillisecond};
        now += kSteps[choice - 1];
    }

    void spend(int host) {
        if (leases[host].take(rate, 1, now) == Lease::Take::kTaken) admissions.push_back(now);
    }

    void ask(int host, Fate fate) {
        Lease& lease = leases[host];
        const Lease::Take take = lease.take(rate, 1, now);
        if (take == Lease::Take::kTaken) admissions.push_back(now);
        if (lease.speaking()) lease.give_up();
        if (take == Lease::Take::kAsk) lease.want(2);
        Late message{host, name(host), lease.begin(now, 0, 20 * kMillisecond), std::nullopt};
        lease.want_no_more(2);
        if (fate == Fate::kLate) late.push_back(message);
        if (fate == Fate::kLate || fate == Fate::kLost) return;
        now += 100 * kMicrosecond;
        message.reply = redis.call(0, message.name, message.request, clock());
        if (fate == Fate::kRepeated) redis.call(0, message.name, message.request, clock());
        now += 100 * kMicrosecond;
        if (fate == Fate::kAnswerLate) late.push_back(message);
        if (fate == Fate::kAnswerLost || fate == Fate::kAnswerLate) return;
        lease.finish(message.request.seq, *message.reply, now);
        spend(host);
    }

    void arrive() {
        if (late.empty()) return;
        Late message = late.front();
        late.erase(late.begin());
        if (!message.reply) {
            message.reply = redis.call(0, message.name, message.request, clock());
            if (message.name == name(message.host)) late.push_back(message);
            return;
        }
        leases[message.host].finish(message.request.seq, *message.reply, now);
        spend(message.host);
    }

    bool exact() const { return most_in_window(admissions, kWindow) <= rate.count; }
};

std::uint64_t explore(const World& world, int depth, std::vector<int>& path) {
    std::uint64_t worlds = 1;
    if (depth == 0) return worlds;
    for (int choice = 0; choice < World::kChoices; ++choice) {
        World next = world;
        next.choose(choice);
        path.push_back(choice);
        if (!next.exact()) ADD_FAILURE() << "too much after " << ::testing::PrintToString(path);
        if (::testing::Test::HasFailure()) return worlds;
        worlds += explore(next, depth - 1, path);
        path.pop_back();
    }
    return worlds;
}

TEST(LeasePaths, NoShortPathAdmitsTooMuch) {
    for (const std::uint64_t limit : {1U, 2U}) {
        std::vector<int> path;
        EXPECT_GT(explore(World{limit}, effort("SLUICE_SIM_DEPTH", 4), path), 10'000U);
    }
}

TEST(LeasePaths, NoLongPathAdmitsTooMuch) {
    std::mt19937_64 random{7};
    std::uint64_t admitted = 0;
    for (int walk = 0; walk < 1000 * effort("SLUICE_SIM_SEEDS", 4); ++walk) {
        World world{1 + random() % 3};
        std::vector<int> path;
        for (int step = 0; step < 60 && world.exact(); ++step) {
            path.push_back(static_cast<int>(random() % World::kChoices));
            world.choose(path.back());
        }
        ASSERT_TRUE(world.exact()) << "limit " << world.rate.count << ", " << ::testing::PrintToString(path);
        admitted += world.admissions.size();
    }
    EXPECT_GT(admitted, 1000U);  // the walks do walk
}

}  // namespace
}  // namespace sluice::sim
