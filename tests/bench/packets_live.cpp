// Real frames: what floods an interface, and what is attached at its other end.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <iostream>

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
    bench.range()[0] = mask;
    bench.range()[1] = kTenNet;
    bench.range()[3] = ifindex;
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
    if (!(*tables)->apply(far_below_the_flood(burst), SourcePrefix{}, {}, 1)) fail("apply", EINVAL);
    wait_for_end_of_input();
    std::cout << read_counters(counters->get())->reason[SLUICE_LIMIT_PACKETS].packets << "\n";
    return detach_xdp_program(ifindex, interface) ? 0 : 1;
}

}  // namespace sluice::bench
