#include "bpf/program_under_test.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace sluice::test {

Result<std::unique_ptr<ProgramUnderTest>> ProgramUnderTest::open(const TableSizes& sizes) {
    auto created = XdpObject::open(SharedMaps{}, -1, sizes);
    if (!created) return created.error();
    if (const auto maps = created->create_maps(); !maps) return maps.error();
    auto maps = created->maps();
    if (!maps) return maps.error();
    const auto clock = created->clock_program();
    if (!clock) return clock.error();
    if (const auto initialised = initialise_control(*maps, clock->get()); !initialised)
        return initialised.error();
    auto counters = created->counters();
    if (!counters) return counters.error();

    auto object = XdpObject::open(*maps, counters->get(), {1, 1, 1});
    if (!object) return object.error();
    if (const auto loaded = object->load(); !loaded) return loaded.error();
    auto program = object->program();
    if (!program) return program.error();
    auto tables = KernelTables::open(std::move(*maps));
    if (!tables) return tables.error();
    auto under_test = std::make_unique<ProgramUnderTest>();
    under_test->program_ = std::move(*program);
    under_test->counters_ = std::move(*counters);
    under_test->tables_ = std::move(*tables);
    return under_test;
}

ReasonCounts ProgramUnderTest::counts() const {
    ReasonCounts counts{};
    const auto sum = read_counters(counters_.get());
    if (!sum) return counts;
    for (std::size_t i = 0; i < kKernelReasons; ++i)
        counts[i] = {sum->reason[i].packets, sum->reason[i].bytes};
    return counts;
}

Outcome ProgramUnderTest::run(const Bytes& frame) {
    const ReasonCounts before = counts();
    std::array<std::uint8_t, 65536> out{};
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = out.data(),
                .data_size_in = static_cast<std::uint32_t>(frame.size()), .data_size_out = out.size(),
                .repeat = 1);
    if (const int error = bpf_prog_test_run_opts(program_.get(), &options); error != 0) {
        ADD_FAILURE() << "test run of " << frame.size() << " bytes: " << strerror(-error);
        return {};
    }
    EXPECT_EQ(options.data_size_out, frame.size());
    EXPECT_TRUE(std::equal(frame.begin(), frame.end(), out.begin())) << "the program changed the packet";
    Outcome outcome{options.retval, "none", 0};
    const ReasonCounts after = counts();
    for (std::size_t i = 0; i < kKernelReasons; ++i) {
        if (after[i].packets == before[i].packets) continue;
        const bool once = outcome.reason == "none" && after[i].packets == before[i].packets + 1;
        outcome.reason = once ? std::string{kernel_reasons()[i].name} : "several";
        outcome.bytes = after[i].bytes - before[i].bytes;
    }
    return outcome;
}

std::map<std::string, std::uint64_t> ProgramUnderTest::run_many(const Bytes& frame, std::uint32_t times) {
    const ReasonCounts before = counts();
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<std::uint32_t>(frame.size()), .repeat = static_cast<int>(times));
    EXPECT_EQ(bpf_prog_test_run_opts(program_.get(), &options), 0);
    std::map<std::string, std::uint64_t> moved;
    const ReasonCounts after = counts();
    for (std::size_t i = 0; i < kKernelReasons; ++i)
        if (after[i].packets != before[i].packets)
            moved[std::string{kernel_reasons()[i].name}] = after[i].packets - before[i].packets;
    return moved;
}

void BpfTest::SetUp() {
    if (::geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
    auto program = ProgramUnderTest::open(sizes());
    if (!program && program.error().code == ErrorCode::kNotPermitted &&
        libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_XDP, nullptr) != 1)
        GTEST_SKIP() << "this kernel lets no one load XDP programs: " << program.error().message;
    ASSERT_TRUE(program) << program.error().message;
    program_ = std::move(*program);
}

void BpfTest::apply(const KernelPolicy& policy, const std::vector<IpPrefix>& never_ban,
                    std::uint64_t generation) {
    const auto applied = program_->tables().apply(policy, SourcePrefix{}, never_ban, generation);
    ASSERT_TRUE(applied) << applied.error().message;
}

void BpfTest::expect(const Bytes& frame, const std::string& reason, std::uint32_t action) {
    const Outcome outcome = program_->run(frame);
    EXPECT_EQ(outcome.reason, reason);
    EXPECT_EQ(outcome.action, action);
    EXPECT_EQ(outcome.bytes, frame.size());
}

KernelPolicy enforcing() {
    KernelPolicy policy;
    policy.mode = KernelMode::kEnforce;
    return policy;
}

IpPrefix prefix(const std::string& text) {
    const auto parsed = IpPrefix::parse(text);
    EXPECT_TRUE(parsed) << text;
    return parsed ? *parsed : IpPrefix{};
}

PacketLimit limit(PacketCount count, std::uint64_t rate, Nanos window, std::uint64_t burst) {
    PacketLimit made;
    made.name = "tested";
    made.count = count;
    made.rate = {rate, window};
    made.burst = burst;
    return made;
}

}  // namespace sluice::test
