// How fast and how small admission decisions are. Prints one JSON object a line:
// {"case","subject","metric","value", "unit"}; bench_limits.py runs it several times and starts the Redis it
// is compared with.
//
//   limits_bench                  Sluice: decisions a second on this one thread, and bytes a key
//   limits_bench --keys-10m       over ten million keys (2 GB)
//   limits_bench --redis PORT     what the plan first had: INCR and EXPIRE in a Redis on loopback, asked for
//   each
//                                 request, both commands in one write
//
// A decision is one request: the names of its counters hashed, admit, counted, kept in mind for the ledger. A
// request of starguide's AI routes has two charges (5000/h for the user, 100/h for the tier), of other routes
// one. Time is virtual, so that reading the clock, which a gateway does once for much more than this, is not
// measured. Sluice's rates are per second of CPU time.
#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"
#include "limiter/limiter.hpp"

namespace {

using namespace sluice;

constexpr Nanos kStart = 1'700'000'000 * kSecond;
constexpr Nanos kMeasureFor = kSecond;
constexpr LimiterConfig kRoomy{
    .max_keys = 20'000'000, .max_bytes = std::size_t{8} << 30, .track_changes = true};
// Time from one decision to the next: three million a second.
constexpr Nanos kStep = 333;

void report(std::string_view name, std::string_view subject, std::string_view metric, double value,
            std::string_view unit) {
    std::printf(R"({"case":"%.*s","subject":"%.*s","metric":"%.*s","value":%.1f,"unit":"%.*s"})"
                "\n",
                static_cast<int>(name.size()), name.data(), static_cast<int>(subject.size()), subject.data(),
                static_cast<int>(metric.size()), metric.data(), value, static_cast<int>(unit.size()),
                unit.data());
}

// CPU time of this thread: what other processes of the machine take is not ours.
Nanos thread_time() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<Nanos>(now.tv_sec) * kSecond + now.tv_nsec;
}

// Calls decide(n) in blocks for a second of the given clock; decisions a second.
template <class Decide>
double rate_of(Nanos (*clock)(), std::uint64_t block, Decide&& decide) {
    const Nanos start = clock();
    std::uint64_t done = 0;
    Nanos elapsed = 0;
    while (elapsed < kMeasureFor) {
        for (std::uint64_t i = 0; i < block; ++i) decide(done + i);
        done += block;
        elapsed = clock() - start;
    }
    return static_cast<double>(done) * 1e9 / static_cast<double>(elapsed);
}

