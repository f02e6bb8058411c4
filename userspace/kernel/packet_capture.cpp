#include "kernel/packet_capture.hpp"

#include <bpf/libbpf.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <utility>

#include "kernel/abi_convert.hpp"
#include "kernel/bpf_maps.hpp"
#include "kernel/kernel_enforcer.hpp"

namespace sluice {
namespace {

Result<> check(const CaptureRequest& request) {
    const auto invalid = [](std::string what, std::uint64_t most) {
        return Error{ErrorCode::kInvalid,
                     "capture: " + std::move(what) + "; allowed: 1 to " + std::to_string(most)};
    };
    if (request.packets < 1 || request.packets > CaptureRequest::kMostPackets)
        return invalid(std::to_string(request.packets) + " packets", CaptureRequest::kMostPackets);
    if (request.duration < 1 || request.duration > CaptureRequest::kLongest)
        return invalid(std::to_string(request.duration / kSecond) + " seconds",
                       CaptureRequest::kLongest / kSecond);
    if (request.snap_bytes < 1 || request.snap_bytes > CaptureRequest::kLargestSnap)
        return invalid(std::to_string(request.snap_bytes) + " bytes of a packet",
                       CaptureRequest::kLargestSnap);
    return {};
}

std::uint8_t to_abi(CapturedVerdicts verdicts) {
    switch (verdicts) {
        case CapturedVerdicts::kAll:
            break;
        case CapturedVerdicts::kDropped:
            return SLUICE_CAPTURE_DROPPED;
        case CapturedVerdicts::kPassed:
            return SLUICE_CAPTURE_PASSED;
    }
    return SLUICE_CAPTURE_DROPPED | SLUICE_CAPTURE_PASSED;
}

const KernelReason& reason_of(std::uint8_t number) {
    return kernel_reasons()[std::min<std::size_t>(number, SLUICE_INTERNAL_ERROR)];
}

class BpfCapture final : public PacketCapture {
  public:
    ~BpfCapture() override {
        stop();
        ring_buffer__free(ring_);
    }

    Result<> open(const SharedMaps& maps) {
        auto control = MappedMemory::of_map(maps.control.get(), sizeof(sluice_control), "control");
        if (!control) return control.error();
        control_ = std::move(*control);
        auto wanted =
            MappedMemory::of_map(maps.capture_request.get(), sizeof(sluice_capture), "capture_request");
        if (!wanted) return wanted.error();
        wanted_ = std::move(*wanted);
        const auto on_sample = [](void* context, void* data, std::size_t bytes) {
            return static_cast<BpfCapture*>(context)->take(data, bytes);
        };
        ring_ = ring_buffer__new(maps.captures.get(), on_sample, this, nullptr);
        if (ring_ == nullptr) return system_error("open ring buffer", "captures", errno);
        // Numbers go on from the process before, so that its packets are told from ours.
        number_ = wanted_.as<sluice_capture>().front().number;
        stop();
        return {};
    }

    Result<> start(const CaptureRequest& request) override {
        if (const auto checked = check(request); !checked) return checked;
        stop();
        sluice_capture& wanted = wanted_.as<sluice_capture>().front();
        wanted.number = 0;  // a CPU that is still in the one before finds that it is over
        std::atomic_thread_fence(std::memory_order_seq_cst);
        const bool ipv4 = request.source.is_v4();
        wanted.mask = mask_of(ipv4, request.source.length());
        wanted.address = masked(sluice::to_abi(request.source.address()), wanted.mask);
        wanted.until_ns = static_cast<std::uint64_t>(monotonic_now() + request.duration);
        wanted.lost = 0;
        wanted.left = static_cast<std::int32_t>(request.packets);
        wanted.snap_bytes = request.snap_bytes;
        wanted.verdicts = to_abi(request.verdicts);
        wanted.family = ipv4 ? SLUICE_IPV4 : SLUICE_IPV6;
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (++number_ == 0) ++number_;
        wanted.number = number_;
        asked_ = request.packets;
        taken_ = 0;
        capturing().store(number_);
        return {};
    }

    void stop() override {
        if (wanted_.as<sluice_capture>().empty()) return;
        capturing().store(0);
    }

    int fd() const override { return ring_buffer__epoll_fd(ring_); }

    CaptureProgress drain(const std::function<void(const CapturedPacket&)>& on_packet) override {
        const sluice_capture& wanted = wanted_.as<sluice_capture>().front();
        // Asked before the ring is read, so that nothing is left in it when the answer is yes.
        const bool late = monotonic_now() >= static_cast<Nanos>(wanted.until_ns);
        on_packet_ = &on_packet;
        static_cast<void>(ring_buffer__consume(ring_));
        on_packet_ = nullptr;
        return {late || taken_ >= asked_, wanted.lost};
    }

  private:
    std::atomic_ref<std::uint32_t> capturing() {
        return std::atomic_ref<std::uint32_t>{control_.as<sluice_control>().front().capturing};
    }

    int take(const void* data, std::size_t bytes) {
        if (bytes < sizeof(sluice_captured)) return 0;
        const auto& copy = *static_cast<const sluice_captured*>(data);
        if (copy.number != number_) return 0;
        ++taken_;
        std::array<char, IF_NAMESIZE> name{};
        CapturedPacket packet;
        packet.time = static_cast<Nanos>(copy.time_ns);
        if (::if_indextoname(copy.ifindex, name.data()) != nullptr) packet.interface = name.data();
        packet.verdict = reason_of(copy.reason).verdict;
        packet.reason = reason_of(copy.reason).name;
        packet.would = reason_of(copy.would).name;
        packet.frame_bytes = copy.frame_bytes;
        packet.bytes = std::span{copy.data}.first(std::min<std::size_t>(copy.bytes, sizeof copy.data));
        (*on_packet_)(packet);
        return 0;
    }

    MappedMemory control_;
    MappedMemory wanted_;
    ring_buffer* ring_ = nullptr;
    const std::function<void(const CapturedPacket&)>* on_packet_ = nullptr;  // during drain()
    std::uint32_t number_ = 0;
    std::uint32_t asked_ = 0;
    std::uint32_t taken_ = 0;
};

}  // namespace

Result<std::unique_ptr<PacketCapture>> open_packet_capture(const SharedMaps& maps) {
    auto capture = std::make_unique<BpfCapture>();
    if (const auto opened = capture->open(maps); !opened) return opened.error();
    return std::unique_ptr<PacketCapture>{std::move(capture)};
}

}  // namespace sluice
