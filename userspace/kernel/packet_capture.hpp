// Example packets on request: the program copies the first bytes of packets of one source, of which it says
// the verdict and the reason, until so many were copied or the time is up. At most one capture runs.
//
// One thread (control) calls every function; none waits.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"
#include "base/result.hpp"
#include "bpf/sluice_abi.h"

namespace sluice {

enum class CapturedVerdicts : std::uint8_t { kAll, kDropped, kPassed };

struct CaptureRequest {
    IpPrefix source;
    std::uint32_t packets = 100;     // 1…kMostPackets
    Nanos duration = 10 * kSecond;   // > 0; at most kLongest
    std::uint32_t snap_bytes = 128;  // 1…kLargestSnap, of each packet from its Ethernet header on
    CapturedVerdicts verdicts = CapturedVerdicts::kAll;

    static constexpr std::uint32_t kMostPackets = 10'000;
    static constexpr Nanos kLongest = 300 * kSecond;
    static constexpr std::uint32_t kLargestSnap = SLUICE_CAPTURE_SNAP_MAX;
};

struct CapturedPacket {
    Nanos time = 0;         // CLOCK_MONOTONIC
    std::string interface;  // empty: it is gone
    std::string_view verdict;
    std::string_view reason;  // name of the kernel reason it was counted under
    std::string_view would;   // reason "shadow": what it would have been dropped for; else as `reason`
    std::uint32_t frame_bytes = 0;
    std::span<const std::uint8_t> bytes;  // at most snap_bytes; valid during the call that brings it
};

struct CaptureProgress {
    bool over = true;        // its packets are copied or its time is up
    std::uint64_t lost = 0;  // packets that were not copied because drain() came too late
};

class PacketCapture {
  public:
    PacketCapture() = default;
    PacketCapture(const PacketCapture&) = delete;
    PacketCapture& operator=(const PacketCapture&) = delete;
    virtual ~PacketCapture() = default;

    // Begins at once; one that runs ends. kInvalid: out of the ranges above, naming which.
    virtual Result<> start(const CaptureRequest& request) = 0;
    virtual void stop() = 0;
    // Readable when drain() has something. Owned by the capture.
    virtual int fd() const = 0;
    // Calls on_packet for what was copied since, in the order of arrival on each CPU.
    virtual CaptureProgress drain(const std::function<void(const CapturedPacket&)>& on_packet) = 0;
};

struct SharedMaps;

// On the program's maps, which must outlive it. A capture that an earlier process left behind ends.
Result<std::unique_ptr<PacketCapture>> open_packet_capture(const SharedMaps& maps);

}  // namespace sluice
