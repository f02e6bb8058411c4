// Policies swapped under a flood: every packet is judged by one of them, whole, and counted once.
//
// SLUICE_SWAPS=N   how many (default: 10 thousand, or what 30 seconds have time for, where the kernel's grace periods are long)
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <thread>

#include "base/unique_fd.hpp"
#include "bpf/program_under_test.hpp"

namespace sluice::test {
namespace {

// apply() waits for all packets under the old policy, and the kernel lets that take tens of milliseconds, unless it is
// told to hurry.
class HurriedGracePeriods {
  public:
    HurriedGracePeriods() : file_{::open("/sys/kernel/rcu_expedited", O_RDWR | O_CLOEXEC)} {
        char found = 0;
        if (file_ && ::pread(file_.get(), &found, 1, 0) == 1 && write('1')) before_ = found;
    }
    ~HurriedGracePeriods() {
        if (before_ != 0 && !write(before_)) ADD_FAILURE() << "/sys/kernel/rcu_expedited stays at 1";
    }
    HurriedGracePeriods(const HurriedGracePeriods&) = delete;
    HurriedGracePeriods& operator=(const HurriedGracePeriods&) = delete;
    bool hurry() const { return before_ != 0; }

  private:
    bool write(char value) { return ::pwrite(file_.get(), &value, 1, 0) == 1; }
    UniqueFd file_;
    char before_ = 0;
};

// The traffic on one of the processors this process may use, the swaps on the others: where the two share one, each swap
// waits for its turn. Undone with the object.
class Apart {
  public:
    Apart() {
        ::sched_getaffinity(0, sizeof all_, &all_);
        CPU_ZERO(&one_);
        for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one_) == 0; ++cpu)
            if (CPU_ISSET(cpu, &all_)) CPU_SET(cpu, &one_);
        CPU_XOR(&others_, &all_, &one_);
        if (possible()) ::sched_setaffinity(0, sizeof others_, &others_);
    }
    ~Apart() { ::sched_setaffinity(0, sizeof all_, &all_); }
    Apart(const Apart&) = delete;
    Apart& operator=(const Apart&) = delete;
    bool possible() const { return CPU_COUNT(&all_) > 1; }
    void move_this_thread() const { ::sched_setaffinity(0, sizeof one_, &one_); }

  private:
    cpu_set_t all_{}, one_{}, others_{};
};

class Swaps : public BpfTest {};

// Whatever half of one policy and half of the other there might be would let a packet pass: the limited source is over
// its limit under the one and denied by the other, the turned one allowed by the one and denied by the other.
TEST_F(Swaps, NoPacketSeesHalfOfTwoPolicies) {
    const HurriedGracePeriods grace_periods;
    const Apart apart;
    const char* const wanted = std::getenv("SLUICE_SWAPS");
    const bool quick = grace_periods.hurry() && apart.possible();
    const std::uint64_t swaps = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : quick ? 10'000 : 500;
    const IpPrefix limited = prefix("192.0.2.0/24"), turned = prefix("198.51.100.0/24");
    KernelPolicy denies = enforcing(), limits = enforcing();
    denies.deny.prefixes = {limited};
    denies.allow.prefixes = {turned};
    limits.deny.prefixes = {turned};
    limits.limits = {limit(PacketCount::kPackets, 1, kHour, 1)};
    apply(limits);
    const std::array<Bytes, 2> frames = {Ethernet{} / IPv4{.source = "192.0.2.1"} / Tcp{},
                                         Ethernet{} / IPv4{.source = "198.51.100.1"} / Udp{}};
    expect_pass(frames[0], "passed");

    const ReasonCounts before = program_->counts();
    std::atomic<bool> stop{false};
    std::array<std::uint64_t, 2> sent{};
    std::thread traffic{[&] {
        constexpr std::uint64_t kBurst = 20'000;
        apart.move_this_thread();
        for (std::size_t i = 0; !stop; i ^= 1) {
            LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frames[i].data(),
                        .data_size_in = static_cast<std::uint32_t>(frames[i].size()), .repeat = kBurst);
            if (bpf_prog_test_run_opts(program_->program(), &options) == 0) sent[i] += kBurst;
        }
    }};
    std::uint64_t failed = 0, generation = 1;
    const Nanos enough =
        wanted == nullptr ? monotonic_now() + 30 * kSecond : std::numeric_limits<Nanos>::max();
    while (++generation <= swaps + 1 && (generation <= 500 || monotonic_now() < enough)) {
        const auto applied =
            program_->tables().apply(generation % 2 == 0 ? denies : limits, SourcePrefix{}, {}, generation);
        failed += applied && program_->tables().generation() == generation ? 0 : 1;
    }
    stop = true;
    traffic.join();

    EXPECT_EQ(failed, 0U);
    const ReasonCounts after = program_->counts();
    const auto moved = [&](std::size_t reason) { return after[reason].packets - before[reason].packets; };
    std::uint64_t counted = 0, bytes = 0;
    std::string reasons;  // of a packet that saw half of two policies
    for (std::size_t i = 0; i < kKernelReasons; ++i) {
        counted += moved(i);
        if (moved(i) != 0)
            reasons += std::string{kernel_reasons()[i].name} + " " + std::to_string(moved(i)) + " ";
        bytes += after[i].bytes - before[i].bytes;
    }
    EXPECT_EQ(counted, sent[0] + sent[1]);
    EXPECT_EQ(bytes, sent[0] * frames[0].size() + sent[1] * frames[1].size());
    EXPECT_EQ(moved(SLUICE_DENIED) + moved(SLUICE_LIMIT_PACKETS) + moved(SLUICE_ALLOWED), counted) << reasons;
    for (const std::size_t reason : {SLUICE_DENIED, SLUICE_LIMIT_PACKETS, SLUICE_ALLOWED})
        EXPECT_GT(moved(reason), 0U) << kernel_reasons()[reason].name;
    std::printf("%llu swaps under %llu packets\n", static_cast<unsigned long long>(generation - 2),
                static_cast<unsigned long long>(counted));
}

}  // namespace
}  // namespace sluice::test
