#include <ostream>

#include "cli/answer.hpp"
#include "cli/printable.hpp"
#include "cli/requests.hpp"
#include "cli/verbs.hpp"
#include "cli/whole_file.hpp"
#include "kernel/pcapng.hpp"

namespace sluice {
namespace {

// Blocks go on as soon as they are whole: what ends in the middle of one is still a file.
class Taker {
  public:
    explicit Taker(std::ostream* out) : out_(out) {}

    bool take(std::string_view chunk) {
        rest_ += chunk;
        const PcapngTally tally = tally_pcapng(rest_);
        const std::string_view whole = std::string_view{rest_}.substr(0, tally.whole_bytes);
        if (out_ != nullptr)
            out_->write(whole.data(), static_cast<std::streamsize>(whole.size())).flush();
        else
            file_ += whole;
        rest_.erase(0, tally.whole_bytes);
        packets_ += tally.packets;
        lost_ += tally.lost;
        ended_ = ended_ || tally.ended;
        return out_ == nullptr || out_->good();
    }
    const std::string& file() const { return file_; }
    std::string summary() const {
        std::string text = std::to_string(packets_) + (packets_ == 1 ? " packet" : " packets");
        if (lost_ > 0) text += ", " + std::to_string(lost_) + " lost";
        if (!ended_) text += ", interrupted";
        return text;
    }

  private:
    std::ostream* out_;  // null: into the file
    std::string file_;   // a capture is bounded: about 4 MB
    std::string rest_;
    std::uint64_t packets_ = 0;
    std::uint64_t lost_ = 0;
    bool ended_ = false;
};

}  // namespace

ExitCode run_capture(const Invocation& invocation, const ApiClient& client, const Screen& screen) {
    const std::string path{invocation.get("--write")};
    const bool to_output = path == "-";
    const auto usage = [&](const char* text) {
        screen.err << "sluicectl: " << text << "\n";
        return ExitCode::kUsage;
    };
    if (invocation.has("--dropped") && invocation.has("--passed"))
        return usage("--dropped or --passed, not both; neither captures both kinds");
    if (to_output && screen.is_terminal)
        return usage("-w -: standard output is a terminal, and a capture is no text");
    const auto refuse = [&](const Error& error) {
        screen.err << "sluicectl: " << printable(error.message) << "\n";
        return exit_code_of(error.code);
    };
    if (!to_output)
        if (const auto can = check_can_write(path); !can) return refuse(can.error());
    const auto request = capture_request(invocation);
    if (!request) return report_error(request.error(), client, screen);

    Taker taker{to_output ? &screen.out : nullptr};
    const auto response =
        client.download(*request, [&](std::string_view chunk) { return taker.take(chunk); });
    if (!response) return report_error(response.error(), client, screen);
    if (const ExitCode code = exit_code_of_http(response->status); code != ExitCode::kOk) {
        print_problem(response->body, response->status, screen);
        return code;
    }
    if (!to_output)
        if (const auto written = write_whole_file(path, taker.file()); !written)
            return refuse(written.error());
    screen.err << taker.summary() << (to_output ? "" : " in " + printable(path)) << "\n";
    return ExitCode::kOk;
}

}  // namespace sluice
