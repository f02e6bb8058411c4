#include "bpf/replay.hpp"

#include <bpf/bpf.h>

#include <algorithm>

namespace sluice::test {
namespace {

// Sets in either table: see make_scenario().
constexpr std::uint32_t kSets = 1U << 16;
// What a test run of the kernel keeps of a frame in one buffer: a page, less 256 bytes before it and the
// skb_shared_info (320) behind.
constexpr std::size_t kLinearBytes = 4096 - 256 - 320;

Result<MappedMemory> map_whole(int fd, const char* name) {
    const auto shape = shape_of(fd, name);
    if (!shape) return shape.error();
    return MappedMemory::of_map(fd, std::size_t{shape->value_bytes} * shape->max_entries, name);
}

std::string text(const model::Verdict& verdict) {
    return std::string{verdict.reason} + (verdict.dropped ? ", dropped, " : ", passed on, ") +
           std::to_string(verdict.bytes) + " bytes";
}

}  // namespace

Result<std::unique_ptr<Replay>> Replay::open() {
    std::unique_ptr<Replay> replay{new Replay};
    auto program = ProgramUnderTest::open({kSets, kSets, 1U << 12});
    if (!program) return program.error();
    replay->program_ = std::move(*program);
    auto clock = ProgramClock::of(*replay->program_);
    if (!clock) return clock.error();
    replay->clock_ = std::move(*clock);
    const SharedMaps& maps = replay->program_->tables().descriptors();
    auto sources = map_whole(maps.sources.get(), "sources");
    if (!sources) return sources.error();
    auto prefixes = map_whole(maps.prefixes.get(), "prefixes");
    if (!prefixes) return prefixes.error();
    replay->sources_ = std::move(*sources);
    replay->prefixes_ = std::move(*prefixes);
    return replay;
}

Result<> Replay::put_in_force(const model::Rules& rules) {
    if (const auto done =
            program_->tables().apply(rules.kernel, rules.source_prefix, rules.never_ban, ++generation_);
        !done)
        return done.error();
    walk_.apply(rules);
    return {};
}

Result<> Replay::start(const model::Scenario& scenario) {
    KernelTables& tables = program_->tables();
    static_cast<void>(tables.tick());  // removes the bans that have expired
    const auto standing = tables.bans();
    if (!standing) return standing.error();
    for (const Ban& ban : *standing)
        if (const auto lifted = tables.lift(ban.source); !lifted) return lifted.error();
    for (const MappedMemory* table : {&sources_, &prefixes_})
        std::ranges::fill(table->as<std::uint64_t>(), 0);
    walk_ = {};
    if (const auto done = put_in_force(scenario.policies.front()); !done) return done.error();
    for (const model::OperatorBan& ban : scenario.bans) {
        const Nanos now = monotonic_now();
        const auto placed = tables.ban({ban.source, ban.duration, "replay", BanOrigin::kOperator});
        if (placed)
            walk_.ban(ban.source, now + ban.duration);
        else if (placed.error().code != ErrorCode::kConflict)  // allowed, or a trusted proxy
            return placed.error();
    }
    const auto counters = read_counters(program_->counters());
    if (!counters) return counters.error();
    counters_ = *counters;
    return {};
}

Result<model::Verdict> Replay::ask_program(const Bytes& frame) {
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<std::uint32_t>(frame.size()), .repeat = 1);
    if (const int error = bpf_prog_test_run_opts(program_->program(), &options); error != 0)
        return system_error("run", "the program", -error);
    const auto after = read_counters(program_->counters());
    if (!after) return after.error();
    model::Verdict verdict{"none", options.retval == XDP_DROP, 0};
    if (options.retval != XDP_DROP && options.retval != XDP_PASS)
        verdict.reason = "an action that is neither";
    for (std::size_t i = 0; i < kKernelReasons; ++i) {
        const std::uint64_t packets = after->reason[i].packets - counters_.reason[i].packets;
        const std::uint64_t bytes = after->reason[i].bytes - counters_.reason[i].bytes;
        if (packets == 0 && bytes == 0) continue;
        const bool once = packets == 1 && verdict.reason == "none";
        verdict.reason = once ? kernel_reasons()[i].name : "several";
        verdict.bytes += bytes;
    }
    counters_ = *after;
    return verdict;
}

// How many packets bans have dropped; of bans that go on for a while, because the others may be gone already.
Result<std::optional<Difference>> Replay::compare_bans(std::uint64_t packet) const {
    const auto standing = program_->tables().bans();
    if (!standing) return standing.error();
    std::uint64_t dropped = 0;
    for (const Ban& ban : *standing)
        if (ban.expires_in > kSecond) dropped += ban.packets;
    const std::uint64_t expected = walk_.packets_banned_until_after(monotonic_now() + kSecond);
    if (dropped == expected) return std::optional<Difference>{};
    return std::optional<Difference>{{packet, "bans dropped " + std::to_string(dropped) +
                                                  " packets, the model's " + std::to_string(expected)}};
}

Result<std::optional<Difference>> Replay::run(const model::Scenario& scenario,
                                              const std::vector<std::uint64_t>& packets) {
    if (const auto started = start(scenario); !started) return started.error();
    const std::uint64_t evicted_before = counters_.sources_evicted;
    Nanos now = monotonic_now();
    std::uint64_t next = 0;  // the packet whose gap is not in `now` yet
    std::size_t policy = 0;
    for (const std::uint64_t packet : packets) {
        for (; next <= packet; ++next) now += scenario.gap_before(next);
        if (scenario.policy_of(packet) != policy) {
            policy = scenario.policy_of(packet);
            if (const auto done = put_in_force(scenario.policies[policy]); !done) return done.error();
        }
        const Bytes frame = scenario.frame(packet);
        if (const auto set = clock_.set(now); !set) return set.error();
        const auto verdict = ask_program(frame);
        if (!verdict) return verdict.error();
        const model::Verdict expected = walk_.judge(frame, kLinearBytes, now);
        ++sums_.packets;
        ++sums_.reasons[verdict->reason];
        if (*verdict == expected) continue;
        if (counters_.sources_evicted != evicted_before) {
            ++sums_.overflows;
            return std::optional<Difference>{};
        }
        return std::optional<Difference>{
            {packet, "the program: " + text(*verdict) + "; the model: " + text(expected)}};
    }
    return compare_bans(packets.empty() ? 0 : packets.back());
}

}  // namespace sluice::test
