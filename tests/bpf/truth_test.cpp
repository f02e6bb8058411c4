// How much is admitted, against the ideal: burst + rate × time. Time is injected, so a busy machine changes nothing.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "bpf/program_clock.hpp"
#include "bpf/program_under_test.hpp"
#include "model/traffic.hpp"

namespace sluice::test {
namespace {

constexpr Nanos kStart = kDay;

class Truth : public BpfTest {
  protected:
    void SetUp() override {
        BpfTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        auto clock = ProgramClock::of(*program_);
        ASSERT_TRUE(clock) << clock.error().message;
        clock_ = std::move(*clock);
        ASSERT_TRUE(clock_.set(kStart));
    }

    void limited(PacketCount count, std::uint64_t rate, Nanos window, std::uint64_t burst) {
        KernelPolicy policy = enforcing();
        policy.limits = {limit(count, rate, window, burst)};
        apply(policy, {}, ++generation_);
    }
    // The verdict on one more packet.
    std::uint32_t send(int times = 1) const {
        LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = kFrame.data(),
                    .data_size_in = static_cast<std::uint32_t>(kFrame.size()), .repeat = times);
        EXPECT_EQ(bpf_prog_test_run_opts(program_->program(), &options), 0);
        return options.retval;
    }
    double admitted(PacketCount count) const {
        const ReasonCount passed = program_->counts()[SLUICE_PASSED];
        return static_cast<double>(count == PacketCount::kBytes ? passed.bytes : passed.packets);
    }
    void exact_from_two_processors(PacketCount count, std::uint64_t rate);
    void no_fraction_is_lost(PacketCount count, std::uint64_t rate, Nanos window,
                             const std::function<Nanos()>& next_step, Nanos until);

    const Bytes kFrame = Ethernet{} / IPv4{.source = "192.0.2.1"} / Udp{} / Payload{18};
    ProgramClock clock_;
    std::uint64_t generation_ = 0;
};

// The two processors that this thread may use, or none.
std::vector<int> two_processors() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    ::sched_getaffinity(0, sizeof allowed, &allowed);
    std::vector<int> found;
    for (int cpu = 0; cpu < CPU_SETSIZE && found.size() < 2; ++cpu)
        if (CPU_ISSET(cpu, &allowed)) found.push_back(cpu);
    return found.size() == 2 ? found : std::vector<int>{};
}

// Both hit one source as fast as they can, while time goes on by a hundred packets or bytes each tick. The burst, a
// thousand ticks' worth, is spent before; it is there so that nothing overflows while the machine does something else.
void Truth::exact_from_two_processors(PacketCount count, std::uint64_t rate) {
    constexpr std::uint64_t kPerTick = 100, kBurst = 1000 * kPerTick;
    constexpr int kTogether = 200'000;
    constexpr auto kFor = std::chrono::milliseconds(300);
    limited(count, rate, kSecond, kBurst);
    ASSERT_TRUE(clock_.set(kStart));
    const double none = admitted(count);
    send(kBurst + 1);
    const double burst = admitted(count) - none;
    EXPECT_LE(burst, kBurst);
    EXPECT_GT(burst, kBurst - static_cast<double>(kFrame.size()));

    const ReasonCounts before = program_->counts();
    ASSERT_TRUE(clock_.flow(static_cast<Nanos>(kPerTick) * kSecond / static_cast<Nanos>(rate)));
    std::atomic<int> ready{0};
    std::atomic<std::uint64_t> sent{0};
    std::vector<std::thread> threads;
    for (const int cpu : two_processors())
        threads.emplace_back([&, cpu] {
            cpu_set_t only;
            CPU_ZERO(&only);
            CPU_SET(cpu, &only);
            EXPECT_EQ(::pthread_setaffinity_np(::pthread_self(), sizeof only, &only), 0);
            for (++ready; ready < 2;) std::this_thread::yield();
            for (const auto end = std::chrono::steady_clock::now() + kFor;
                 std::chrono::steady_clock::now() < end; sent += kTogether)
                send(kTogether);
        });
    for (std::thread& thread : threads) thread.join();
    const auto stopped = clock_.stop();
    ASSERT_TRUE(stopped) << stopped.error().message;
    constexpr int kRest = 150'000;  // what has refilled and no one came for
    send(kRest);

    const double elapsed = static_cast<double>(*stopped - kStart) / 1e9;
    const double ideal = static_cast<double>(rate) * elapsed;
    const double refilled = admitted(count) - none - burst;
    ASSERT_GT(ideal, 2000) << "time stood still";
    EXPECT_NEAR(refilled, ideal, 0.01 * ideal);
    RecordProperty("rate_" + std::to_string(rate) + "_error_ppm",
                   static_cast<int>(std::lround((refilled - ideal) / ideal * 1e6)));
    const ReasonCounts after = program_->counts();
    std::uint64_t counted = 0;
    for (std::size_t i = 0; i < kKernelReasons; ++i) counted += after[i].packets - before[i].packets;
    EXPECT_EQ(counted, sent + kRest);
}

