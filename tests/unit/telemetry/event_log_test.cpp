#include "telemetry/event_log.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "telemetry/event_stream.hpp"
#include "telemetry/rotating_file.hpp"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using nlohmann::json;

// Long enough for a busy machine; nothing waits for all of it.
constexpr auto kPatience = 20s;

class EventLogTest : public testing::Test {
  protected:
    EventLogTest() {
        std::string path = testing::TempDir() + "sluice-log.XXXXXX";
        folder_ = ::mkdtemp(path.data());
    }
    ~EventLogTest() override { fs::remove_all(folder_); }

    EventLog::Options options() const {
        EventLog::Options options;
        options.directory = folder_ / "log";
        return options;
    }
    std::vector<json> records(const std::string& file) const {
        std::ifstream in{folder_ / "log" / file};
        std::vector<json> records;
        for (std::string line; std::getline(in, line);) records.push_back(json::parse(line));
        return records;
    }

    fs::path folder_;
};

Event error(const std::string& message) {
    return SystemError{"test", "x", message};
}

TEST_F(EventLogTest, EachCategoryHasItsFile) {
    auto log = EventLog::open(options()).value();
    log->write(error("one"));
    log->write(error("two"));
    log->write(Audit{});
    ASSERT_TRUE(log->flush(kPatience));
    const auto errors = records("error.log");
    ASSERT_EQ(errors.size(), 2U);
    EXPECT_EQ(errors[0]["message"], "test: one");
    EXPECT_EQ(errors[0]["event"]["sequence"], 1);
    EXPECT_EQ(errors[1]["event"]["sequence"], 2);
    EXPECT_EQ(records("audit.log").size(), 1U);
    for (const auto* name :
         {"auth", "ai", "assessment", "performance", "error", "decision", "ban", "audit"}) {
        struct stat status {};
        ASSERT_EQ(::stat((folder_ / "log" / (std::string{name} + ".log")).c_str(), &status), 0) << name;
        EXPECT_EQ(status.st_mode & 07777, 0640U & ~0022U) << name;
    }
    EXPECT_EQ(log->stats()[static_cast<std::size_t>(LogCategory::kError)].written, 2U);
}

TEST_F(EventLogTest, FilesRotateAndFiveAreKept) {
    auto settings = options();
    settings.max_bytes = 20'000;
    auto log = EventLog::open(settings).value();
    for (int i = 0; i < 1000; ++i) {
        log->write(error(std::to_string(i)));
        if (i % 100 == 99) {
            ASSERT_TRUE(log->flush(kPatience));
        }
    }
    ASSERT_TRUE(log->flush(kPatience));
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator{folder_ / "log"})
        if (entry.path().filename().string().starts_with("error")) {
            names.insert(entry.path().filename());
            EXPECT_LE(entry.file_size(), settings.max_bytes);
        }
    EXPECT_EQ(names, (std::set<std::string>{"error.log", "error.1.log", "error.2.log", "error.3.log",
                                            "error.4.log"}));
    // The newest records are all there, in order and whole, over the border between two files.
    auto newest = records("error.1.log");
    for (auto& record : records("error.log")) newest.push_back(std::move(record));
    EXPECT_EQ(newest.back()["event"]["sequence"], 1000);
    for (std::size_t i = 1; i < newest.size(); ++i)
        ASSERT_EQ(newest[i]["event"]["sequence"], newest[i - 1]["event"]["sequence"].get<int>() + 1);
}