// Users are numbers in a random order that costs next to nothing to draw.
std::uint64_t pick(std::uint64_t n, std::uint64_t keys) {
    n = (n + 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;
    n ^= n >> 31;
    return n * 0x94d049bb133111ebULL % keys;
}

struct UserName {
    std::array<char, 24> text{"user-"};
    std::size_t size = 5;
    explicit UserName(std::uint64_t number) {
        const auto end = std::to_chars(text.data() + size, text.data() + text.size(), number).ptr;
        size = static_cast<std::size_t>(end - text.data());
    }
    std::string_view view() const { return {text.data(), size}; }
};

struct Limit {
    std::uint64_t id;
    Rate rate;
};
constexpr Limit kTier{1, {100, kHour}};
constexpr std::array kAiRequest{Limit{2, {5000, kHour}}, kTier};
// So short that in a second of decisions over a million keys each has some six requests come and go.
constexpr std::array kBriefRequest{Limit{2, {5000, 2 * kSecond}}, Limit{1, {100, 2 * kSecond}}};

class Bench {
  public:
    Bench(std::uint64_t users, std::span<const Limit> limits) : users_(users), limits_(limits) {}

    void charges_of(std::uint64_t user, std::span<Charge> charges) const {
        const KeyHash subject = hasher_.subject(SubjectKind::kUser, UserName{user}.view());
        for (std::size_t i = 0; i < limits_.size(); ++i) {
            charges[i] = {
                .key = hasher_.key(limits_[i].id, subject), .limit = limits_[i].id, .rate = limits_[i].rate};
        }
    }
    void decide(std::uint64_t user) {
        charges_of(user, charges_);
        limiter_.admit(std::span{charges_}.first(limits_.size()), now_ += kStep, results_);
    }
    void fill(unsigned events) {
        for (unsigned event = 0; event < events; ++event) {
            for (std::uint64_t user = 0; user < users_; ++user) decide(user);
        }
    }
    double decisions_per_s() {
        return rate_of(thread_time, 10'000, [&](std::uint64_t n) { decide(pick(n, users_)); });
    }
    // As a gateway does that finds several requests in its sockets: it says whom it will ask for before it
    // asks.
    double prefetched_decisions_per_s() {
        constexpr std::size_t kAtOnce = 8;
        std::array<std::array<Charge, 2>, kAtOnce> requests;
        return kAtOnce * rate_of(thread_time, 1'000, [&](std::uint64_t n) {
                   for (std::size_t i = 0; i < kAtOnce; ++i) {
                       charges_of(pick(n * kAtOnce + i, users_), requests[i]);
                       limiter_.prefetch(std::span{requests[i]}.first(limits_.size()));
                   }
                   for (const auto& request : requests) {
                       limiter_.admit(std::span{request}.first(limits_.size()), now_ += kStep, results_);
                   }
               });
    }
    // Each decision timed alone, less the cost of reading the clock twice.
    double p99_ns() {
        std::vector<Nanos> times(500'000);
        std::vector<Nanos> clock(10'000);
        for (Nanos& time : clock) {
            time = -monotonic_now();
            time += monotonic_now();
        }
        for (std::size_t n = 0; n < times.size(); ++n) {
            const std::uint64_t user = pick(n, users_);
            times[n] = -monotonic_now();
            decide(user);
            times[n] += monotonic_now();
        }
        std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() * 99 / 100));
        std::ranges::nth_element(clock, clock.begin() + static_cast<std::ptrdiff_t>(clock.size() / 2));
        return static_cast<double>(times[times.size() * 99 / 100] - clock[clock.size() / 2]);
    }

  private:
    std::uint64_t users_;
    std::span<const Limit> limits_;
    KeyHasher hasher_{*random_key_secret()};
    Limiter limiter_{kRoomy};
    Nanos now_ = kStart;
    std::array<Charge, 2> charges_;
    std::array<ChargeResult, 2> results_;
};

// Of this process, by the kernel's account: tables, blocks, what the allocator holds back, unused rest of pages.
std::size_t resident() {
    ::malloc_trim(0);
    std::size_t pages = 0;
    std::ifstream{"/proc/self/statm"} >> pages >> pages;
    return pages * 4096;
}

constexpr std::string_view kSubject = "sluice";

void bench_rate(const std::string& name, std::uint64_t users, std::span<const Limit> limits,
                unsigned events) {
    Bench bench{users, limits};
    bench.fill(events);
    report(name, kSubject, "decisions_per_s", bench.decisions_per_s(), "1/s");
    if (users == 1) return;
    report(name, kSubject, "p99", bench.p99_ns(), "ns");
    report(name + "_prefetched", kSubject, "decisions_per_s", bench.prefetched_decisions_per_s(), "1/s");
}

// Over so many keys: one a request, as Redis is asked below, or the two of an AI request.
void bench_keys(const std::string& name, std::uint64_t keys) {
    bench_rate(name, keys, {&kTier, 1}, 2);
    bench_rate(name + "_two_charges", keys / 2, kAiRequest, 2);
    bench_rate(name + "_expiring", keys / 2, kBriefRequest, 6);
}

void bench_sluice() {
    constexpr Limit kRoomyLimit{1, {4'000'000'000, kHour}};
    bench_rate("hot_key", 1, {&kRoomyLimit, 1}, 0);
    bench_rate("hot_key_refused", 1, {&kTier, 1}, 100);
    bench_keys("keys_1m", 1'000'000);
    for (const unsigned events : {1U, 2U, 4U, 8U, 16U, 100U}) {
        const std::uint64_t keys = events > 16 ? 100'000 : 1'000'000;
        const std::size_t before = resident();
        Bench bench{keys, {&kTier, 1}};
        bench.fill(events);
        report("memory_" + std::to_string(events) + "_events", kSubject, "bytes_per_key",
               static_cast<double>(resident() - before) / static_cast<double>(keys), "bytes");
    }
}

[[noreturn]] void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

// A client without any overhead worth the name: two commands in one write, two integers in the answer.
class Redis {
  public:
    explicit Redis(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            fail("connect");
        const int on = 1;
        ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }

    void add(std::uint64_t user) {
        const std::string key = "ratelimit:ai:" + std::string{UserName{user}.view()};
        const std::string argument = "$" + std::to_string(key.size()) + "\r\n" + key + "\r\n";
        request_ +=
            "*2\r\n$4\r\nINCR\r\n" + argument + "*3\r\n$6\r\nEXPIRE\r\n" + argument + "$4\r\n3600\r\n";
        lines_ += 2;
    }
    void send_and_wait() {
        for (std::string_view left = request_; !left.empty();) {
            const ssize_t sent = ::send(fd_.get(), left.data(), left.size(), MSG_NOSIGNAL);
            if (sent <= 0) fail("send");
            left.remove_prefix(static_cast<std::size_t>(sent));
        }
        request_.clear();
        while (lines_ > 0) {
            const std::string_view got = receive();
            if (got.find('-') != std::string_view::npos) fail("Redis answered an error");
            lines_ -= std::min<std::size_t>(lines_, static_cast<std::size_t>(std::ranges::count(got, '\n')));
        }
    }
    double used_memory() {
        request_ = "*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n";
        if (::send(fd_.get(), request_.data(), request_.size(), MSG_NOSIGNAL) < 0) fail("send");
        request_.clear();
        std::string answer;
        constexpr std::string_view kField = "\nused_memory:";
        while (answer.find("\nmem_fragmentation_bytes:") == std::string::npos) answer += receive();
        return std::strtod(answer.c_str() + answer.find(kField) + kField.size(), nullptr);
    }

  private:
    std::string_view receive() {
        const ssize_t size = ::recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
        if (size <= 0) fail("recv");
        return {buffer_.data(), static_cast<std::size_t>(size)};
    }

    UniqueFd fd_;
    std::string request_;
    std::size_t lines_ = 0;
    std::array<char, 65536> buffer_;
};

void bench_redis(std::uint16_t port) {
    constexpr std::string_view kRedis = "redis_incr";
    Redis redis{port};
    for (const auto& [name, keys] : {std::pair{"hot_key", 1ULL}, std::pair{"keys_1m", 1'000'000ULL}}) {
        // By the wall clock: a client of Redis waits.
        const double rate = rate_of(monotonic_now, 100, [&, count = keys](std::uint64_t n) {
            redis.add(pick(n, count));
            redis.send_and_wait();
        });
        report(name, kRedis, "decisions_per_s", rate, "1/s");
    }
    constexpr std::uint64_t kKeys = 200'000;
    const double before = redis.used_memory();
    for (std::uint64_t user = 0; user < kKeys; ++user) {
        redis.add(10'000'000 + user);  // none that was there before
        if (user % 1000 == 999) redis.send_and_wait();
    }
    // A counter is as large for one request as for a hundred.
    report("memory_1_events", kRedis, "bytes_per_key", (redis.used_memory() - before) / kKeys, "bytes");
}

}  // namespace

int main(int argc, char** argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
    const std::string_view mode = argc > 1 ? argv[1] : "";
    if (mode == "--redis" && argc == 3) {
        bench_redis(static_cast<std::uint16_t>(std::atoi(argv[2])));
    } else if (mode == "--keys-10m") {
        bench_keys("keys_10m", 10'000'000);
    } else if (argc == 1) {
        bench_sluice();
    } else {
        std::fprintf(stderr, "usage: limits_bench [--keys-10m | --redis PORT]\n");
        return 2;
    }
    return 0;
}
