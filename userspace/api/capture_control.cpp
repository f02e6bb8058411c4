#include "api/capture_control.hpp"

#include <utility>

#include "kernel/pcapng.hpp"

namespace sluice {
namespace {

std::string comment_of(const CapturedPacket& packet) {
    std::string comment = "verdict=" + std::string{packet.verdict} + " reason=" + std::string{packet.reason};
    if (packet.would != packet.reason) comment += " would=" + std::string{packet.would};
    return comment;
}

std::string describe(const CaptureRequest& request) {
    return std::to_string(request.packets) + " packets, " + std::to_string(request.duration / kSecond) +
           " s, " + std::to_string(request.snap_bytes) + " bytes of each";
}

}  // namespace

struct CaptureControl::Running {
    PcapngWriter writer;
    Nanos since_1970 = 0;  // of CLOCK_MONOTONIC's zero
    std::string waiting;
    bool over = false;
    std::function<void()> wake;
};

CaptureControl::CaptureControl(KernelEnforcer* kernel, EventLog& log) : kernel_(kernel), log_(log) {}

Result<> CaptureControl::check() const {
    if (kernel_ == nullptr)
        return Error{ErrorCode::kUnsupported, "no interface is protected, so there is nothing to capture"};
    if (const auto running = running_.lock(); running && !running->over)
        return Error{ErrorCode::kConflict, "a capture runs already; there is one at a time"};
    return {};
}

Result<http::StreamBody> CaptureControl::start(const CaptureRequest& request, const Actor& actor) {
    auto started = check();
    if (started) started = kernel_->capture().start(request);
    // Packets hold what users send: who looked at whose is kept.
    log_.write(audit_of(actor, Audit::Action::kCaptureStarted, started.has_value(),
                        request.source.to_string(), started ? describe(request) : started.error().message));
    if (!started) return started.error();

    const auto running = std::make_shared<Running>();
    std::vector<std::string> interfaces;
    for (const InterfaceState& state : kernel_->interfaces()) interfaces.push_back(state.name);
    running->writer.begin(running->waiting, "sluiced " SLUICE_VERSION, request.snap_bytes, interfaces);
    running->since_1970 = wall_now() - monotonic_now();
    running_ = running;
    asked_ = true;
    return http::StreamBody{
        .take = [running](std::string& out) { out.append(std::exchange(running->waiting, {})); },
        .on_ready = [running](std::function<void()> wake) { running->wake = std::move(wake); },
        .over = [running] { return running->over; },
        .heartbeat = {}};
}

void CaptureControl::drain() {
    if (kernel_ == nullptr) return;
    const auto running = running_.lock();  // null: the client has gone
    const CaptureProgress progress = kernel_->capture().drain([&](const CapturedPacket& packet) {
        if (!running || running->over) return;
        running->writer.packet(running->waiting, {packet.interface, packet.time + running->since_1970,
                                                  packet.frame_bytes, packet.bytes, comment_of(packet)});
    });
    if (!asked_) return;
    if (!running || progress.over) {
        kernel_->capture().stop();
        asked_ = false;
    }
    if (!running) return;
    if (progress.over) {
        running->writer.end(running->waiting, wall_now(), progress.lost);
        running->over = true;
    }
    if (running->wake && !running->waiting.empty()) running->wake();
}

}  // namespace sluice
