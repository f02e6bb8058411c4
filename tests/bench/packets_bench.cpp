// What a packet costs. `packets_bench run` measures programs by BPF_PROG_TEST_RUN: a front program draws the
// packet's source and tail-calls the subject, so the empty program's time is what to subtract. `packets_bench
// flood IFINDEX N` sends N real frames (live-frames test run) to an interface and prints nanoseconds a frame.
// bench_packets.py calls both and writes the results.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bpf/packets_bench.skel.h"
#include "kernel/kernel_plan.hpp"
#include "kernel/kernel_tables.hpp"
#include "kernel/xdp_program.hpp"

namespace sluice {
namespace {

constexpr int kRuns = 5;
constexpr int kPacketsPerRun = 1'000'000;

[[noreturn]] void fail(const std::string& what, int error) {
    std::cerr << "packets_bench: " << what << ": " << std::strerror(error) << "\n";
    std::exit(1);
}

std::vector<std::uint8_t> udp_frame() {
    std::vector<std::uint8_t> frame(60, 0);
    std::fill_n(frame.begin(), 12, std::uint8_t{2});
    frame[12] = 8;
    frame[14] = 0x45;
    frame[17] = 46;  // total length
    frame[22] = 64;
    frame[23] = 17;
    frame[26] = 10;
    frame[30] = 203;
    frame[36] = 8080 >> 8;
    frame[37] = 8080 & 0xff;
    frame[39] = 26;  // UDP length
    return frame;
}

struct Sluice;

struct Case {
    std::string name;
    std::uint32_t mask;  // sources are drawn from [first, first + mask]
    std::uint32_t first;
    std::function<void(const Sluice&)> prepare;
    bool lru = false;
    bool stages = false;
    unsigned verdict = XDP_PASS;
};

struct Bench {
    packets_bench* skeleton = nullptr;
    std::uint64_t* range = nullptr;
    MappedMemory memory;

    // The programs read the policy and count in the maps of `shared`, if given.
    explicit Bench(const SharedMaps* shared = nullptr) {
        skeleton = packets_bench__open();
        if (skeleton == nullptr) fail("open", errno);
        if (shared != nullptr)
            for (const auto& map : SharedMaps::all()) {
                bpf_map* const used = bpf_object__find_map_by_name(skeleton->obj, map.name);
                if (const int error = bpf_map__reuse_fd(used, (shared->*map.fd).get()))
                    fail(map.name, -error);
            }
        if (const int error = packets_bench__load(skeleton)) fail("load", -error);
        auto mapped = MappedMemory::of_map(bpf_map__fd(skeleton->maps.source_range), 32, "source_range");
        if (!mapped) fail("map source_range", EINVAL);
        memory = std::move(*mapped);
        range = memory.as<std::uint64_t>().data();
    }
    ~Bench() { packets_bench__destroy(skeleton); }
    Bench(const Bench&) = delete;
    Bench& operator=(const Bench&) = delete;

    // Nanoseconds a packet, ended by `subject`; the last one's verdict must be `verdict`.
    double run(int subject, const Case& one, int packets, unsigned verdict) const {
        const std::uint32_t key = 0;
        if (const int error =
                bpf_map_update_elem(bpf_map__fd(skeleton->maps.target), &key, &subject, BPF_ANY))
            fail("set target", -error);
        range[0] = one.mask;
        range[1] = one.first;
        const auto frame = udp_frame();
        LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                    .data_size_in = static_cast<std::uint32_t>(frame.size()), .repeat = packets);
        if (const int error = bpf_prog_test_run_opts(bpf_program__fd(skeleton->progs.front_xdp), &options))
            fail("test run", -error);
        if (options.retval != verdict) fail("test run: another verdict than expected", EINVAL);
        return options.duration;
    }
};

struct Sluice {
    UniqueFd program;
    std::unique_ptr<KernelTables> tables;
    std::unique_ptr<Bench> bench;

