#include "telemetry/metrics.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <thread>

namespace sluice {
namespace {

// The value of a sample as the exposition prints it; "" if there is none.
std::string sample(const std::string& text, const std::string& series) {
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with(series + ' ')) return line.substr(series.size() + 1);
    return "";
}

std::size_t lines_with(const std::string& text, const std::string& part) {
    std::istringstream lines{text};
    std::size_t count = 0;
    for (std::string line; std::getline(lines, line);) count += line.find(part) != std::string::npos;
    return count;
}

TEST(Metrics, SumsItsWorkers) {
    Metrics metrics;
    auto& a = metrics.add_worker();
    auto& b = metrics.add_worker();
    a.request_finished("GET", "users", 200, 3 * kMillisecond);
    b.request_finished("GET", "users", 200, 20 * kSecond);
    b.request_finished("GET", "users", 429, 0);
    const auto text = metrics.scrape();
    EXPECT_EQ(sample(text, R"(api_requests_total{method="GET",endpoint="users",status="200"})"), "2");
    EXPECT_EQ(sample(text, R"(api_requests_total{method="GET",endpoint="users",status="429"})"), "1");
    const std::string histogram = "api_request_duration_seconds";
    EXPECT_EQ(sample(text, histogram + R"(_count{method="GET",endpoint="users"})"), "3");
    EXPECT_EQ(sample(text, histogram + R"(_bucket{method="GET",endpoint="users",le="0.001"})"), "1");
    EXPECT_EQ(sample(text, histogram + R"(_bucket{method="GET",endpoint="users",le="0.0025"})"), "1");
    EXPECT_EQ(sample(text, histogram + R"(_bucket{method="GET",endpoint="users",le="0.005"})"), "2");
    EXPECT_EQ(sample(text, histogram + R"(_bucket{method="GET",endpoint="users",le="10"})"), "2");
    EXPECT_EQ(sample(text, histogram + R"(_bucket{method="GET",endpoint="users",le="+Inf"})"), "3");
    EXPECT_EQ(std::stod(sample(text, histogram + R"(_sum{method="GET",endpoint="users"})")), 20.003);
}

TEST(Metrics, BoundsOfBucketsAreInclusive) {
    Metrics metrics;
    auto& worker = metrics.add_worker();
    worker.decision_duration(250);
    worker.decision_duration(251);
    worker.decision_duration(-5);
    const auto text = metrics.scrape();
    EXPECT_EQ(sample(text, R"(sluice_decision_duration_seconds_bucket{le="2.5e-07"})"), "2");
    EXPECT_EQ(sample(text, R"(sluice_decision_duration_seconds_bucket{le="5e-07"})"), "3");
}

TEST(Metrics, ClientsCannotMakeSeries) {
    Metrics metrics;
    auto& worker = metrics.add_worker();
    for (const auto* method : {"get", "PROPFIND", "X\"\n", ""}) worker.request_finished(method, "", 999, 1);
    for (unsigned status = 0; status < 100; ++status) worker.request_finished("GET", "users", status, 1);
    const auto text = metrics.scrape();
    EXPECT_EQ(sample(text, R"(api_requests_total{method="OTHER",endpoint="other",status="other"})"), "4");
    EXPECT_EQ(sample(text, R"(api_requests_total{method="GET",endpoint="users",status="other"})"), "100");
    EXPECT_EQ(lines_with(text, "api_requests_total{"), 2U);
}

TEST(Metrics, EndpointsBeyondTheBoundAreOther) {
    Metrics metrics;
    auto& worker = metrics.add_worker();
    for (int i = 0; i < 1500; ++i) worker.request_finished("GET", "route" + std::to_string(i), 200, 1);
    for (const auto* method : {"HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "X"})
        worker.request_finished(method, "more", 200, 1);
    const auto text = metrics.scrape();
    EXPECT_EQ(lines_with(text, "api_requests_total{"), 1010U);
    EXPECT_EQ(sample(text, R"(api_requests_total{method="GET",endpoint="other",status="200"})"), "500");
    EXPECT_EQ(sample(text, R"(api_requests_total{method="OTHER",endpoint="other",status="200"})"), "1");
}

TEST(Metrics, DecisionsByLimitAndVerdict) {
    Metrics metrics;
    auto& worker = metrics.add_worker();
    worker.decision("ai", LimitVerdict::kAdmitted);
    worker.decision("ai", LimitVerdict::kRefused);
    worker.decision("ai", LimitVerdict::kRefused);
    const auto text = metrics.scrape();
    EXPECT_EQ(sample(text, R"(sluice_decisions_total{limit="ai",verdict="admitted"})"), "1");
    EXPECT_EQ(sample(text, R"(sluice_decisions_total{limit="ai",verdict="refused"})"), "2");
    EXPECT_EQ(sample(text, R"(sluice_decisions_total{limit="ai",verdict="shadow"})"), "0");
}

TEST(Metrics, ModelsAreBoundedOverAllWorkersAndClean) {
    Metrics metrics;
    auto& a = metrics.add_worker();
    auto& b = metrics.add_worker();
    for (int i = 0; i < 100; ++i) (i % 2 ? a : b).ai_usage("openai", "model-" + std::to_string(i));
    a.ai_usage("claude", "claude 3\"\n{}");
    a.ai_usage("claude", std::string(500, 'x'));
    a.ai_usage("gemini", "");
    const auto text = metrics.scrape();
    EXPECT_EQ(lines_with(text, R"(ai_model_usage_total{provider="openai")"), 65U);
    EXPECT_EQ(sample(text, R"(ai_model_usage_total{provider="openai",model="other"})"), "36");
    EXPECT_EQ(sample(text, R"(ai_model_usage_total{provider="claude",model="claude_3____"})"), "1");
    EXPECT_EQ(
        sample(text, R"(ai_model_usage_total{provider="claude",model=")" + std::string(64, 'x') + "\"}"),
        "1");
    EXPECT_EQ(sample(text, R"(ai_model_usage_total{provider="gemini",model="unknown"})"), "1");
}

TEST(Metrics, CollectorsAreAskedAtEachScrape) {
    Metrics metrics;
    int packets = 0;
    metrics.add_collector([&](Samples& samples) {
        samples.add(Metric::kXdpPackets, {"eth0", "drop", "limit_udp"}, ++packets);
        samples.add(Metric::kLedgerUp, {}, 1);
    });
    const std::string series =
        R"(sluice_xdp_packets_total{interface="eth0",verdict="drop",reason="limit_udp"})";
    EXPECT_EQ(sample(metrics.scrape(), series), "1");
    EXPECT_EQ(sample(metrics.scrape(), series), "2");
    EXPECT_EQ(sample(metrics.scrape(), "sluice_ledger_up"), "1");
}

TEST(Metrics, CountsEventsOfTheControlThread) {
    Metrics metrics;
    metrics.count(Metric::kBans, {"escalation"});
    metrics.count(Metric::kBans, {"escalation"}, 2);
    const auto text = metrics.scrape();
    EXPECT_EQ(sample(text, R"(sluice_bans_total{reason="escalation"})"), "3");
    EXPECT_EQ(sample(text, "sluice_events_lost_total"), "0");
}

TEST(Metrics, ScrapesWhileWorkersCount) {
    Metrics metrics;
    constexpr int kRequests = 20'000;
    std::atomic<int> running{2};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t)
        threads.emplace_back([&, &worker = metrics.add_worker()] {
            for (int i = 0; i < kRequests; ++i)
                worker.request_finished("GET", "route" + std::to_string(i % 200), 200, i);
            --running;
        });
    std::size_t series = 0;
    while (running > 0) {
        const std::size_t now = lines_with(metrics.scrape(), "api_requests_total{");
        EXPECT_GE(now, series);
        series = now;
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(sample(metrics.scrape(), R"(api_requests_total{method="GET",endpoint="route7",status="200"})"),
              "200");
}

TEST(Metrics, TellsAboutTheProcess) {
    Metrics metrics;
    metrics.add_collector(collect_process);
    const auto text = metrics.scrape();
    EXPECT_GT(std::stod(sample(text, "process_resident_memory_bytes")), 1e6);
    EXPECT_GE(std::stod(sample(text, "process_open_fds")), 3);
    EXPECT_LT(std::stod(sample(text, "process_cpu_seconds_total")), 600);
    const double age =
        static_cast<double>(wall_now()) / 1e9 - std::stod(sample(text, "process_start_time_seconds"));
    EXPECT_GT(age, -5);
    EXPECT_LT(age, 600);
}

// One sample of every metric in the table.
std::string full_exposition() {
    Metrics metrics;
    auto& worker = metrics.add_worker();
    worker.request_finished("GET", "quote\"back\\slash", 200, kMillisecond);
    worker.decision("ai", LimitVerdict::kRefused);
    worker.decision_duration(300);
    worker.added_latency(50'000);
    worker.ai_usage("openai", "gpt-4o");
    metrics.add_collector(collect_process);
    metrics.add_collector([](Samples& samples) {
        samples.add(Metric::kActiveUsers, {}, 3);
        samples.add(Metric::kXdpPackets, {"eth0", "pass", "passed"}, 1e12);
        samples.add(Metric::kXdpBytes, {"eth0", "pass", "passed"}, 1e15);
        samples.add(Metric::kXdpWouldDrop, {"eth0", "limit_udp"}, 3);
        samples.add(Metric::kBansActive, {"kernel"}, 1);
        samples.add(Metric::kBans, {"escalation"}, 1);
        samples.add(Metric::kBpfMapEntries, {"sluice_bans"}, 1);
        samples.add(Metric::kBpfMapCapacity, {"sluice_bans"}, 65536);
        samples.add(Metric::kSyns, {}, 1);
        samples.add(Metric::kSynCookies, {}, 1);
        samples.add(Metric::kPolicyInfo, {"starguide", "0123"}, 1);
        samples.add(Metric::kPolicyApplies, {"applied"}, 1);
        samples.add(Metric::kLedgerUp, {}, 1);
        for (const Metric shared :
             {Metric::kLedgerHosts, Metric::kLedgerMessages, Metric::kLedgerWaits, Metric::kLedgerLate,
              Metric::kLedgerUnleased, Metric::kLedgerForgotten, Metric::kLedgerLosses,
              Metric::kLedgerRoundTrip, Metric::kLedgerRedirects})
            samples.add(shared, {}, 1);
        samples.add(Metric::kLedgerNodes, {"up"}, 3);
        samples.add(Metric::kFleetFacts, {"sent"}, 1);
        samples.add(Metric::kFleetPolicies, {"told"}, 1);
        for (const Metric limiter : {Metric::kLimiterKeys, Metric::kLimiterBytes, Metric::kLimiterOverflowed,
                                     Metric::kLimiterMerged, Metric::kLimiterSlots})
            samples.add(limiter, {}, 1);
        samples.add(Metric::kLogDropped, {"audit"}, 0);
        samples.add(Metric::kBuildInfo, {SLUICE_VERSION}, 1);
    });
    return metrics.scrape();
}

TEST(Metrics, ExportsTheWholeTableAndNothingElse) {
    const auto text = full_exposition();
    for (const auto& info : metric_table())
        EXPECT_EQ(
            lines_with(text, "# TYPE " + std::string{info.name} + ' ' + std::string{to_string(info.kind)}),
            1U)
            << info.name;
    EXPECT_EQ(lines_with(text, "# TYPE "), metric_table().size());
    EXPECT_EQ(lines_with(text, "# HELP "), metric_table().size());
    EXPECT_EQ(sample(text, R"(sluice_xdp_packets_total{interface="eth0",verdict="pass",reason="passed"})"),
              "1000000000000");
}

TEST(MetricTable, HelpIsOneLineAndNamesAreUnique) {
    std::set<std::string_view> names;
    for (const auto& info : metric_table()) {
        EXPECT_TRUE(names.insert(info.name).second) << info.name;
        EXPECT_FALSE(info.help.empty()) << info.name;
        EXPECT_EQ(info.help.find_first_of("\n\\"), std::string_view::npos) << info.name;
        EXPECT_EQ(info.kind == MetricKind::kHistogram, !info.bounds_ns.empty()) << info.name;
        EXPECT_TRUE(std::is_sorted(info.bounds_ns.begin(), info.bounds_ns.end())) << info.name;
        EXPECT_EQ(info.labels.empty(), info.values.empty()) << info.name;
    }
}

TEST(MetricTable, DocumentIsInStep) {
    std::ifstream file{std::filesystem::path{SLUICE_SOURCE_DIR} / "docs/metrics.md"};
    std::stringstream committed;
    committed << file.rdbuf();
    EXPECT_EQ(committed.str(), metrics_markdown()) << "run `ninja metrics_doc`";
}

TEST(Metrics, PromtoolAgrees) {
    if (std::system("command -v promtool >/dev/null") != 0)
        GTEST_SKIP() << "promtool (package prometheus) is missing";
    std::string path = testing::TempDir() + "metrics.XXXXXX";
    const int fd = ::mkstemp(path.data());
    ASSERT_GE(fd, 0);
    const auto text = full_exposition();
    ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(fd);
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe{
        ::popen(("promtool check metrics <" + path + " 2>&1").c_str(), "r"), ::pclose};
    std::string complaints;
    std::array<char, 4096> buffer{};
    while (const auto n = std::fread(buffer.data(), 1, buffer.size(), pipe.get()))
        complaints.append(buffer.data(), n);
    ::unlink(path.c_str());
    // The name the platform asked for; docs/metrics.md says so.
    EXPECT_EQ(complaints, "active_users_total non-counter metrics should not have \"_total\" suffix\n");
}

}  // namespace
}  // namespace sluice
