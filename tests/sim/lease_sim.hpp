// Many hosts and one Redis in virtual time, on a network that loses, repeats and delays. Every request comes from a seeded
// generator, so a run can be repeated; every admission is kept, and an exact log says what was entitled and what was too
// much.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "ledger/lease.hpp"
#include "ledger/redis_clock.hpp"
#include "sim/lease_model.hpp"

namespace sluice::sim {

struct SimConfig {
    std::uint64_t seed = 1;
    int hosts = 3;
    std::uint64_t limit = 100;
    Nanos window = 10 * kSecond;
    double load = 1.0;  // requests offered, in limits a window, over all hosts, at random times
    Nanos length = 40 * kSecond;
    Nanos latency = 150 * kMicrosecond;  // one way, on average; each message draws its own
    double lost = 0;                     // shares of messages
    double repeated = 0;
    double delayed = 0;                                  // by up to three seconds
    Nanos crash_every = 0;                               // one host at random; 0: never
    Nanos partition_every = 0;                           // one host at random, for up to five seconds
    Nanos drift_per_million = 100;                       // hosts' clocks, either way
    std::vector<std::pair<Nanos, Nanos>> clock_steps{};  // of Redis: when, by how much
    std::vector<Nanos> flushes{};
    std::vector<Nanos> failovers{};  // to a replica that lags by
    Nanos replica_lag = 100 * kMillisecond;
    Nanos deadline = 20 * kMillisecond;
};

struct SimResult {
    std::uint64_t requests = 0;
    std::uint64_t admitted = 0;
    std::uint64_t entitled = 0;  // what one exact log would have admitted of the same requests
    std::uint64_t most = 0;      // in any trailing window
    std::uint64_t calls = 0;     // of the script
    Nanos longest_wait = 0;
};

class LeaseSim {
  public:
    explicit LeaseSim(const SimConfig& config);
    SimResult run();
    // When requests were admitted, ascending.
    const std::vector<Nanos>& admissions() const { return admissions_; }

  private:
    enum class Kind : std::uint8_t {
        kRequest,
        kAtRedis,
        kAtHost,
        kDeadline,
        kTick,
        kCrash,
        kPartition,
        kStep,
        kFlush,
        kFailover,
        kSnapshot
    };
    struct Event {
        Nanos at;
        std::uint64_t order;
        Kind kind;
        std::uint32_t host = 0;
        std::uint64_t what = 0;
        bool operator>(const Event& other) const {
            return at != other.at ? at > other.at : order > other.order;
        }
    };
    struct Waiter {
        Nanos since;
        std::uint64_t number;
    };
    struct Host {
        std::unique_ptr<Lease> lease;
        RedisClock clock;
        std::string name;
        std::deque<Waiter> waiting;
        Nanos offset = 0;
        Nanos drift_per_million = 0;
        Nanos cut_until = 0;
        std::uint64_t life = 0;
    };
    struct Message {
        std::uint32_t host;
        std::uint64_t life;
        std::string name;
        LeaseRequest request;
        LeaseReply reply;
    };

    void at(Nanos when, Kind kind, std::uint32_t host = 0, std::uint64_t what = 0);
    Nanos here(const Host& host) const {
        return host.offset + now_ + now_ / 1'000'000 * host.drift_per_million;
    }
    void transmit(Kind kind, std::uint32_t host, std::uint64_t message);
    void request(std::uint32_t index);
    void serve(std::uint32_t index, bool answered);
    void speak(std::uint32_t index);
    void admit(const Waiter& waiter);
    void handle(const Event& event);
    void start_host(Host& host);
    Nanos short_lease() const { return std::max(5 * kMillisecond, 4 * config_.latency); }
    double chance() { return std::uniform_real_distribution<>{}(random_); }

    SimConfig config_;
    Rate rate_;
    std::mt19937_64 random_;
    Nanos now_ = 0;
    std::uint64_t order_ = 0;
    std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
    std::vector<Host> hosts_;
    std::vector<Message> messages_;
    LeaseModel redis_;
    std::deque<std::pair<Nanos, LeaseModel>> replica_;
    Nanos redis_step_ = 0;
    std::uint64_t lives_ = 0;
    std::uint64_t waiters_ = 0;
    std::vector<Nanos> arrivals_;
    std::vector<Nanos> admissions_;
    SimResult result_;
};

// The most that any trailing window of these times holds. Times ascend.
std::uint64_t most_in_window(const std::vector<Nanos>& times, Nanos window);
// How many of these an exact log admits.
std::uint64_t entitled(const std::vector<Nanos>& times, std::uint64_t limit, Nanos window);

}  // namespace sluice::sim
