// The kernel enforcer as the rest of Sluice sees it: one policy in force on every packet of the attached
// interfaces, counters by reason, bans, events. The only implementation is BpfEnforcer (bpf_enforcer.hpp).
//
// One thread (control) owns an enforcer and calls every function of it. Nothing here waits for packets or for
// the network; apply() may take tens of milliseconds, with lists of a million prefixes 0.6 s, the rest micro- to a few milliseconds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"
#include "base/result.hpp"
#include "bpf/sluice_abi.h"
#include "kernel/packet_capture.hpp"
#include "policy/policy.hpp"

namespace sluice {

// --- reasons
// --------------------------------------------------------------------------------------------------------

inline constexpr std::size_t kKernelReasons = SLUICE_REASON_COUNT;

// What one reason is called and means; the order is that of enum sluice_reason.
struct KernelReason {
    std::string_view name;         // snake_case: "limit_packets"
    std::string_view verdict;      // "pass" or "drop"
    std::string_view description;  // one sentence
};
const std::array<KernelReason, kKernelReasons>& kernel_reasons();

struct ReasonCount {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;  // of whole frames, as the program saw them (Ethernet header included, FCS not)

    bool operator==(const ReasonCount&) const = default;
};
using ReasonCounts = std::array<ReasonCount, kKernelReasons>;

// --- interfaces
// -----------------------------------------------------------------------------------------------------

// Among the XDP programs of one interface, lower runs first; this is libxdp's of programs that name none.
inline constexpr unsigned kUsualXdpPriority = 50;

enum class XdpMode : std::uint8_t { kAuto, kNative, kGeneric };  // kAuto: native, else generic (and says why)

struct InterfaceState {
    std::string name;
    unsigned ifindex = 0;
    std::string mode;  // "native" or "generic"
    std::string via;   // "dispatcher" (libxdp: other programs run beside ours) or "plain"
    std::string note;  // why not native, why not the dispatcher; empty: nothing to say
    // Whether the interface still runs our program. False: someone replaced or removed it, or the interface
    // is gone.
    bool attached = false;
};

struct InterfaceCounters {
    std::string name;
    ReasonCounts
        reasons{};  // their sum is exactly the packets the program saw; survives policy swaps and restarts
    // What shadow mode let pass, by the reason that would have dropped it.
    ReasonCounts would_drop{};
};

// --- bans
// -----------------------------------------------------------------------------------------------------------

enum class BanOrigin : std::uint8_t { kKernel, kEscalation, kOperator, kPeer };
std::string_view to_string(BanOrigin origin);  // "kernel", "escalation", "operator", "peer"

struct Ban {
    IpPrefix source;
    std::string reason;  // a kernel reason's name for the kernel's own bans, else what ban() was given
    BanOrigin origin = BanOrigin::kKernel;
    Nanos expires_in = 0;       // > 0
    std::uint64_t packets = 0;  // dropped by this ban
};

struct BanRequest {
    IpPrefix source;     // of the policy's source_prefix length or any other, but not /0
    Nanos duration = 0;  // > 0; at most 10 years
    std::string reason;  // at most kBanReasonBytes bytes; longer is refused
    BanOrigin origin = BanOrigin::kOperator;
};
inline constexpr std::size_t kBanReasonBytes = SLUICE_BAN_NOTE_BYTES - 1;

// --- events
// ---------------------------------------------------------------------------------------------------------

struct KernelEvent {
    enum class Kind : std::uint8_t {
        kBanBegan,    // the kernel banned `source`: exactly one event a ban (unless lost, see events_lost)
        kDropSample,  // an example of a dropped packet, or of one that shadow mode would have dropped
    };
    Kind kind = Kind::kDropSample;
    Nanos time = 0;  // CLOCK_MONOTONIC
    std::string interface;
    IpPrefix source;                     // kBanBegan: what was banned
    IpAddress address;                   // the packet's source address
    std::string_view reason;             // name of the kernel reason
    std::string limit;                   // name of the policy's limit that spoke; empty: none did
    bool shadow = false;                 // would have been dropped, but was passed
    std::uint8_t protocol = 0;           // IP protocol number, 0 if the packet did not get that far
    std::uint16_t destination_port = 0;  // host byte order, 0 if none
    std::uint32_t length_bytes = 0;
    Nanos ban_duration = 0;  // kBanBegan
};

// --- what operators ask
// ---------------------------------------------------------------------------------------------

struct MapUsage {
    std::string
        map;  // "bans", "sources", "prefixes", "policies"; a port group's part of a table: "sources/NAME"
    std::uint64_t entries = 0;
    std::uint64_t capacity = 0;
};

// Estimates from one packet in SLUICE_SAMPLE_EVERY, dropped ones included; halved every minute by tick().
struct TopTalker {
    IpPrefix who;  // a source or a prefix of sources, as the policy groups them
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t drops = 0;
    // How many packets the estimate may be off by: too low by what whoever had this place before left in it, and either
    // way by two standard deviations of the sampling.
    std::uint64_t error = 0;
};
enum class TopOf : std::uint8_t { kSources, kPrefixes };
enum class TopBy : std::uint8_t { kPackets, kBytes, kDrops };

struct LimitState {
    std::string name;
    std::string key;  // the source or prefix it is counted for
    std::uint64_t burst = 0;
    std::uint64_t available = 0;  // how many (packets or bytes) would be admitted at once now: 0…burst
    bool shadow = false;
    bool every_packet = false;  // counts packets or bytes of any kind
    std::string_view reason;    // of what it drops
};

// What the kernel would do with an ordinary packet of this address now. With groups of ports: whether any would drop it.
struct SourceVerdict {
    std::string verdict;      // "pass" or "drop"
    std::string_view reason;  // "allowed", "denied", "banned", "limit_…", "shadow" or "passed"
    std::optional<Ban> ban;
    std::vector<LimitState> limits;
};

struct KernelStatistics {
    std::uint64_t events_lost = 0;   // the ring was full, or userspace too slow
    std::uint64_t bans_refused = 0;  // the kernel wanted to ban, but the ban map was full
    // Table entries taken from a source that was not yet back at its full allowance.
    std::uint64_t sources_evicted = 0;
    // Charges that were let go: of sources not yet in the table while too many came at once (KernelPolicy::newcomers), and
    // of those whose entry another processor took at that moment.
    std::uint64_t newcomers_skipped = 0;
    std::uint64_t claims_lost = 0;
    std::uint64_t charge_retries = 0;  // compare-and-swaps of an arrival time that another processor won
    std::uint64_t syns = 0;  // TCP connection attempts within every limit, answered with a cookie or passed
};

// How the program answers SYNs, and what TCP was told for it (see SynCookieControl).
struct CookieAnswers {
    bool on = false;
    bool redirect = false;                     // sent by a redirect and not by XDP_TX
    bool stamped = false;                      // with timestamps, window scale and SACK
    unsigned window_scale = 0;                 // 0…14
    std::uint16_t mss_ipv4 = 0, mss_ipv6 = 0;  // bytes
    bool told = false;                         // settings of TCP were changed; what they were before:
    int syncookies_before = 0;
    int timestamps_before = 0;
};

// What was found pinned at start, one line each: "adopted maps …", "replaced program on eth0: …".
struct Adoption {
    bool maps_adopted = false;     // counters, bans and source state go on
    std::uint64_t generation = 0;  // of the adopted policy, still in force until the first apply(); 0: none
    std::vector<std::string> notes;
};

// --- the enforcer
// ---------------------------------------------------------------------------------------------------

class KernelEnforcer {
  public:
    KernelEnforcer() = default;
    KernelEnforcer(const KernelEnforcer&) = delete;
    KernelEnforcer& operator=(const KernelEnforcer&) = delete;
    // Keeps everything attached and pinned, as a crash does. detach() takes it away.
    virtual ~KernelEnforcer() = default;

