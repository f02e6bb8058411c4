#include "kernel/bpf_maps.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include <array>
#include <cerrno>
#include <vector>

#include "kernel/kernel_plan.hpp"

namespace sluice {

Result<MappedMemory> MappedMemory::of_map(int map_fd, std::size_t bytes, const std::string& name) {
    void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
    if (address == MAP_FAILED) return system_error("map into memory", name, errno);
    return MappedMemory{address, bytes};
}

MappedMemory::~MappedMemory() {
    if (address_ != nullptr) ::munmap(address_, bytes_);
}

std::span<const SharedMaps::Named> SharedMaps::all() {
    static constexpr std::array<Named, 11> kAll = {{
        {"policies", &SharedMaps::policies},
        {"lists", &SharedMaps::lists},
        {"control", &SharedMaps::control},
        {"sources", &SharedMaps::sources},
        {"prefixes", &SharedMaps::prefixes},
        {"bans", &SharedMaps::bans},
        {"ban_filter", &SharedMaps::ban_filter},
        {"talkers", &SharedMaps::talkers},
        {"events", &SharedMaps::events},
        {"capture_request", &SharedMaps::capture_request},
        {"captures", &SharedMaps::captures},
    }};
    return kAll;
}

Result<MapShape> shape_of(int map_fd, const std::string& name) {
    bpf_map_info info{};
    std::uint32_t bytes = sizeof info;
    const int error = bpf_obj_get_info_by_fd(map_fd, &info, &bytes);
    if (error != 0) return system_error("ask for map", name, -error);
    return MapShape{info.id, info.key_size, info.value_size, info.max_entries};
}

Nanos coarse_tick() {
    timespec resolution{};
    ::clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
    return resolution.tv_sec * kSecond + resolution.tv_nsec;
}

Result<> initialise_control(const SharedMaps& maps, int clock_program) {
    sluice_control control{};
    control.magic = SLUICE_ABI_MAGIC;
    control.abi_version = SLUICE_ABI_VERSION;
    control.tick_ns = static_cast<std::uint64_t>(coarse_tick());
    if (::getrandom(control.hash_key, sizeof control.hash_key, 0) != sizeof control.hash_key)
        return system_error("draw", "hash key", errno);
    const std::array<std::pair<const char*, int>, 2> tables{
        {{"sources", maps.sources.get()}, {"prefixes", maps.prefixes.get()}}};
    for (std::size_t scope = 0; scope < tables.size(); ++scope) {
        const auto shape = shape_of(tables[scope].second, tables[scope].first);
        if (!shape) return shape.error();
        for (std::size_t group = 0; group < SLUICE_GROUPS; ++group)
            control.regions[group][scope] = region_of(shape->max_entries, group);
    }
    const auto filter = shape_of(maps.ban_filter.get(), "ban_filter");
    if (!filter) return filter.error();
    control.ban_filter_mask = filter->max_entries - 1;
    const std::uint32_t first = 0;
    const int error = bpf_map_update_elem(maps.control.get(), &first, &control, BPF_ANY);
    if (error != 0) return system_error("write map", "control", -error);
    const std::array<std::uint8_t, 64> frame{};  // a test run wants a packet
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame.data(), .data_size_in = frame.size());
    if (const int failed = bpf_prog_test_run_opts(clock_program, &run); failed != 0)
        return system_error("run", "sluice_clock", -failed);
    return {};
}

Result<std::optional<sluice_policy>> read_policy_in_force(int control_fd, int policies_fd) {
    const std::uint32_t first = 0;
    sluice_control control{};
    if (const int error = bpf_map_lookup_elem(control_fd, &first, &control); error != 0)
        return system_error("read map", "control", -error);
    if (control.active == 0) return std::optional<sluice_policy>{};
    const std::uint32_t slot = control.active - 1;
    sluice_policy policy{};
    if (const int error = bpf_map_lookup_elem(policies_fd, &slot, &policy); error != 0)
        return system_error("read map", "policies", -error);
    return std::optional{policy};
}

Result<sluice_counters> read_counters(int counters_fd) {
    const int cpus = libbpf_num_possible_cpus();
    if (cpus < 0) return system_error("count", "processors", -cpus);
    std::vector<sluice_counters> per_cpu(static_cast<std::size_t>(cpus));
    const std::uint32_t first = 0;
    const int error = bpf_map_lookup_elem(counters_fd, &first, per_cpu.data());
    if (error != 0) return system_error("read map", "counters", -error);
    sluice_counters sum{};
    for (const sluice_counters& one : per_cpu) {
        for (std::size_t i = 0; i < SLUICE_REASON_COUNT; ++i) {
            sum.reason[i].packets += one.reason[i].packets;
            sum.reason[i].bytes += one.reason[i].bytes;
            sum.would[i].packets += one.would[i].packets;
            sum.would[i].bytes += one.would[i].bytes;
        }
        sum.events_lost += one.events_lost;
        sum.bans_refused += one.bans_refused;
        sum.sources_evicted += one.sources_evicted;
        sum.newcomers_skipped += one.newcomers_skipped;
        sum.claims_lost += one.claims_lost;
        sum.charge_retries += one.charge_retries;
        sum.syns += one.syns;
    }
    return sum;
}

}  // namespace sluice
