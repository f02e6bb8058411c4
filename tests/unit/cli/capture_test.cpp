// sluicectl capture against a fake daemon: what it asks, what lands where, what it exits with.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "fake_daemon.hpp"
#include "kernel/pcapng.hpp"

namespace sluice {
namespace {

namespace fs = std::filesystem;

class CaptureVerb : public testing::Test {
  protected:
    CaptureVerb() {
        std::string pattern = testing::TempDir() + "sluice-capture-XXXXXX";
        folder_ = ::mkdtemp(pattern.data());
        file_ = folder_ / "attack.pcapng";
    }
    ~CaptureVerb() override { fs::remove_all(folder_); }

    static std::string pcapng(int packets, std::uint64_t lost) {
        std::string bytes;
        PcapngWriter writer;
        writer.begin(bytes, "test", 128, {"eth0"});
        const std::vector<std::uint8_t> frame(60, 7);
        for (int i = 0; i < packets; ++i) writer.packet(bytes, {"eth0", 1, 60, frame, "verdict=drop"});
        writer.end(bytes, 2, lost);
        return bytes;
    }
    // As the daemon sends it, in pieces that end anywhere.
    static std::string streamed(const std::string& bytes, bool whole = true) {
        std::string text =
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-pcapng\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (std::size_t at = 0; at < bytes.size(); at += 50) text += chunk(bytes.substr(at, 50));
        return text + (whole ? "0\r\n\r\n" : "");
    }
    std::string read() const {
        std::ostringstream text;
        text << std::ifstream{file_, std::ios::binary}.rdbuf();
        return text.str();
    }
    bool nothing_left() const { return fs::is_empty(folder_); }

    fs::path folder_;
    fs::path file_;
};

TEST_F(CaptureVerb, TheFileIsWhatTheDaemonSent) {
    FakeDaemon daemon{{streamed(pcapng(3, 0))}};
    const Outcome outcome = sluicectl(daemon.path(), {"capture", "192.0.2.1", "-w", file_, "--packets", "3",
                                                      "--for", "1m", "--snap", "64", "--dropped"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err, "3 packets in " + file_.string() + "\n");
    EXPECT_EQ(read(), pcapng(3, 0));
    struct stat made {};
    ASSERT_EQ(::stat(file_.c_str(), &made), 0);
    EXPECT_EQ(made.st_mode & 0777, 0600U) << "packets hold what users send";
    const auto& request = daemon.requests().at(0);
    EXPECT_EQ(request.method_string(), "POST");
    EXPECT_EQ(request.target(), "/v1/capture");
    EXPECT_EQ(request.body(),
              R"({"packets":3,"seconds":60,"snap":64,"source":"192.0.2.1","verdict":"dropped"})");
}

TEST_F(CaptureVerb, StandardOutputIsTheFileAndNothingElse) {
    const Outcome outcome = ask(streamed(pcapng(1, 4)), {"capture", "2001:db8::/64", "-w", "-"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, pcapng(1, 4));
    EXPECT_EQ(outcome.err, "1 packet, 4 lost\n");
}

TEST_F(CaptureVerb, WhatWasThereIsReplacedByAWholeFileOnly) {
    std::ofstream{file_} << "before";
    EXPECT_EQ(ask(streamed(pcapng(3, 0), false), {"capture", "192.0.2.1", "-w", file_}).code, 5);
    EXPECT_EQ(read(), "before") << "the daemon went away";
    EXPECT_EQ(ask(streamed(pcapng(2, 0)), {"capture", "192.0.2.1", "-w", file_}).code, 0);
    EXPECT_EQ(read(), pcapng(2, 0));
    EXPECT_EQ(std::distance(fs::directory_iterator{folder_}, fs::directory_iterator{}), 1);
}

TEST_F(CaptureVerb, RefusalsOfTheDaemonLeaveNoFile) {
    for (const auto& [status, code] : {std::pair{400, 7}, {403, 4}, {409, 6}, {501, 1}}) {
        const Outcome outcome =
            ask(answer(status, R"({"title":"T","detail":"why"})"), {"capture", "192.0.2.1", "-w", file_});
        EXPECT_EQ(outcome.code, code) << status;
        EXPECT_EQ(outcome.err, "sluicectl: T: why\n");
        EXPECT_TRUE(nothing_left());
    }
    EXPECT_EQ(sluicectl("/nonexistent/s", {"capture", "192.0.2.1", "-w", file_}).code, 5);
    EXPECT_TRUE(nothing_left());
}

TEST_F(CaptureVerb, MistakesAreToldBeforeAnythingIsAsked) {
    struct Case {
        std::vector<std::string> arguments;
        int code;
        std::string named;
    };
    const std::string file = file_;
    for (const Case& one :
         std::vector<Case>{{{"192.0.2.1"}, 2, "--write"},
                           {{"192.0.2.1", "-w", file, "--dropped", "--passed"}, 2, "--passed"},
                           {{"nonsense", "-w", file}, 7, "nonsense"},
                           {{"192.0.2.1/24", "-w", file}, 7, "192.0.2.1/24"},
                           {{"192.0.2.1", "-w", file, "--packets", "0"}, 7, "--packets"},
                           {{"192.0.2.1", "-w", file, "--packets", "10001"}, 7, "10000"},
                           {{"192.0.2.1", "-w", file, "--snap", "257"}, 7, "256"},
                           {{"192.0.2.1", "-w", file, "--for", "soon"}, 7, "--for"},
                           {{"192.0.2.1", "-w", "/dev/null"}, 7, "/dev/null"},
                           {{"192.0.2.1", "-w", folder_}, 7, folder_},
                           {{"192.0.2.1", "-w", "/nonexistent/x"}, 3, "/nonexistent"},
                           {{"192.0.2.1", "-w", ""}, 7, "name"}}) {
        std::vector<std::string> arguments{"capture"};
        arguments.insert(arguments.end(), one.arguments.begin(), one.arguments.end());
        const Outcome outcome = sluicectl("/nonexistent/socket", arguments);
        EXPECT_EQ(outcome.code, one.code) << outcome.err;
        EXPECT_NE(outcome.err.find(one.named), std::string::npos) << outcome.err;
        EXPECT_TRUE(nothing_left());
    }
    const Outcome terminal = sluicectl("/nonexistent/socket", {"capture", "192.0.2.1", "-w", "-"}, true);
    EXPECT_EQ(terminal.code, 2);
    EXPECT_NE(terminal.err.find("terminal"), std::string::npos) << terminal.err;
}

}  // namespace
}  // namespace sluice
