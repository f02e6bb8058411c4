// One capture at a time, from the kernel's copies to the bytes of a pcapng file that a client reads as they
// come.
//
// Control thread only. What waits for a slow client is bounded by the capture: at most 10,000 packets of 256
// bytes and what is said of each, about 4 MB.
#pragma once

#include <memory>
#include <string_view>

#include "api/actor.hpp"
#include "kernel/kernel_enforcer.hpp"
#include "telemetry/event_log.hpp"

namespace sluice {

class CaptureControl {
  public:
    static constexpr std::string_view kContentType = "application/x-pcapng";

    // `kernel` may be nullptr: there is nothing to capture then.
    CaptureControl(KernelEnforcer* kernel, EventLog& log);

    // The file, which ends when the packets were captured or the time is up; the capture ends when the body
    // is dropped. kConflict: another one runs. kInvalid: see CaptureRequest. kUnsupported: no interface is
    // protected.
    Result<http::StreamBody> start(const CaptureRequest& request, const Actor& actor);

    // When the kernel's fd() is readable, and once a second.
    void drain();

  private:
    struct Running;
    Result<> check() const;

    KernelEnforcer* kernel_;
    EventLog& log_;
    std::weak_ptr<Running> running_;  // owned by the body
    bool asked_ = false;              // the kernel was, and was not told to stop
};

}  // namespace sluice
