// The time that the program under test reads.
#pragma once

#include <vector>

#include "base/clock.hpp"
#include "bpf/program_under_test.hpp"
#include "kernel/bpf_maps.hpp"

namespace sluice::test {

// The program reckons its time from the kernel's ticks by two numbers in the control map, and keeps what it has reckoned
// until the next tick. Here a tick lasts no time, and what it has kept is taken away.
class ProgramClock {
  public:
    static Result<ProgramClock> of(ProgramUnderTest& program);
    // The time at which packets are judged from now on.
    Result<> set(Nanos now);
    // Lets time go on from there, by `per_tick` with each tick of the kernel. No packet may be under way.
    Result<> flow(Nanos per_tick);
    // Ends that at the latest time any processor has judged a packet at, which it returns. No packet may be under way.
    Result<Nanos> stop();

  private:
    Result<> forget_reckoned();

    MappedMemory control_;
    std::uint64_t real_tick_ns_ = 0, real_offset_ns_ = 0;  // as the program was given them
    UniqueFd scratch_;
    std::vector<std::uint8_t> nothing_;  // the scratch of every processor, zeroed
    Nanos now_ = 0;
};

}  // namespace sluice::test