    Sluice() {
        auto created = XdpObject::open(SharedMaps{}, -1, {1U << 17, 1U << 14, 1U << 16});
        if (!created || !created->create_maps()) fail("create maps", EINVAL);
        auto maps = created->maps();
        if (!maps || !initialise_control(*maps, created->clock_program()->get())) fail("initialise", EINVAL);
        auto object = XdpObject::open(*maps, -1, {1, 1, 1});
        if (!object || !object->load()) fail("load sluice_xdp", EINVAL);
        program = std::move(*object->program());
        bench = std::make_unique<Bench>(&*maps);
        tables = std::move(*KernelTables::open(std::move(*maps)));
    }
    void apply(const KernelPolicy& policy) const {
        if (const auto applied = tables->apply(policy, SourcePrefix{}, {}, 1); !applied) {
            std::cerr << applied.error().message << "\n";
            std::exit(1);
        }
    }
};

// The policy that the documentation shows: a wide limit, a narrow one, bans.
KernelPolicy usual_policy() {
    KernelPolicy policy;
    policy.mode = KernelMode::kEnforce;
    policy.ports = {8080};
    policy.limits = {{"packets", PacketCount::kPackets, PacketScope::kSource, {5000, kSecond}, 10'000, {}},
                     {"syn", PacketCount::kTcpSyn, PacketScope::kSource, {100, kSecond}, 200, {}}};
    policy.ban = BanRule{1'000'000, 10 * kSecond, kMinute};
    return policy;
}

constexpr std::uint32_t kTenNet = 10U << 24;

KernelPolicy with_denied(std::size_t prefixes) {
    KernelPolicy policy = usual_policy();
    for (std::uint32_t i = 0; i < prefixes; ++i) {
        const std::uint32_t address = (64U << 24) + i * 512;
        policy.deny.prefixes.emplace_back(
            IpAddress::from_v4({static_cast<std::uint8_t>(address >> 24),
                                static_cast<std::uint8_t>(address >> 16),
                                static_cast<std::uint8_t>(address >> 8), static_cast<std::uint8_t>(address)}),
            24);
    }
    return policy;
}

std::vector<Case> cases() {
    const auto usual = [](const Sluice& sluice) { sluice.apply(usual_policy()); };
    const auto one_busy = [](const Sluice& sluice) {
        KernelPolicy policy = usual_policy();
        policy.limits.front().rate.count = 500'000'000;  // one source sends all that this processor can
        policy.limits.front().burst = 1'000'000'000;
        sluice.apply(policy);
    };
    const auto two_limits = [](const Sluice& sluice) {
        KernelPolicy policy = usual_policy();
        policy.limits.push_back(
            {"udp", PacketCount::kUdp, PacketScope::kSource, {5000, kSecond}, 10'000, {}});
        sluice.apply(policy);
    };
    const auto banned = [](const Sluice& sluice) {
        sluice.apply(usual_policy());
        const BanRequest request{IpPrefix{IpAddress::from_v4({10, 0, 0, 0}), 32}, kHour, "bench",
                                 BanOrigin::kOperator};
        if (!sluice.tables->ban(request)) fail("ban", EINVAL);
    };
    const auto unbanned = [](const Sluice& sluice) {
        static_cast<void>(sluice.tables->lift(IpPrefix{IpAddress::from_v4({10, 0, 0, 0}), 32}));
    };
    return {
        {"innocent_hot", 0, kTenNet, one_busy, true, true},
        {"innocent_64k", 0xffff, kTenNet, usual, true},
        {"innocent_1m", 0xfffff, kTenNet, usual, true},
        {"innocent_1m_two_limits", 0xfffff, kTenNet, two_limits, false},
        {"innocent_1m_beside_a_ban", 0xfffff, kTenNet + 1, banned, false},
        {"banned", 0, kTenNet, banned, false, false, XDP_DROP},
        {"innocent_1m_100k_denied", 0xfffff, kTenNet,
         [=](const Sluice& sluice) {
             unbanned(sluice);
             sluice.apply(with_denied(100'000));
         },
         false},
        {"denied_of_1k", 0x1fe00, 64U << 24, [](const Sluice& sluice) { sluice.apply(with_denied(1000)); },
         false, false, XDP_DROP},
        {"denied_of_100k", 0x1fffe00, 64U << 24,
         [](const Sluice& sluice) { sluice.apply(with_denied(100'000)); }, false, false, XDP_DROP},
        {"forged_never_seen", 0xffffffff, 0, usual, true},
    };
}

int run_all(const std::string& only) {
    const Sluice sluice;
    const Bench& bench = *sluice.bench;
    const int empty = bpf_program__fd(bench.skeleton->progs.empty_xdp);
    const int lru = bpf_program__fd(bench.skeleton->progs.lru_xdp);
    nlohmann::json rows = nlohmann::json::array();
    for (const Case& one : cases()) {
        if (!only.empty() && one.name != only) continue;
        one.prepare(sluice);
        std::map<std::string, int> subjects{{"empty", empty}, {"sluice", sluice.program.get()}};
        if (one.lru) subjects.emplace("lru_hash", lru);
        if (one.stages)
            for (const auto& [stage, program] : {std::pair{"1_count", bench.skeleton->progs.count_xdp},
                                                 {"2_parse", bench.skeleton->progs.parse_xdp},
                                                 {"3_lists_and_clock", bench.skeleton->progs.lists_xdp}})
                subjects.emplace(std::string{"sluice_to_"} + stage, bpf_program__fd(program));
        // Every source is known before the clock runs; for sources that never repeat, the tables are full.
        for (const auto& [subject, program] : subjects)
            if (subject != "empty")
                static_cast<void>(bench.run(program, one, 3 * kPacketsPerRun, one.verdict));
        std::map<std::string, std::vector<double>> over;
        for (int run = 0; run < kRuns; ++run) {
            const double baseline = bench.run(empty, one, kPacketsPerRun, XDP_PASS);
            for (const auto& [subject, program] : subjects)
                over[subject].push_back(
                    subject == "empty" ? baseline
                                       : bench.run(program, one, kPacketsPerRun, one.verdict) - baseline);
        }
        for (auto& [subject, values] : over) {
            std::ranges::sort(values);
            rows.push_back(
                {{"suite", "packets"},
                 {"case", one.name},
                 {"subject", subject},
                 {"metric", subject == "empty" ? "ns_per_packet_with_harness" : "ns_per_packet_over_empty"},
                 {"value", values[values.size() / 2]},
                 {"unit", "ns"},
                 {"runs", kRuns},
                 {"min", values.front()},
                 {"max", values.back()}});
        }
    }
    std::cout << rows.dump(1) << "\n";
    return 0;
}

// Everything happens on the processor this runs on, softirqs of the receiving end included.
int flood(std::uint32_t ifindex, int packets, std::uint32_t mask) {
    const Bench bench;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    ::sched_setaffinity(0, sizeof cpus, &cpus);
    bench.range[0] = mask;
    bench.range[1] = kTenNet;
    bench.range[3] = ifindex;
    const auto frame = udp_frame();
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<std::uint32_t>(frame.size()), .repeat = packets,
                .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
    const Nanos start = monotonic_now();
    if (const int error = bpf_prog_test_run_opts(bpf_program__fd(bench.skeleton->progs.flood_xdp), &options))
        fail("flood", -error);
    std::cout << static_cast<double>(monotonic_now() - start) / packets << "\n";
    return 0;
}

// Attaches `drop`, or sluice with a per-source limit that the flood is far over, and stays until its input
// ends; then prints how many packets it dropped.
int hold(const std::string& subject, const std::string& interface, unsigned ifindex) {
    const Bench bench;
    if (subject == "drop") {
        if (const int error = bpf_xdp_attach(static_cast<int>(ifindex),
                                             bpf_program__fd(bench.skeleton->progs.drop_xdp), 0, nullptr))
            fail("attach to " + interface, -error);
        std::cout << "ready" << std::endl;
        std::cin.get();
        std::cout << -1 << "\n";
        return bpf_xdp_detach(static_cast<int>(ifindex), 0, nullptr) == 0 ? 0 : 1;
    }
    auto created = XdpObject::open(SharedMaps{}, -1, {1U << 17, 1U << 14, 1U << 16});
    if (!created || !created->create_maps()) fail("create maps", EINVAL);
    auto maps = created->maps();
    const auto counters = created->counters();
    if (!maps || !counters || !initialise_control(*maps, created->clock_program()->get()))
        fail("initialise", EINVAL);
    const auto attachment =
        attach_xdp(ifindex, interface, XdpMode::kNative, kUsualXdpPriority, *maps, counters->get());
    if (!attachment) {
        std::cerr << attachment.error().message << "\n";
        return 1;
    }
    const auto tables = KernelTables::open(std::move(*maps));
    KernelPolicy policy;
    policy.mode = KernelMode::kEnforce;
    policy.limits = {{"packets", PacketCount::kPackets, PacketScope::kSource, {10, kSecond}, 20, {}}};
    if (!(*tables)->apply(policy, SourcePrefix{}, {}, 1)) fail("apply", EINVAL);
    std::cout << "ready" << std::endl;
    std::cin.get();
    std::cout << read_counters(counters->get())->reason[SLUICE_LIMIT_PACKETS].packets << "\n";
    return detach_xdp_program(ifindex, interface) ? 0 : 1;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (!arguments.empty() && arguments.size() <= 2 && arguments[0] == "run")
        return sluice::run_all(arguments.size() == 2 ? arguments[1] : "");
    if (arguments.size() == 4 && arguments[0] == "flood")
        return sluice::flood(static_cast<std::uint32_t>(std::stoul(arguments[1])), std::stoi(arguments[2]),
                             static_cast<std::uint32_t>(std::stoul(arguments[3])));
    if (arguments.size() == 4 && arguments[0] == "hold")
        return sluice::hold(arguments[1], arguments[2], static_cast<unsigned>(std::stoul(arguments[3])));
    std::cerr
        << "usage: packets_bench run [CASE] | flood IFINDEX PACKETS SOURCE_MASK | hold drop|sluice INTERFACE "
           "IFINDEX\n";
    return 2;
}
