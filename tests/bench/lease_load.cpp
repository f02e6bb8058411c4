// How often Redis is asked, by load: real ledgers, a real Redis, requests at random times, for limits of 10, 100 and 10 000
// in ten seconds, at half to twice what each admits. Prints one JSON object a line, as limits_bench does.
//
//   lease_load REDIS sluice DIRECTORY HOSTS     HOSTS that share each limit, each request comes to any of them
//   lease_load REDIS redis_incr                 INCR and EXPIRE for each request, a window a counter
//
// All limits and loads run at once, for a window that does not count and two that do. A ledger is a host's
// (redis_ledger.hpp), with its own connection; there is no HTTP. What is counted are the messages that are sent for requests;
// what hosts tell one another besides does not depend on the load.
#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <queue>
#include <random>
#include <thread>
#include <vector>

#include "ledger/elapsed.hpp"
#include "ledger/redis_ledger.hpp"

namespace sluice {
namespace {

constexpr Nanos kWindow = 10 * kSecond;
constexpr Nanos kWarm = kWindow;
constexpr Nanos kLength = kWarm + 2 * kWindow;
constexpr std::array kLoads{0.5, 0.9, 1.0, 1.5, 2.0};
struct Kind {
    std::uint64_t limit;
    unsigned keys;  // so many that a hundred requests and more a second come of each kind
};
constexpr std::array kKinds{Kind{10, 100}, Kind{100, 10}, Kind{10'000, 1}};

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "lease_load: %s\n", what.c_str());
    std::exit(1);
}

// Whoever counts for one kind of limit at one load. Any call on the driver's thread.
class Counter {
  public:
    // False: undecided, ask again with the same id when it was handed to `again`.
    enum class Verdict : std::uint8_t { kAdmitted, kRefused, kWait };
    virtual ~Counter() = default;
    virtual Verdict ask(std::uint64_t id, unsigned key, Nanos since, bool first) = 0;
    virtual std::uint64_t commands() const = 0;  // sent to Redis so far
};

// Requests that may ask again. Any thread puts in.
class Ready {
  public:
    void put(std::uint64_t id) {
        const std::lock_guard lock{mutex_};
        ids_.push_back(id);
        some_.notify_one();
    }
    std::vector<std::uint64_t> take(Nanos until) {
        std::unique_lock lock{mutex_};
        some_.wait_for(lock, std::chrono::nanoseconds{std::max<Nanos>(0, until - monotonic_now())},
                       [&] { return !ids_.empty(); });
        return std::exchange(ids_, {});
    }

  private:
    std::mutex mutex_;
    std::condition_variable some_;
    std::vector<std::uint64_t> ids_;
};

class Leases final : public Counter {
  public:
    Leases(Ready& ready, const RedisSettings& settings, const std::string& directory, unsigned hosts,
           std::uint64_t number, std::uint64_t limit)
        : ready_(ready), number_(number), rate_{.count = limit, .window = kWindow} {
        for (unsigned i = 0; i < hosts; ++i) {
            auto ledger = RedisLedger::open(
                {.directory = directory + "/" + std::to_string(number) + "." + std::to_string(i)}, settings);
            if (!ledger) fail(ledger.error().message);
            limiters_.push_back(std::make_unique<Limiter>(kSmall));
            ledgers_.push_back(*std::move(ledger));
            books_.push_back(&ledgers_.back()->lease(*limiters_.back()));
        }
    }
    ~Leases() override {
        for (const auto& ledger : ledgers_) ledger->stop();
    }
    Leases(const Leases&) = delete;
    Leases& operator=(const Leases&) = delete;

    Verdict ask(std::uint64_t id, unsigned key, Nanos since, bool first) override {
        const Charge charge{
            .key = {.high = number_ << 32U | key, .low = id_ + key}, .limit = 1, .rate = rate_};
        const Nanos now = monotonic_now();
        constexpr LedgerLoss kLoss = LedgerLoss::kClosed;
        LeaseBook& book = *books_[id % books_.size()];
        const auto admission = book.admit({.charges = {&charge, 1},
                                           .losses = {&kLoss, 1},
                                           .monotonic = now,
                                           .ledger = ledger_time_at(now),
                                           .asked = first ? 0 : since},
                                          results_, [&] { return [this, id] { ready_.put(id); }; });
        if (!admission) return Verdict::kWait;
        return admission->admitted ? Verdict::kAdmitted : Verdict::kRefused;
    }
    std::uint64_t commands() const override {
        std::uint64_t sum = 0;
        for (const LeaseBook* book : books_) sum += book->stats().messages;
        return sum;
    }