    // Puts the policy in force on every interface: all or nothing, between two packets. On error the old one
    // stays. State of limits that did not change, bans and counters go on. Sources in `never_ban` (the
    // trusted proxies) and in policy.allow are never banned by the kernel; bans that stand against them are
    // lifted. Before the first apply() without an adopted policy every packet passes.
    virtual Result<> apply(const KernelPolicy& policy, const SourcePrefix& source_prefix,
                           const std::vector<IpPrefix>& never_ban, std::uint64_t generation) = 0;
    // Of the policy in force; 0: none yet.
    virtual std::uint64_t generation() const = 0;

    virtual std::vector<InterfaceState> interfaces() const = 0;
    virtual Result<std::vector<InterfaceCounters>> counters() const = 0;
    virtual KernelStatistics statistics() const = 0;
    virtual std::vector<MapUsage> maps() const = 0;
    virtual const Adoption& adopted() const = 0;

    // Places or replaces a ban; true once the kernel map has been read back. kConflict: the source overlaps
    // the allow list or never_ban. kInvalid: see BanRequest. kExhausted: the ban map is full, or holds too
    // many prefix lengths.
    virtual Result<> ban(const BanRequest& request) = 0;
    // kNotFound: no ban stands against exactly this prefix. Success: the map was read back and the ban is
    // gone.
    virtual Result<> lift(const IpPrefix& source) = 0;
    // The bans that apply() has lifted since the last call, as they stood.
    virtual std::vector<Ban> take_lifted() = 0;
    // Those in force, in no order.
    virtual Result<std::vector<Ban>> bans() const = 0;

    // Readable when drain() has something. Owned by the enforcer.
    virtual int event_fd() const = 0;
    // Calls on_event for what has arrived; at most a few thousand events, so that it returns under a flood.
    // Returns how many. Call again when event_fd() is readable.
    virtual std::size_t drain(const std::function<void(const KernelEvent&)>& on_event) = 0;

    // Whether this kernel has the helpers that make SYN cookies.
    virtual bool makes_cookies() const = 0;
    virtual CookieAnswers cookie_answers() const = 0;
    virtual void set_cookie_answers(const CookieAnswers& answers) = 0;

    // Lives as long as the enforcer.
    virtual PacketCapture& capture() = 0;

    // Once a second: removes expired bans and returns them as they stood (expires_in ≤ 0), decays the top
    // list, looks whether the interfaces still run our program.
    virtual std::vector<Ban> tick() = 0;

    virtual std::vector<TopTalker> top(TopOf of, TopBy by, std::size_t count) const = 0;
    virtual Result<SourceVerdict> explain(const IpAddress& address) const = 0;

    // Removes the programs and every pin. After it only the destructor may be called.
    virtual Result<> detach() = 0;
};

}  // namespace sluice