TEST_F(Truth, PacketsFromTwoProcessors) {
    if (two_processors().empty()) GTEST_SKIP() << "needs two processors";
    for (const std::uint64_t rate : {10U, 100U, 1000U, 100'000U}) {
        SCOPED_TRACE(std::to_string(rate) + " a second");
        exact_from_two_processors(PacketCount::kPackets, rate);
    }
}

TEST_F(Truth, BytesFromTwoProcessors) {
    if (two_processors().empty()) GTEST_SKIP() << "needs two processors";
    for (const std::uint64_t rate : {10U, 100U, 1000U, 100'000U}) {
        SCOPED_TRACE(std::to_string(rate) + " a second");
        exact_from_two_processors(PacketCount::kBytes, rate);
    }
}

// Asks for all there is after each step. What is admitted may differ from the ideal by the one that is not whole yet,
// and by a 256th of a packet.
void Truth::no_fraction_is_lost(PacketCount count, std::uint64_t rate, Nanos window,
                                const std::function<Nanos()>& next_step, Nanos until) {
    const std::uint64_t burst = count == PacketCount::kBytes ? 20'000 : 100;
    limited(count, rate, window, burst);
    Nanos now = kStart;
    ASSERT_TRUE(clock_.set(now));
    const double none = admitted(count);
    for (;;) {
        while (send() == XDP_PASS) {
        }
        if (now - kStart >= until) break;
        now += next_step();
        ASSERT_TRUE(clock_.set(now));
    }
    const double ideal = static_cast<double>(burst) + static_cast<double>(rate) *
                                                          static_cast<double>(now - kStart) /
                                                          static_cast<double>(window);
    const double one = count == PacketCount::kBytes ? static_cast<double>(kFrame.size()) : 1;
    EXPECT_LE(admitted(count) - none, ideal + one / 100);
    EXPECT_GT(admitted(count) - none, ideal - one - one / 100);
}

TEST_F(Truth, NoFractionIsLostInTenMinutes) {
    constexpr Nanos kTenMinutes = 10 * kMinute;
    struct Case {
        std::uint64_t rate;
        Nanos window;
    };
    model::Random random{7};
    for (const PacketCount count : {PacketCount::kPackets, PacketCount::kBytes})
        for (const Case& one : {Case{7, kSecond}, Case{333, kSecond}, Case{3, 7 * kSecond},
                                Case{997, kSecond}, Case{99'991, kHour}}) {
            SCOPED_TRACE(std::to_string(one.rate) + " in " + std::to_string(one.window) + " ns");
            // Steps that fit nothing, from a fraction of what one takes to several times that.
            const Nanos interval = one.window / static_cast<Nanos>(one.rate) *
                                   (count == PacketCount::kBytes ? static_cast<Nanos>(kFrame.size()) : 1);
            const auto step = [&] {
                const Nanos most = random.one_in(4) ? interval / 3 : 20 * interval;
                return static_cast<Nanos>(1 + random.below(static_cast<std::uint64_t>(most)));
            };
            no_fraction_is_lost(count, one.rate, one.window, step, kTenMinutes);
        }
}

TEST_F(Truth, NoFractionIsLostInTheSmallestSteps) {
    model::Random random{11};
    const auto step = [&] { return random.of({Nanos{1}, Nanos{2}, Nanos{17}, Nanos{999}, Nanos{4001}}); };
    for (const std::uint64_t rate : {7U, 333U, 3001U}) {
        SCOPED_TRACE(std::to_string(rate) + " a second");
        no_fraction_is_lost(PacketCount::kPackets, rate, kSecond, step, 150 * kMillisecond);
    }
}

}  // namespace
}  // namespace sluice::test
