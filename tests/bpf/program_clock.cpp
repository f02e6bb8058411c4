#include "bpf/program_clock.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace sluice::test {
namespace {

Result<UniqueFd> map_of_program(int program, std::string_view wanted) {
    std::array<std::uint32_t, 32> ids{};
    bpf_prog_info info{};
    info.nr_map_ids = ids.size();
    info.map_ids = reinterpret_cast<std::uintptr_t>(ids.data());
    std::uint32_t bytes = sizeof info;
    if (const int error = bpf_obj_get_info_by_fd(program, &info, &bytes); error != 0)
        return system_error("ask for", "the program's maps", -error);
    for (std::uint32_t i = 0; i < info.nr_map_ids; ++i) {
        UniqueFd map{bpf_map_get_fd_by_id(ids[i])};
        bpf_map_info shape{};
        bytes = sizeof shape;
        if (map && bpf_obj_get_info_by_fd(map.get(), &shape, &bytes) == 0 && wanted == shape.name) return map;
    }
    return Error{ErrorCode::kNotFound, "the program has no map " + std::string{wanted}};
}

}  // namespace

Result<ProgramClock> ProgramClock::of(ProgramUnderTest& program) {
    ProgramClock clock;
    auto control =
        MappedMemory::of_map(program.tables().descriptors().control.get(), sizeof(sluice_control), "control");
    if (!control) return control.error();
    clock.control_ = std::move(*control);
    clock.real_tick_ns_ = clock.control_.as<sluice_control>().front().tick_ns;
    clock.real_offset_ns_ = clock.control_.as<sluice_control>().front().tick_offset_ns;
    auto scratch = map_of_program(program.program(), "scratch");
    if (!scratch) return scratch.error();
    clock.scratch_ = std::move(*scratch);
    const auto shape = shape_of(clock.scratch_.get(), "scratch");
    if (!shape) return shape.error();
    const std::size_t bytes_per_cpu = (shape->value_bytes + std::size_t{7}) / 8 * 8;
    clock.nothing_.resize(bytes_per_cpu * static_cast<std::size_t>(libbpf_num_possible_cpus()));
    return clock;
}

Result<> ProgramClock::set(Nanos now) {
    if (now == now_) return {};
    now_ = now;
    sluice_control& shared = control_.as<sluice_control>().front();
    std::atomic_ref{shared.tick_ns}.store(0);
    std::atomic_ref{shared.tick_offset_ns}.store(static_cast<std::uint64_t>(now));
    return forget_reckoned();
}

Result<> ProgramClock::flow(Nanos per_tick) {
    timespec coarse{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &coarse);
    const std::uint64_t now_ns =
        static_cast<std::uint64_t>(coarse.tv_sec) * kSecond + static_cast<std::uint64_t>(coarse.tv_nsec);
    const std::uint64_t tick = (now_ns - real_offset_ns_) / real_tick_ns_;
    sluice_control& shared = control_.as<sluice_control>().front();
    std::atomic_ref{shared.tick_ns}.store(static_cast<std::uint64_t>(per_tick));
    std::atomic_ref{shared.tick_offset_ns}.store(static_cast<std::uint64_t>(now_) -
                                                 tick * static_cast<std::uint64_t>(per_tick));
    return forget_reckoned();
}

Result<Nanos> ProgramClock::stop() {
    std::vector<std::uint8_t> of_all(nothing_.size());
    const std::uint32_t first = 0;
    if (const int error = bpf_map_lookup_elem(scratch_.get(), &first, of_all.data()); error != 0)
        return system_error("read map", "scratch", -error);
    const auto processors = static_cast<std::size_t>(libbpf_num_possible_cpus());
    Nanos latest = now_;
    for (std::size_t i = 0; i < processors; ++i) {
        std::uint64_t reckoned[3];  // how struct sluice_clock begins: tick, generation, now_ns
        std::memcpy(reckoned, of_all.data() + i * (of_all.size() / processors), sizeof reckoned);
        if (reckoned[0] != 0) latest = std::max(latest, static_cast<Nanos>(reckoned[2]));
    }
    now_ = 0;  // whatever it was, time has gone on
    if (const auto done = set(latest); !done) return done.error();
    return latest;
}

// So that the next packet reckons anew.
Result<> ProgramClock::forget_reckoned() {
    const std::uint32_t first = 0;
    if (const int error = bpf_map_update_elem(scratch_.get(), &first, nothing_.data(), BPF_ANY); error != 0)
        return system_error("write map", "scratch", -error);
    return {};
}

}  // namespace sluice::test
