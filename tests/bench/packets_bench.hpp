// What the two halves of packets_bench share: the programs that are measured, and Sluice's with its maps.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bpf/packets_bench.skel.h"
#include "kernel/kernel_tables.hpp"
#include "kernel/xdp_program.hpp"

namespace sluice::bench {

[[noreturn]] void fail(const std::string& what, int error);

// To UDP port 8080.
std::vector<std::uint8_t> udp_frame();
// As Linux asks for a connection.
std::vector<std::uint8_t> syn_frame(std::uint16_t port);

constexpr std::uint32_t kTenNet = 10U << 24;

// Sources are drawn from [first, first + mask].
struct Sources {
    std::uint32_t mask;
    std::uint32_t first;
};

// A million sources fill Sluice's table to the last entry.
constexpr TableSizes kTables{1U << 17, 1U << 14, 1U << 17};

struct Bench {
    packets_bench* skeleton = nullptr;
    MappedMemory memory;

    // The programs read the policy and count in the maps of `shared`, if given. The rivals' maps take half a GB.
    explicit Bench(const SharedMaps* shared, bool rivals);
    ~Bench();
    Bench(const Bench&) = delete;
    Bench& operator=(const Bench&) = delete;

    std::uint64_t* range() const { return memory.as<std::uint64_t>().data(); }
    // Nanoseconds a packet that `front` makes and the program `subject` ends; `verdict` is the last one's.
    double run(bpf_program* front, int subject, const Sources& sources, int packets, unsigned* verdict) const;
};

// The program, attached to nothing, its maps, and beside it the programs it is measured against.
struct Sluice {
    UniqueFd program;
    std::unique_ptr<KernelTables> tables;
    std::unique_ptr<Bench> bench;

    Sluice();
    void apply(const KernelPolicy& policy) const;
    void ban(const IpPrefix& source) const;
};

// Rows of all cases, or of one, as JSON.
int run_programs(const std::string& only);
// Sends frames out of an interface at full speed, from the processor it is put on, and prints nanoseconds a frame.
int flood(std::uint32_t ifindex, int packets, std::uint32_t mask);
struct Stream {
    std::uint32_t ifindex;
    std::string mac, address;    // whom it is for
    std::uint32_t source_mask;   // sources are 10.0.0.0 and up
    std::uint32_t frames_per_s;  // 0: as many as can be
    std::uint32_t seconds;
};
// UDP that a host takes for what it is, for so long; prints frames and seconds as JSON.
int stream(const Stream& wanted);
// Attaches `drop`, or `lru` or `sluice` with a limit of 6/m a source, or `sluice_udp` with one of 10/s on UDP, and stays until its input ends; then prints how
// many packets that dropped, or -1.
int hold(const std::string& subject, const std::string& interface, unsigned ifindex, std::uint64_t burst);

}  // namespace sluice::bench