TEST_F(EventLogTest, ADiskThatFailsLosesNothingThatIsNotCountedAndTold) {
    auto settings = options();
    settings.queue = 10;
    auto log = EventLog::open(settings).value();
    ASSERT_TRUE(log->flush(kPatience));
    const fs::path file = folder_ / "log" / "error.log";
    const auto error_stats = [&] { return log->stats()[static_cast<std::size_t>(LogCategory::kError)]; };
    rlimit old{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit full{100, old.rlim_max};  // every file is full at 100 bytes
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
    log->write(error("held"));
    while (error_stats().error.empty()) std::this_thread::sleep_for(1ms);
    EXPECT_NE(error_stats().error.find("error.log"), std::string::npos);
    for (int i = 0; i < 50; ++i) log->write(error(std::to_string(i)));
    EXPECT_FALSE(log->flush(1ms));
    EXPECT_EQ(error_stats().dropped, 40U);
    EXPECT_EQ(fs::file_size(file), 0U);  // nothing torn
    log->write(Audit{});                 // its own file fails as well, and is held too

    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
    ASSERT_TRUE(log->flush(kPatience));
    EXPECT_TRUE(error_stats().error.empty());
    const auto errors = records("error.log");
    ASSERT_EQ(errors.size(), 12U);  // held, ten that waited, the report
    EXPECT_EQ(errors[0]["message"], "test: held");
    EXPECT_EQ(errors[10]["message"], "test: 9");
    EXPECT_EQ(errors[11]["event"]["action"], "log-loss");
    EXPECT_EQ(errors[11]["sluice"]["count"], 40);
    EXPECT_EQ(errors[11]["sluice"]["first_sequence"], 12);
    EXPECT_EQ(errors[11]["sluice"]["last_sequence"], 51);
    EXPECT_EQ(errors[11]["event"]["sequence"], 52);
    EXPECT_EQ(records("audit.log").size(), 1U);
    EXPECT_EQ(error_stats().written, 12U);
}

TEST_F(EventLogTest, AFloodFromSeveralThreadsIsWrittenOrCounted) {
    auto settings = options();
    settings.queue = 100;
    auto log = EventLog::open(settings).value();
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 1000; ++i) log->write(error("flood"));
        });
    for (auto& thread : threads) thread.join();
    ASSERT_TRUE(log->flush(kPatience));
    std::uint64_t written = 0;
    std::uint64_t told = 0;
    std::uint64_t last = 0;
    for (const auto& record : records("error.log")) {
        const bool loss = record["event"]["action"] == "log-loss";
        if (loss) told += record["sluice"]["count"].get<std::uint64_t>();
        written += !loss;
        EXPECT_GT(record["event"]["sequence"].get<std::uint64_t>(), last);
        last = record["event"]["sequence"];
    }
    EXPECT_EQ(written + told, 4000U);
    EXPECT_EQ(told, log->stats()[static_cast<std::size_t>(LogCategory::kError)].dropped);
}

TEST_F(EventLogTest, TheStreamGetsWhatTheFileGets) {
    EventStream stream{1};
    auto subscription = stream.subscribe().value();
    auto log = EventLog::open(options(), &stream).value();
    log->write(error("Bearer abcdefgh1234"));
    ASSERT_TRUE(log->flush(kPatience));
    std::string text;
    subscription->take(text);
    EXPECT_TRUE(text.starts_with("id: 1-1\nevent: sluice.error\ndata: {\"@timestamp\"")) << text;
    EXPECT_EQ(text.find("abcdefgh1234"), std::string::npos);
}

TEST_F(EventLogTest, ClosingWritesWhatWaits) {
    {
        auto log = EventLog::open(options()).value();
        for (int i = 0; i < 500; ++i) log->write(error("x"));
    }
    EXPECT_EQ(records("error.log").size(), 500U);
}

TEST_F(EventLogTest, WrongDirectoryIsToldAtStart) {
    auto settings = options();
    settings.directory = folder_ / "missing" / "log";
    const auto missing = EventLog::open(settings);
    ASSERT_FALSE(missing);
    EXPECT_NE(missing.error().message.find(settings.directory), std::string::npos);
    std::ofstream{folder_ / "file"} << "x";
    settings.directory = folder_ / "file";
    EXPECT_FALSE(EventLog::open(settings));
}

TEST_F(EventLogTest, RotatingFileEndsATornLine) {
    const std::string path = folder_ / "a.log";
    std::ofstream{path} << "{\"torn\":";
    RotatingFile file{path, 1000, 2};
    ASSERT_TRUE(file.append("{}\n"));
    std::ifstream in{path};
    std::string first;
    std::string second;
    std::getline(in, first);
    std::getline(in, second);
    EXPECT_EQ(first, "{\"torn\":");
    EXPECT_EQ(second, "{}");
}

TEST_F(EventLogTest, AFileThatSomeoneTakesAwayIsMadeAnew) {
    const fs::path path = folder_ / "x.log";
    const auto text = [](const fs::path& file) {
        std::ifstream in{file};
        return std::string{std::istreambuf_iterator<char>{in}, {}};
    };
    RotatingFile file{path, 1000, 3};
    ASSERT_TRUE(file.append("1\n"));
    fs::remove(path);
    ASSERT_TRUE(file.append("2\n"));
    EXPECT_EQ(text(path), "2\n");
    fs::rename(path, folder_ / "moved.log");
    ASSERT_TRUE(file.append("3\n"));
    EXPECT_EQ(text(path), "3\n");
    EXPECT_EQ(text(folder_ / "moved.log"), "2\n");
}

TEST_F(EventLogTest, RotatingFileDoesNotFollowLinks) {
    std::ofstream{folder_ / "victim"} << "";
    fs::create_symlink(folder_ / "victim", folder_ / "a.log");
    RotatingFile file{folder_ / "a.log", 1000, 2};
    EXPECT_FALSE(file.append("{}\n"));
}

}  // namespace
}  // namespace sluice
