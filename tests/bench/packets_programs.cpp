// Programs by test run: every case's subjects in turn, so that what the machine does meanwhile meets all alike.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "bench/packets_bench.hpp"

namespace sluice::bench {
namespace {

constexpr int kRuns = 21;
constexpr int kPacketsPerRun = 400'000;
constexpr std::uint32_t kMillion = 0xfffff;

struct Case {
    std::string name;
    Sources sources;
    std::function<void(const Sluice&)> prepare;
    bool rivals = false;
    bool stages = false;
    unsigned verdict = XDP_PASS;
    std::uint16_t syn_port = 0;  // not 0: SYNs to this port instead of UDP
};

// The policy that the documentation shows: a wide limit, a narrow one, bans.
KernelPolicy usual_policy() {
    KernelPolicy policy;
    policy.mode = KernelMode::kEnforce;
    policy.ports = {8080};
    policy.limits = {{"packets", PacketCount::kPackets, PacketScope::kSource, {5000, kSecond}, 10'000, {}},
                     {"syn", PacketCount::kTcpSyn, PacketScope::kSource, {100, kSecond}, 200, {}}};
    policy.ban = BanRule{1'000'000, 10 * kSecond, kMinute};
    return policy;
}

// One source may send all that this processor can.
KernelPolicy policy_for_one() {
    KernelPolicy policy = usual_policy();
    policy.limits.front().rate.count = 500'000'000;
    policy.limits.front().burst = 1'000'000'000;
    return policy;
}

IpPrefix host(std::uint32_t address) {
    return {IpAddress::from_v4({static_cast<std::uint8_t>(address >> 24),
                                static_cast<std::uint8_t>(address >> 16),
                                static_cast<std::uint8_t>(address >> 8), static_cast<std::uint8_t>(address)}),
            32};
}

KernelPolicy with_denied(std::uint32_t prefixes) {
    KernelPolicy policy = usual_policy();
    for (std::uint32_t i = 0; i < prefixes; ++i)
        policy.deny.prefixes.emplace_back(host((64U << 24) + i * 512).address(), 24);
    return policy;
}

void lift_all(const Sluice& sluice) {
    for (const Ban& ban : *sluice.tables->bans())
        if (!sluice.tables->lift(ban.source)) fail("lift", EINVAL);
}

// Bans against 10.0.0.0 and up.
void ban_so_many(const Sluice& sluice, std::uint32_t count) {
    sluice.apply(usual_policy());
    for (std::uint32_t i = 0; i < count; ++i) sluice.ban(host(kTenNet + i));
}

// Listens on every address for as long as the process lives.
std::uint16_t listener_port() {
    const int socket = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    socklen_t bytes = sizeof any;
    if (socket < 0 || ::bind(socket, reinterpret_cast<const sockaddr*>(&any), bytes) != 0 ||
        ::listen(socket, 16) != 0 || ::getsockname(socket, reinterpret_cast<sockaddr*>(&any), &bytes) != 0)
        fail("listen", errno);
    return ntohs(any.sin6_port);
}

void answer_syns(const Sluice& sluice, std::uint16_t port, SynCookies mode) {
    KernelPolicy policy = usual_policy();
    policy.ports = {port};
    policy.syn_cookies = mode;
    sluice.apply(policy);
    CookieAnswers answers;
    answers.on = true;
    answers.stamped = true;
    answers.window_scale = 7;
    answers.mss_ipv4 = 1460;
    answers.mss_ipv6 = 1440;
    sluice.tables->set_cookie_answers(answers);
    const std::uint32_t first = 0;
    if (const int error = bpf_map_update_elem(bpf_map__fd(sluice.bench->skeleton->maps.syn_frame), &first,
                                              syn_frame(port).data(), BPF_ANY))
        fail("set syn_frame", -error);
}

std::vector<Case> cases() {
    const auto usual = [](const Sluice& sluice) { sluice.apply(usual_policy()); };
    const auto one_busy = [](const Sluice& sluice) { sluice.apply(policy_for_one()); };
    const auto ten_a_second = [](const Sluice& sluice) {
        KernelPolicy policy = usual_policy();
        policy.limits.front().rate = {10, kSecond};
        policy.limits.front().burst = 20;
        policy.ban.reset();
        sluice.apply(policy);
    };
    const auto with_limit = [](PacketCount count, PacketScope scope) {
        return [=](const Sluice& sluice) {
            KernelPolicy policy = usual_policy();
            policy.limits.push_back({"another", count, scope, {500'000'000, kSecond}, 1'000'000'000, {}});
            sluice.apply(policy);
        };
    };
    const auto captured = [](const Sluice& sluice) {
        sluice.apply(policy_for_one());
        if (!sluice.tables->capture().start({host(1U << 24), 1000, 300 * kSecond, 128, {}}))
            fail("start a capture", EINVAL);
    };
    const std::uint16_t port = listener_port();
    // Bans and captures of one case must not burden the next.
    return {
        {"innocent_hot", {0, kTenNet}, one_busy, true, true},
        {"innocent_hot_capture_armed", {0, kTenNet}, captured},
        {"innocent_64k",
         {0xffff, kTenNet},
         [=](const Sluice& sluice) {
             sluice.tables->capture().stop();
             usual(sluice);
         },
         true},
        {"innocent_1m", {kMillion, kTenNet}, usual, true},
        {"innocent_1m_two_limits", {kMillion, kTenNet}, with_limit(PacketCount::kUdp, PacketScope::kSource)},
        {"innocent_1m_prefix_tier",
         {kMillion, kTenNet},
         with_limit(PacketCount::kPackets, PacketScope::kPrefix)},
        {"forged_never_seen", {0xffffffff, 0}, usual, true},
        {"over_its_limit", {0, kTenNet}, ten_a_second, true, false, XDP_DROP},
        {"innocent_1m_100k_denied",
         {kMillion, kTenNet},
         [](const Sluice& sluice) { sluice.apply(with_denied(100'000)); }},
        {"denied_of_1k",
         {0x1fe00, 64U << 24},
         [](const Sluice& sluice) { sluice.apply(with_denied(1000)); },
         false,
         false,
         XDP_DROP},
        {"denied_of_100k",
         {0x1fffe00, 64U << 24},
         [](const Sluice& sluice) { sluice.apply(with_denied(100'000)); },
         false,
         false,
         XDP_DROP},
        {"syn_passed_1m",
         {kMillion, kTenNet},
         [=](const Sluice& sluice) { answer_syns(sluice, port, SynCookies::kOff); },
         false,
         false,
         XDP_PASS,
         port},
        {"syn_answered_1m",
         {kMillion, kTenNet},
         [=](const Sluice& sluice) { answer_syns(sluice, port, SynCookies::kAlways); },
         false,
         false,
         XDP_TX,
         port},
        {"banned_alone",
         {0, kTenNet},
         [](const Sluice& sluice) {
             sluice.tables->set_cookie_answers({});
             ban_so_many(sluice, 1);
         },
         false,
         false,
         XDP_DROP},
        {"innocent_1m_beside_a_ban", {kMillion, kTenNet + 1}, usual},
        {"banned_of_100k",
         {0, kTenNet},
         [](const Sluice& sluice) { ban_so_many(sluice, 100'000); },
         false,
         false,
         XDP_DROP},
        {"banned_any_of_100k", {0xffff, kTenNet}, usual, false, false, XDP_DROP},
        {"innocent_1m_beside_100k_bans", {kMillion, kTenNet + (1U << 20)}, usual},
    };
}

// Of 1 million the program lets a SYN in 256 through to the kernel, so the last one may be such.
bool may_differ(const Case& one) {
    return one.verdict == XDP_TX;
}

nlohmann::json row(const std::string& name, const std::string& subject, const std::string& metric,
                   std::vector<double> values) {
    std::ranges::sort(values);
    const auto at = [&](std::size_t percent) { return values[(values.size() - 1) * percent / 100]; };
    return {{"suite", "packets"},   {"case", name},  {"subject", subject}, {"metric", metric},
            {"value", at(50)},      {"unit", "ns"},  {"runs", kRuns},      {"min", values.front()},
            {"max", values.back()}, {"p10", at(10)}, {"p90", at(90)}};
}

void measure(const Sluice& sluice, const Case& one, nlohmann::json& rows) {
    const Bench& bench = *sluice.bench;
    const auto& programs = bench.skeleton->progs;
    const int empty = bpf_program__fd(programs.empty_xdp);
    bpf_program* const front = one.syn_port != 0 ? programs.front_syn_xdp : programs.front_xdp;
    std::map<std::string, int> subjects{{"sluice", sluice.program.get()}};
    if (one.rivals)
        for (const auto& [subject, program] : {std::pair{"lru_hash", programs.lru_xdp},
                                               {"lru_hash_own_lists", programs.lru_own_lists_xdp},
                                               {"lru_hash_percpu", programs.lru_percpu_xdp},
                                               {"lru_token_bucket", programs.bucket_xdp}})
            subjects.emplace(subject, bpf_program__fd(program));
    // The token bucket has its own limit, which one source alone is over.
    if (one.sources.mask == 0) subjects.erase("lru_token_bucket");
    if (one.stages)
        for (const auto& [stage, program] : {std::pair{"stage 1: count", programs.count_xdp},
                                             {"stage 2: parse", programs.parse_xdp},
                                             {"stage 3: lists, clock", programs.lists_xdp}})
            subjects.emplace(stage, bpf_program__fd(program));
    const auto run = [&](int subject, int packets) {
        unsigned verdict = 0;
        const double ns = bench.run(front, subject, one.sources, packets, &verdict);
        if (verdict != (subject == empty ? static_cast<unsigned>(XDP_PASS) : one.verdict) && !may_differ(one))
            fail(one.name + ": another verdict than expected", EINVAL);
        return ns;
    };
    const auto warm_up = [&](int subject) {
        unsigned ignored = 0;
        static_cast<void>(bench.run(front, subject, one.sources, 6 * kPacketsPerRun, &ignored));
    };
    // Every source is known before the clock runs; for sources that never repeat, the tables are full.
    for (const auto& [subject, program] : subjects) warm_up(program);
    std::map<std::string, std::vector<double>> over;
    for (int i = 0; i < kRuns; ++i) {
        const double baseline = run(empty, kPacketsPerRun);
        over["empty"].push_back(baseline);
        for (const auto& [subject, program] : subjects) {
            // What the subject before left in the caches is not this one's fault.
            if (one.sources.mask != 0) run(program, kPacketsPerRun);
            over[subject].push_back(run(program, kPacketsPerRun) - baseline);
        }
    }
    for (const auto& [subject, values] : over)
        if (subject.starts_with("stage"))
            rows.push_back(row(one.name + ", " + subject, "sluice", "ns_per_packet_over_empty", values));
        else
            rows.push_back(row(one.name, subject,
                               subject == "empty" ? "ns_per_packet_with_harness" : "ns_per_packet_over_empty",
                               values));
}

}  // namespace

int run_programs(const std::string& only) {
    const Sluice sluice;
    nlohmann::json rows = nlohmann::json::array();
    for (const Case& one : cases()) {
        if (!only.empty() && one.name != only) continue;
        one.prepare(sluice);
        measure(sluice, one, rows);
    }
    lift_all(sluice);
    std::cout << rows.dump(1) << "\n";
    return rows.empty() ? 2 : 0;
}

}  // namespace sluice::bench