  private:
    static constexpr LimiterConfig kSmall{.max_keys = 10'000, .max_bytes = 64 << 20, .shards = 4};
    Ready& ready_;
    const std::uint64_t number_;
    const std::uint64_t id_ = static_cast<std::uint64_t>(monotonic_now());
    const Rate rate_;
    std::vector<std::unique_ptr<Limiter>> limiters_;
    std::vector<std::unique_ptr<RedisLedger>> ledgers_;
    std::vector<LeaseBook*> books_;
    std::array<ChargeResult, kMaxCharges> results_;
};

class Incr final : public Counter {
  public:
    Incr(Ready& ready, RedisNodes& redis, std::uint64_t number, std::uint64_t limit)
        : ready_(ready), redis_(redis), number_(number), limit_(limit) {}

    Verdict ask(std::uint64_t id, unsigned key, Nanos /*since*/, bool first) override {
        if (first) {
            const std::string name = "ratelimit:" + std::to_string(number_) + ":" + std::to_string(key) +
                                     ":" + std::to_string(monotonic_now() / kWindow);
            commands_ += 2;
            boost::asio::post(redis_.context(), [this, id, name] {
                redis_.send(0, {"INCR", name}, [this, id](const redisReply* reply, Nanos, Nanos) {
                    if (reply == nullptr || reply->type != REDIS_REPLY_INTEGER) fail("INCR was not answered");
                    counts_.with([&](auto& counts) {
                        counts.emplace_back(id, static_cast<std::uint64_t>(reply->integer));
                    });
                    ready_.put(id);
                });
                redis_.send(0, {"EXPIRE", name, std::to_string(kWindow / kSecond)},
                            [](const redisReply*, Nanos, Nanos) {});
            });
            return Verdict::kWait;
        }
        const std::uint64_t count = counts_.with([&](auto& counts) {
            const auto [which, counted] = counts.front();  // answers come in order, and are asked for so
            if (which != id) fail("an answer to another request");
            counts.pop_front();
            return counted;
        });
        return count <= limit_ ? Verdict::kAdmitted : Verdict::kRefused;
    }
    std::uint64_t commands() const override { return commands_; }

  private:
    Ready& ready_;
    RedisNodes& redis_;
    const std::uint64_t number_;
    const std::uint64_t limit_;
    std::uint64_t commands_ = 0;
    Guarded<std::deque<std::pair<std::uint64_t, std::uint64_t>>> counts_;
};

// What became of the requests of one key.
struct Key {
    std::vector<Nanos> arrived;
    std::vector<Nanos> admitted;  // by when they arrived: what others have to wait for is not measured here

    // The most in a trailing window.
    std::uint64_t most() const {
        std::vector<Nanos> times = admitted;
        std::ranges::sort(times);
        std::size_t most = 0;
        for (std::size_t first = 0, i = 0; i < times.size(); ++i) {
            while (times[first] <= times[i] - kWindow) ++first;
            most = std::max(most, i - first + 1);
        }
        return most;
    }
    // What an exact log would have admitted.
    std::uint64_t entitled(std::uint64_t limit) const {
        std::deque<Nanos> log;
        std::uint64_t count = 0;
        for (const Nanos time : arrived) {
            while (!log.empty() && log.front() <= time - kWindow) log.pop_front();
            if (log.size() >= limit) continue;
            log.push_back(time);
            ++count;
        }
        return count;
    }
};

struct Cell {
    Kind kind;
    double load;
    std::unique_ptr<Counter> counter;
    std::vector<Key> keys{kind.keys};
    std::uint64_t requests = 0;  // since warm
    std::uint64_t commands_before = 0;

