// Real frames: what floods an interface, and what is attached at its other end.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <limits>

#include "bench/packets_bench.hpp"

namespace sluice::bench {
namespace {

// What the flood is far over.
KernelPolicy far_below_the_flood(std::uint64_t burst) {
    KernelPolicy policy;
    policy.mode = KernelMode::kEnforce;
    policy.limits = {{"packets", PacketCount::kPackets, PacketScope::kSource, {6, kMinute}, burst, {}}};
    return policy;
}

// A flood of UDP beside good clients whose TCP is far within their limit.
KernelPolicy against_udp(std::uint64_t burst) {
    KernelPolicy policy;
    policy.mode = KernelMode::kEnforce;
    policy.limits = {
        {"udp", PacketCount::kUdp, PacketScope::kSource, {10, kSecond}, burst, {}},
        {"packets", PacketCount::kPackets, PacketScope::kSource, {10'000'000, kSecond}, 10'000'000, {}}};
    return policy;
}

void wait_for_end_of_input() {
    std::cout << "ready" << std::endl;
    std::cin.get();
}

int hold_program(unsigned ifindex, const std::string& interface, bpf_program* program, int counters) {
    if (const int error = bpf_xdp_attach(static_cast<int>(ifindex), bpf_program__fd(program), 0, nullptr))
        fail("attach to " + interface, -error);
    wait_for_end_of_input();
    if (counters < 0)
        std::cout << -1 << "\n";
    else
        std::cout << read_counters(counters)->reason[SLUICE_LIMIT_PACKETS].packets << "\n";
    return bpf_xdp_detach(static_cast<int>(ifindex), 0, nullptr) == 0 ? 0 : 1;
}

}  // namespace

int flood(std::uint32_t ifindex, int packets, std::uint32_t mask) {
    const Bench bench{nullptr, false};
    std::uint64_t* const range = bench.range();
    const std::uint64_t values[] = {mask, kTenNet, 0, ifindex, static_cast<std::uint64_t>(packets), 0, 0, 0};
    std::ranges::copy(values, range);
    const auto frame = udp_frame();
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<std::uint32_t>(frame.size()), .repeat = packets,
                .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
    if (const int error = bpf_prog_test_run_opts(bpf_program__fd(bench.skeleton->progs.flood_xdp), &options))
        fail("flood", -error);
    if (range[7] == 0) fail("flood: not all frames were sent", EINVAL);
    std::cout << static_cast<double>(range[7] - range[5]) / packets << "\n";
    return 0;
}

int stream(const Stream& wanted) {
    std::vector<std::uint8_t> frame = udp_frame();
    std::array<unsigned, 6> mac{};
    std::array<unsigned, 4> address{};
    if (std::sscanf(wanted.mac.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x", &mac[0], &mac[1], &mac[2], &mac[3],
                    &mac[4], &mac[5]) != 6 ||
        std::sscanf(wanted.address.c_str(), "%3u.%3u.%3u.%3u", &address[0], &address[1], &address[2],
                    &address[3]) != 4)
        fail("MAC or address", EINVAL);
    const auto byte = [](unsigned value) { return static_cast<std::uint8_t>(value); };
    std::ranges::transform(mac, frame.begin(), byte);
    std::ranges::transform(address, frame.begin() + 30, byte);
    std::fill_n(frame.begin() + 26, 4, std::uint8_t{0});
    std::uint64_t sum = 0;
    for (std::size_t at = 14; at < 34; at += 2)
        sum += static_cast<std::uint64_t>(frame[at]) << 8 | frame[at + 1];

    const Bench bench{nullptr, false};
    std::uint64_t* const range = bench.range();
    const Nanos start = monotonic_now();
    const std::uint64_t values[] = {wanted.source_mask,
                                    kTenNet,
                                    0,
                                    wanted.ifindex,
                                    wanted.frames_per_s,
                                    static_cast<std::uint64_t>(start),
                                    0,
                                    sum};
    std::ranges::copy(values, range);
    // A signal ends the run.
    struct sigaction nothing {};
    nothing.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &nothing, nullptr);
    ::alarm(wanted.seconds);
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<std::uint32_t>(frame.size()),
                .repeat = std::numeric_limits<int>::max(), .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
    const int error = bpf_prog_test_run_opts(bpf_program__fd(bench.skeleton->progs.stream_xdp), &options);
    const Nanos took = monotonic_now() - start;
    if (error != 0 && error != -EINTR) fail("stream", -error);
    std::cout << R"({"frames":)" << range[6] << R"(,"seconds":)" << static_cast<double>(took) / 1e9 << "}\n";
    return 0;
}

int hold(const std::string& subject, const std::string& interface, unsigned ifindex, std::uint64_t burst) {
    if (subject == "drop") {
        const Bench bench{nullptr, false};
        return hold_program(ifindex, interface, bench.skeleton->progs.drop_xdp, -1);
    }
    auto created = XdpObject::open(SharedMaps{}, -1, kTables);
    if (!created || !created->create_maps()) fail("create maps", EINVAL);
    auto maps = created->maps();
    const auto counters = created->counters();
    if (!maps || !counters || !initialise_control(*maps, created->clock_program()->get()))
        fail("initialise", EINVAL);
    if (subject == "lru") {
        const Bench bench{&*maps, false};
        const auto tables = KernelTables::open(std::move(*maps));
        if (!(*tables)->apply(far_below_the_flood(burst), SourcePrefix{}, {}, 1)) fail("apply", EINVAL);
        return hold_program(ifindex, interface, bench.skeleton->progs.lru_xdp,
                            bpf_map__fd(bench.skeleton->maps.counters));
    }
    const auto attachment =
        attach_xdp(ifindex, interface, XdpMode::kNative, kUsualXdpPriority, *maps, counters->get());
    if (!attachment) {
        std::cerr << attachment.error().message << "\n";
        return 1;
    }
    const auto tables = KernelTables::open(std::move(*maps));
    const KernelPolicy policy = subject == "sluice_udp" ? against_udp(burst) : far_below_the_flood(burst);
    if (!(*tables)->apply(policy, SourcePrefix{}, {}, 1)) fail("apply", EINVAL);
    wait_for_end_of_input();
    const auto counted = read_counters(counters->get());
    std::cout << counted->reason[SLUICE_LIMIT_PACKETS].packets + counted->reason[SLUICE_LIMIT_UDP].packets
              << "\n";
    return detach_xdp_program(ifindex, interface) ? 0 : 1;
}

}  // namespace sluice::bench
