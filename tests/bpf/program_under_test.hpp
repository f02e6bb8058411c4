// The real program with real maps, attached to nothing and pinned nowhere: packets go in by
// BPF_PROG_TEST_RUN.
#pragma once

#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <map>
#include <memory>
#include <string>

#include "bpf/packet_builder.hpp"
#include "kernel/kernel_tables.hpp"
#include "kernel/xdp_program.hpp"

namespace sluice::test {

struct Outcome {
    std::uint32_t action = 0;  // XDP_PASS, XDP_DROP
    std::string reason;        // the one whose counter moved; "none" or "several" if the program is broken
    std::uint64_t bytes = 0;   // by which it moved
};

class ProgramUnderTest {
  public:
    static Result<std::unique_ptr<ProgramUnderTest>> open(const TableSizes& sizes);

    Outcome run(const Bytes& frame);
    // The same frame many times in one call; returns packets by reason.
    std::map<std::string, std::uint64_t> run_many(const Bytes& frame, std::uint32_t times);
    ReasonCounts counts() const;
    KernelTables& tables() { return *tables_; }
    int program() const { return program_.get(); }
    int counters() const { return counters_.get(); }
    const sluice_counters statistics() const { return *read_counters(counters_.get()); }

  private:
    UniqueFd program_;
    UniqueFd counters_;
    std::unique_ptr<KernelTables> tables_;
};

// Skips with the reason where BPF can't be had; fails where it can, but the program does not load.
class BpfTest : public ::testing::Test {
  protected:
    void SetUp() override;
    void apply(const KernelPolicy& policy, const std::vector<IpPrefix>& never_ban = {},
               std::uint64_t generation = 1);
    void expect(const Bytes& frame, const std::string& reason, std::uint32_t action);
    void expect_pass(const Bytes& frame, const std::string& reason) { expect(frame, reason, XDP_PASS); }
    void expect_drop(const Bytes& frame, const std::string& reason) { expect(frame, reason, XDP_DROP); }

    virtual TableSizes sizes() const { return {1U << 10, 1U << 8, 1U << 10}; }
    std::unique_ptr<ProgramUnderTest> program_;
};

KernelPolicy enforcing();
IpPrefix prefix(const std::string& text);
PacketLimit limit(PacketCount count, std::uint64_t rate, Nanos window, std::uint64_t burst);

}  // namespace sluice::test