    double mean_gap() const {
        return static_cast<double>(kWindow) / (load * static_cast<double>(kind.limit) * kind.keys);
    }
};

struct Asked {
    std::size_t cell;
    unsigned key;
    Nanos at;
};

// Seconds of processor time the server has used.
double redis_cpu(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    const std::unique_ptr<redisContext, decltype(&redisFree)> context{
        redisConnect(address.substr(0, colon).c_str(), std::atoi(address.c_str() + colon + 1)), redisFree};
    if (context == nullptr || context->err != 0) fail("no connection to " + address);
    const std::unique_ptr<redisReply, decltype(&freeReplyObject)> reply{
        static_cast<redisReply*>(redisCommand(context.get(), "INFO cpu")), freeReplyObject};
    if (reply == nullptr || reply->str == nullptr) fail("INFO was not answered");
    double sum = 0;
    for (const std::string field : {"used_cpu_sys:", "used_cpu_user:"}) {
        const char* const found = std::strstr(reply->str, field.c_str());
        if (found == nullptr) fail("INFO tells no " + field);
        sum += std::strtod(found + field.size(), nullptr);
    }
    return sum;
}

void report(const std::string& name, const std::string& subject, const char* metric, double value,
            const char* unit) {
    std::printf(R"({"case":"%s","subject":"%s","metric":"%s","value":%.6g,"unit":"%s"})"
                "\n",
                name.c_str(), subject.c_str(), metric, value, unit);
}

void drive(std::vector<Cell>& cells, Ready& ready, const std::string& address, const std::string& subject,
           const std::string& suffix) {
    std::mt19937_64 random{1};
    using Due = std::pair<Nanos, std::size_t>;
    std::priority_queue<Due, std::vector<Due>, std::greater<>> due;
    const auto next = [&](std::size_t cell, Nanos from) {
        const double gap = std::exponential_distribution<>{1 / cells[cell].mean_gap()}(random);
        due.emplace(from + static_cast<Nanos>(gap), cell);
    };
    const Nanos start = monotonic_now();
    for (std::size_t i = 0; i < cells.size(); ++i) next(i, start);
    std::vector<Asked> asked;
    const auto settle = [&](std::uint64_t id, bool first) {
        const Asked& one = asked[id];
        Cell& cell = cells[one.cell];
        if (cell.counter->ask(id, one.key, one.at, first) == Counter::Verdict::kAdmitted)
            cell.keys[one.key].admitted.push_back(one.at);
    };
    bool warm = false;
    double cpu = 0;
    while (due.top().first < start + kLength) {
        for (const std::uint64_t id : ready.take(due.top().first)) settle(id, false);
        const Nanos now = monotonic_now();
        if (!warm && now >= start + kWarm) {
            warm = true;
            cpu = redis_cpu(address);
            for (Cell& cell : cells) cell.commands_before = cell.counter->commands();
        }
        while (due.top().first <= now) {
            const auto [when, which] = due.top();
            due.pop();
            next(which, when);
            Cell& cell = cells[which];
            const auto key = static_cast<unsigned>(random() % cell.kind.keys);
            const Nanos at = monotonic_now();
            cell.requests += warm ? 1 : 0;
            cell.keys[key].arrived.push_back(at);
            asked.push_back({which, key, at});
            settle(asked.size() - 1, true);
        }
    }
    cpu = redis_cpu(address) - cpu;
    const Nanos over = monotonic_now() + kSecond / 5;
    while (monotonic_now() < over)
        for (const std::uint64_t id : ready.take(over)) settle(id, false);

    std::uint64_t requests = 0;
    for (const Cell& cell : cells) {
        std::uint64_t admitted = 0;
        std::uint64_t entitled = 0;
        std::uint64_t most = 0;
        for (const Key& key : cell.keys) {
            admitted += key.admitted.size();
            entitled += key.entitled(cell.kind.limit);
            most = std::max(most, key.most());
        }
        requests += cell.requests;
        std::array<char, 64> name{};
        std::snprintf(name.data(), name.size(), "operations_limit_%lu_load_%.1f", cell.kind.limit, cell.load);
        const std::string full = name.data() + suffix;
        const double commands = static_cast<double>(cell.counter->commands() - cell.commands_before);
        report(full, subject, "commands_per_request", commands / static_cast<double>(cell.requests), "1");
        report(full, subject, "most_in_a_window",
               100 * static_cast<double>(most) / static_cast<double>(cell.kind.limit), "% of the limit");
        report(full, subject, "admitted_of_entitled",
               100 * static_cast<double>(admitted) / static_cast<double>(entitled), "%");
    }
    report("operations_all" + suffix, subject, "redis_cpu_per_request",
           cpu * 1e6 / static_cast<double>(requests), "us");
}

void run(const std::string& address, const std::string& subject, const std::string& directory,
         unsigned hosts) {
    Ready ready;
    RedisSettings settings;
    settings.nodes = {address};
    auto redis = RedisNodes::make(settings);
    if (!redis) fail(redis.error().message);
    if (directory.empty()) (*redis)->start();
    std::vector<Cell> cells;
    for (const Kind& kind : kKinds)
        for (const double load : kLoads) {
            cells.push_back({.kind = kind, .load = load, .counter = nullptr});
            if (directory.empty())
                cells.back().counter = std::make_unique<Incr>(ready, **redis, cells.size(), kind.limit);
            else
                cells.back().counter =
                    std::make_unique<Leases>(ready, settings, directory, hosts, cells.size(), kind.limit);
        }
    // A host asks when the script and, for the peer, the connection are there.
    std::this_thread::sleep_for(std::chrono::milliseconds{500});
    drive(cells, ready, address, subject, hosts > 1 ? "_" + std::to_string(hosts) + "_hosts" : "");
    (*redis)->stop();
}

}  // namespace
}  // namespace sluice

int main(int count, char** arguments) {
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
    const std::string_view subject = count > 2 ? arguments[2] : "";
    if (subject == "sluice" && count == 5) {
        const int hosts = std::atoi(arguments[4]);
        if (hosts < 1 || hosts > 10) sluice::fail("HOSTS is 1 to 10");
        sluice::run(arguments[1], "sluice", arguments[3], static_cast<unsigned>(hosts));
    } else if (subject == "redis_incr" && count == 3) {
        sluice::run(arguments[1], "redis_incr", "", 1);
    } else {
        sluice::fail("usage: lease_load REDIS sluice DIRECTORY HOSTS | lease_load REDIS redis_incr");
    }
    return 0;
}
