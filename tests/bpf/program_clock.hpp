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

  private:
    MappedMemory control_;
    UniqueFd scratch_;
    std::vector<std::uint8_t> nothing_;  // the scratch of every processor, zeroed
    Nanos now_ = 0;
};

}  // namespace sluice::test
