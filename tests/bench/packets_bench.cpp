// What a packet costs. `packets_bench run` measures programs by BPF_PROG_TEST_RUN: a front program draws the
// packet's source and tail-calls the subject, so the empty program's time is what to subtract. `packets_bench
// flood IFINDEX N` sends N real frames (live-frames test run) to an interface and prints nanoseconds a frame.
// bench_packets.py calls both and writes the results.
#include "bench/packets_bench.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>

namespace sluice::bench {

void fail(const std::string& what, int error) {
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

std::vector<std::uint8_t> syn_frame(std::uint16_t port) {
    std::vector<std::uint8_t> frame = udp_frame();
    frame.resize(74);
    frame[17] = 60;
    frame[23] = 6;
    frame[34] = 0x9c;  // from port 40000
    frame[35] = 0x40;
    frame[36] = static_cast<std::uint8_t>(port >> 8);
    frame[37] = static_cast<std::uint8_t>(port & 0xff);
    std::fill(frame.begin() + 38, frame.end(), std::uint8_t{0});
    frame[41] = 7;     // sequence number
    frame[46] = 0xa0;  // ten words of header
    frame[47] = 2;     // SYN
    frame[48] = 0xfa;
    // MSS 1460, SACK, timestamps, window scale 9
    constexpr std::uint8_t kOptions[] = {2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 9};
    std::ranges::copy(kOptions, frame.begin() + 54);
    return frame;
}

Bench::Bench(const SharedMaps* shared, bool rivals) {
    skeleton = packets_bench__open();
    if (skeleton == nullptr) fail("open", errno);
    if (!rivals) {
        for (bpf_map* map : {skeleton->maps.lru_own_lists, skeleton->maps.lru_percpu, skeleton->maps.buckets})
            bpf_map__set_autocreate(map, false);
        for (bpf_program* program :
             {skeleton->progs.lru_own_lists_xdp, skeleton->progs.lru_percpu_xdp, skeleton->progs.bucket_xdp})
            bpf_program__set_autoload(program, false);
    }
    if (shared != nullptr)
        for (const auto& map : SharedMaps::all()) {
            bpf_map* const used = bpf_object__find_map_by_name(skeleton->obj, map.name);
            if (const int error = bpf_map__reuse_fd(used, (shared->*map.fd).get())) fail(map.name, -error);
        }
    if (const int error = packets_bench__load(skeleton)) fail("load", -error);
    auto mapped = MappedMemory::of_map(bpf_map__fd(skeleton->maps.source_range), 64, "source_range");
    if (!mapped) fail("map source_range", EINVAL);
    memory = std::move(*mapped);
}

Bench::~Bench() {
    packets_bench__destroy(skeleton);
}

double Bench::run(bpf_program* front, int subject, const Sources& sources, int packets,
                  unsigned* verdict) const {
    const std::uint32_t key = 0;
    if (const int error = bpf_map_update_elem(bpf_map__fd(skeleton->maps.target), &key, &subject, BPF_ANY))
        fail("set target", -error);
    range()[0] = sources.mask;
    range()[1] = sources.first;
    const std::vector<std::uint8_t> frame =
        front == skeleton->progs.front_syn_xdp ? syn_frame(0) : udp_frame();
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<std::uint32_t>(frame.size()), .repeat = packets);
    if (const int error = bpf_prog_test_run_opts(bpf_program__fd(front), &options)) fail("test run", -error);
    *verdict = options.retval;
    return options.duration;
}

Sluice::Sluice() {
    auto created = XdpObject::open(SharedMaps{}, -1, kTables);
    if (!created || !created->create_maps()) fail("create maps", EINVAL);
    auto maps = created->maps();
    if (!maps || !initialise_control(*maps, created->clock_program()->get())) fail("initialise", EINVAL);
    auto object = XdpObject::open(*maps, -1, {1, 1, 1});
    if (!object || !object->load()) fail("load sluice_xdp", EINVAL);
    program = std::move(*object->program());
    bench = std::make_unique<Bench>(&*maps, true);
    tables = std::move(*KernelTables::open(std::move(*maps)));
}

void Sluice::apply(const KernelPolicy& policy) const {
    if (const auto applied = tables->apply(policy, SourcePrefix{}, {}, tables->generation() + 1); !applied) {
        std::cerr << applied.error().message << "\n";
        std::exit(1);
    }
}

void Sluice::ban(const IpPrefix& source) const {
    if (const auto placed = tables->ban({source, kHour, "bench", BanOrigin::kOperator}); !placed) {
        std::cerr << placed.error().message << "\n";
        std::exit(1);
    }
}

}  // namespace sluice::bench

int main(int argc, char** argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    const auto number = [&](std::size_t i) { return static_cast<std::uint32_t>(std::stoul(arguments[i])); };
    if (!arguments.empty() && arguments.size() <= 2 && arguments[0] == "run")
        return sluice::bench::run_programs(arguments.size() == 2 ? arguments[1] : "");
    if (arguments.size() == 4 && arguments[0] == "flood")
        return sluice::bench::flood(number(1), static_cast<int>(number(2)), number(3));
    if (arguments.size() == 5 && arguments[0] == "hold")
        return sluice::bench::hold(arguments[1], arguments[2], number(3), number(4));
    if (arguments.size() == 7 && arguments[0] == "stream")
        return sluice::bench::stream({.ifindex = number(1),
                                      .mac = arguments[2],
                                      .address = arguments[3],
                                      .source_mask = number(4),
                                      .frames_per_s = number(5),
                                      .seconds = number(6)});
    std::cerr
        << "usage: packets_bench run [CASE] | flood IFINDEX PACKETS SOURCE_MASK | hold "
           "drop|lru|sluice|sluice_udp INTERFACE IFINDEX BURST | stream IFINDEX MAC ADDRESS SOURCE_MASK "
           "FRAMES_PER_S SECONDS\n";
    return 2;
}
