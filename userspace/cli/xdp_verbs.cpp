#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/printable.hpp"
#include "cli/text_table.hpp"
#include "cli/verbs.hpp"
#include "kernel/xdp_attachment.hpp"

namespace sluice {
namespace {

using Json = nlohmann::json;

Json as_json(const XdpAttachment& attachment) {
    Json packets = Json::object();
    Json bytes = Json::object();
    for (std::size_t i = 0; i < attachment.reasons.size(); ++i) {
        const auto name = std::string{kernel_reasons()[i].name};
        packets[name] = attachment.reasons[i].packets;
        bytes[name] = attachment.reasons[i].bytes;
    }
    return {{"name", attachment.state.name},
            {"ifindex", attachment.state.ifindex},
            {"mode", attachment.state.mode},
            {"via", attachment.state.via},
            {"note", attachment.state.note},
            {"attached", attachment.state.attached},
            {"program_id", attachment.program_id},
            {"pins", attachment.pin_directory},
            {"abi_version", attachment.abi_version},
            {"generation", attachment.generation},
            {"daemon_alive", attachment.daemon_alive},
            {"packets", std::move(packets)},
            {"bytes", std::move(bytes)}};
}

void show_attachments(const std::vector<XdpAttachment>& attachments, const Screen& screen) {
    TextTable table{{"INTERFACE", "MODE", "VIA", "ATTACHED", "DAEMON", ">PROGRAM", ">GENERATION", ">PASSED",
                     ">DROPPED", "PINS"}};
    for (const auto& attachment : attachments) {
        std::uint64_t passed = 0;
        std::uint64_t dropped = 0;
        for (std::size_t i = 0; i < attachment.reasons.size(); ++i)
            (kernel_reasons()[i].verdict == "drop" ? dropped : passed) += attachment.reasons[i].packets;
        const auto& state = attachment.state;
        table.add({{printable(state.name)},
                   {printable(state.mode)},
                   {printable(state.via)},
                   {state.attached ? "yes" : "no", state.attached ? Colour::kGood : Colour::kBad},
                   {attachment.daemon_alive ? "alive" : "dead",
                    attachment.daemon_alive ? Colour::kGood : Colour::kWarn},
                   {std::to_string(attachment.program_id)},
                   {std::to_string(attachment.generation)},
                   {std::to_string(passed)},
                   {std::to_string(dropped)},
                   {printable(attachment.pin_directory)}});
    }
    table.print(screen.out, screen.colours);
    for (const auto& attachment : attachments)
        if (!attachment.state.note.empty())
            screen.err << printable(attachment.state.name) << ": " << printable(attachment.state.note)
                       << "\n";
}

}  // namespace

ExitCode report_kernel_error(const Error& error, const Screen& screen) {
    screen.err << "sluicectl: " << printable(error.message) << "\n";
    if (error.code == ErrorCode::kNotPermitted) screen.err << "This needs root.\n";
    if (error.code == ErrorCode::kConflict) screen.err << "Stop the daemon first, or say --force.\n";
    // Nothing here asks the daemon: what does not answer is the kernel.
    return error.code == ErrorCode::kUnavailable ? ExitCode::kFailed : exit_code_of(error.code);
}

ExitCode run_xdp_show(const Invocation& invocation, const ApiClient&, const Screen& screen) {
    const auto attachments = show_xdp_attachments();
    if (!attachments) return report_kernel_error(attachments.error(), screen);
    if (invocation.get("--output") == "json") {
        Json list = Json::array();
        for (const auto& attachment : *attachments) list.push_back(as_json(attachment));
        screen.out << Json{{"interfaces", std::move(list)}}.dump(-1, ' ', false,
                                                                 Json::error_handler_t::replace)
                   << "\n";
    } else {
        show_attachments(*attachments, screen);
    }
    return ExitCode::kOk;
}

ExitCode run_xdp_detach(const Invocation& invocation, const ApiClient&, const Screen& screen) {
    const auto done = detach_xdp(std::string{invocation.get("--interface")}, invocation.has("--force"));
    if (!done) return report_kernel_error(done.error(), screen);
    if (invocation.get("--output") == "json") {
        screen.out << Json{{"done", *done}}.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    } else {
        for (const auto& step : *done) screen.out << printable(step) << "\n";
    }
    return ExitCode::kOk;
}

}  // namespace sluice
