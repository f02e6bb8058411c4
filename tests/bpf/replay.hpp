// The loaded program and the model side by side: the same policies, bans and frames at the same times.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/program_clock.hpp"
#include "bpf/program_under_test.hpp"
#include "model/traffic.hpp"

namespace sluice::test {

// Over which packet the two differ, and how.
struct Difference {
    std::uint64_t packet = 0;
    std::string what;
};

// What a replay has seen so far.
struct ReplaySums {
    std::uint64_t packets = 0;
    std::uint64_t overflows = 0;  // scenarios ended early: the model knows no full table
    std::map<std::string_view, std::uint64_t> reasons;
};

class Replay {
  public:
    static Result<std::unique_ptr<Replay>> open();
    // Runs the packets of the scenario that are named, in order. Starts from empty tables. The first difference.
    Result<std::optional<Difference>> run(const model::Scenario& scenario,
                                          const std::vector<std::uint64_t>& packets);
    const ReplaySums& sums() const { return sums_; }

  private:
    Replay() = default;
    Result<> start(const model::Scenario& scenario);
    Result<> put_in_force(const model::Rules& rules);
    // What the program did, in the model's words; a reason of "several" or an action that is none is in it, too.
    Result<model::Verdict> ask_program(const Bytes& frame);
    Result<std::optional<Difference>> compare_bans(std::uint64_t packet) const;

    std::unique_ptr<ProgramUnderTest> program_;
    ProgramClock clock_;
    MappedMemory sources_, prefixes_;
    model::Walk walk_;
    std::uint64_t generation_ = 1;
    sluice_counters counters_{};
    ReplaySums sums_;
};

// A scenario that differs, with all taken from it that the difference does not need. In words, for a person.
std::string minimal_reproduction(Replay& replay, model::Scenario scenario, const Difference& difference);

}  // namespace sluice::test
