// Maps of the XDP program as userspace holds them: descriptors, and those that are mapped into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "bpf/sluice_abi.h"

namespace sluice {

// Memory shared with the kernel; unmapped with the object. Move-only.
class MappedMemory {
  public:
    MappedMemory() = default;
    // The values of a BPF_F_MMAPABLE array map; `name` is for the error.
    static Result<MappedMemory> of_map(int map_fd, std::size_t bytes, const std::string& name);
    MappedMemory(MappedMemory&& other) noexcept
        : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    MappedMemory& operator=(MappedMemory&& other) noexcept {
        std::swap(address_, other.address_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    MappedMemory(const MappedMemory&) = delete;
    MappedMemory& operator=(const MappedMemory&) = delete;
    ~MappedMemory();

    template <class T>
    std::span<T> as() const {
        return {static_cast<T*>(address_), bytes_ / sizeof(T)};
    }

  private:
    MappedMemory(void* address, std::size_t bytes) : address_(address), bytes_(bytes) {}
    void* address_ = nullptr;
    std::size_t bytes_ = 0;
};

// The maps that all interfaces share.
struct SharedMaps {
    UniqueFd policies, lists, control, sources, prefixes, bans, ban_filter, talkers, events, capture_request,
        captures;

    struct Named {
        const char* name;  // in the BPF object, and of the pin
        UniqueFd SharedMaps::*fd;
    };
    static std::span<const Named> all();
};

struct MapShape {
    std::uint32_t id = 0;
    std::uint32_t key_bytes = 0;
    std::uint32_t value_bytes = 0;
    std::uint32_t max_entries = 0;
};
Result<MapShape> shape_of(int map_fd, const std::string& name);

// The kernel's tick: the resolution of CLOCK_MONOTONIC_COARSE.
Nanos coarse_tick();

// Fills in magic, version, clock, sizes and a new random key. The maps are empty, and no program runs on them yet.
// clock_program: sluice_clock, loaded with these maps.
Result<> initialise_control(const SharedMaps& maps, int clock_program);

// The policy in force, or nothing yet. The maps must be of our ABI version.
Result<std::optional<sluice_policy>> read_policy_in_force(int control_fd, int policies_fd);

// Sums the counters of all CPUs. The map must be of our ABI version.
Result<sluice_counters> read_counters(int counters_fd);

}  // namespace sluice
