#include "bpf/program_clock.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <atomic>
#include <cerrno>
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
    const std::uint32_t first = 0;
    if (const int error = bpf_map_update_elem(scratch_.get(), &first, nothing_.data(), BPF_ANY); error != 0)
        return system_error("write map", "scratch", -error);
    return {};
}

}  // namespace sluice::test
