// flood: sends packets on an interface of a network namespace, at a bounded rate, in a bounded number, for a
// bounded time, and prints what it sent as one line of JSON: {"sent", "failed", "bytes", "seconds", "rate"}.
//
// It refuses to work in the initial network namespace, whatever it is asked: it is for labs, and has no
// business on a network that someone else is connected to.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "base/ip_prefix.hpp"
#include "base/unique_fd.hpp"
#include "support/flood_packet.hpp"

namespace {

using namespace sluice;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMaxRate = 2'000'000;     // packets a second
constexpr std::uint64_t kMaxCount = 100'000'000;  // packets
constexpr double kMaxSeconds = 600;
constexpr std::size_t kBatch = 64;         // frames to one sendmmsg
constexpr std::size_t kMaxPayload = 1400;  // fits an MTU of 1500 with every header this tool writes

volatile std::sig_atomic_t stop_asked = 0;

struct Options {
    std::string interface;
    flood::FrameSpec frame;
    std::uint64_t rate = 0;
    std::uint64_t count = 0;
    double seconds = 0;
    std::uint64_t seed = 1;
};

Error failed(const std::string& what) {
    return system_error(what, "", errno);
}

bool same_file(const struct stat& one, const struct stat& other) {
    return one.st_ino == other.st_ino && one.st_dev == other.st_dev;
}

// A namespace that someone named with `ip netns add` was made for a purpose. The initial one (that of process
// 1, also in a container) is refused even under a name; who may not look at process 1 has only the first
// test.
Result<> check_namespace() {
    struct stat mine {};
    if (::stat("/proc/self/ns/net", &mine) != 0) return system_error("stat", "/proc/self/ns/net", errno);
    struct stat initial {};
    const bool is_initial = ::stat("/proc/1/ns/net", &initial) == 0 && same_file(mine, initial);
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator{"/run/netns", none}) {
        struct stat named {};
        if (!is_initial && ::stat(entry.path().c_str(), &named) == 0 && same_file(mine, named)) return {};
    }
    return Error{
        ErrorCode::kNotPermitted,
        "not in a network namespace of /run/netns; run it in one: nsenter --net=/run/netns/NAME flood …"};
}

Result<flood::MacAddress> interface_mac(int fd, const std::string& interface) {
    ifreq request{};
    interface.copy(request.ifr_name, IFNAMSIZ - 1);
    if (::ioctl(fd, SIOCGIFHWADDR, &request) != 0)
        return system_error("hardware address of", interface, errno);
    flood::MacAddress mac{};
    std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
    return mac;
}

Result<UniqueFd> open_socket(const std::string& interface) {
    // Protocol 0: this socket receives nothing.
    UniqueFd fd{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)};
    if (!fd) return failed("socket AF_PACKET");
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
    if (address.sll_ifindex == 0) return system_error("interface", interface, errno);
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        return system_error("bind to", interface, errno);
    }
    const int on = 1;
    if (::setsockopt(fd.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0) {
        return failed("setsockopt PACKET_QDISC_BYPASS");
    }
    return fd;
}

struct Sent {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t failed = 0;  // refused by the interface for want of room
    double seconds = 0;
};

Result<Sent> run(const Options& options) {
    auto fd = open_socket(options.interface);
    if (!fd) return fd.error();
    auto spec = options.frame;
    const auto mac = interface_mac(fd->get(), options.interface);
    if (!mac) return mac.error();
    spec.from_mac = *mac;
    flood::FrameBuilder builder{spec, options.seed};

    std::array<std::array<std::uint8_t, flood::FrameBuilder::kMaxFrame>, kBatch> frames{};
    std::array<iovec, kBatch> vectors{};
    std::array<mmsghdr, kBatch> messages{};
    Sent sent;
    const auto start = Clock::now();
    const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
    while (stop_asked == 0 && sent.packets + sent.failed < options.count) {
        sent.seconds = elapsed();
        if (sent.seconds >= options.seconds) break;
        const auto due = static_cast<std::uint64_t>(sent.seconds * static_cast<double>(options.rate)) + 1;
        const auto target = std::min(due, options.count);
        if (sent.packets + sent.failed >= target) {
            std::this_thread::sleep_for(std::chrono::microseconds{200});
            continue;
        }
        const auto batch = std::min<std::uint64_t>(target - sent.packets - sent.failed, kBatch);
        for (std::size_t i = 0; i < batch; ++i) {
            vectors[i] = {frames[i].data(), builder.next(frames[i].data())};
            messages[i] = {};
            messages[i].msg_hdr.msg_iov = &vectors[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
        const int accepted = ::sendmmsg(fd->get(), messages.data(), static_cast<unsigned>(batch), 0);
        if (accepted > 0) {
            sent.packets += static_cast<std::uint64_t>(accepted);
            for (std::size_t i = 0; i < static_cast<std::size_t>(accepted); ++i)
                sent.bytes += vectors[i].iov_len;
        } else if (errno == ENOBUFS || errno == EAGAIN) {
            ++sent.failed;
        } else if (errno != EINTR) {
            return system_error("send on", options.interface, errno);
        }
    }
    sent.seconds = elapsed();
    return sent;
}

// Fills `options`; what CLI11 can't say about a field is said by the Error.
Result<> check(Options& options, const std::string& from, const std::string& to, const std::string& to_mac) {
    auto source = IpPrefix::parse(from);
    if (!source) return Error{source.error().code, "--from: " + source.error().message};
    const auto target = IpAddress::parse(to);
    if (!target) return Error{ErrorCode::kInvalid, "--to " + to + ": an IPv4 or IPv6 address expected"};
    if (source->is_v4() != target->is_v4()) {
        return Error{ErrorCode::kInvalid,
                     "--from " + from + " and --to " + to + " are of different families"};
    }
    auto mac = flood::parse_mac(to_mac);
    if (!mac) return Error{mac.error().code, "--to-mac: " + mac.error().message};
    if (options.frame.vlans.size() > 2) return Error{ErrorCode::kInvalid, "--vlan: at most two"};
    options.frame.from = *source;
    options.frame.to = *target;
    options.frame.to_mac = *mac;
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Sends a bounded flood on an interface of a network namespace; for labs and tests.",
                 "flood"};
    Options options;
    std::string from;
    std::string to;
    std::string to_mac;
    std::string kind;
    const std::map<std::string, flood::Kind> kinds{{"udp", flood::Kind::kUdp},
                                                   {"syn", flood::Kind::kSyn},
                                                   {"tcp-ack", flood::Kind::kAck},
                                                   {"icmp", flood::Kind::kIcmp},
                                                   {"frag", flood::Kind::kFragment}};
    app.add_option("--interface", options.interface, "send here")->required();
    app.add_option("--kind", kind, "udp, syn, tcp-ack, icmp or frag")
        ->required()
        ->check(CLI::IsMember(kinds));
    app.add_option("--from", from, "source address, or a prefix for random sources")->required();
    app.add_option("--to", to, "destination address")->required();
    app.add_option("--to-mac", to_mac, "destination hardware address")->required();
    app.add_option("--port", options.frame.port, "destination port")
        ->check(CLI::Range(1, 65535))
        ->default_val(8080);
    app.add_option("--source-port", options.frame.source_port, "source port; omitted: random")
        ->check(CLI::Range(1, 65535));
    app.add_option("--payload", options.frame.payload_bytes, "bytes after the transport header")
        ->check(CLI::Range(std::size_t{0}, kMaxPayload))
        ->default_val(18);
    app.add_option("--vlan", options.frame.vlans, "VLAN identifier; twice for 802.1ad outside 802.1Q")
        ->check(CLI::Range(1, 4094));
    app.add_option("--rate", options.rate, "packets a second")
        ->required()
        ->check(CLI::Range(std::uint64_t{1}, kMaxRate));
    app.add_option("--count", options.count, "packets at most")
        ->required()
        ->check(CLI::Range(std::uint64_t{1}, kMaxCount));
    app.add_option("--duration", options.seconds, "seconds at most")
        ->required()
        ->check(CLI::Range(0.001, kMaxSeconds));
    app.add_option("--seed", options.seed, "of the random sources and ports");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    options.frame.kind = kinds.at(kind);
    const auto complain = [](const Error& error, int code) {
        std::cerr << "flood: " << error.message << '\n';
        return code;
    };
    if (const auto checked = check(options, from, to, to_mac); !checked) return complain(checked.error(), 2);
    if (const auto allowed = check_namespace(); !allowed) return complain(allowed.error(), 1);

    std::signal(SIGINT, [](int) { stop_asked = 1; });
    std::signal(SIGTERM, [](int) { stop_asked = 1; });
    const auto sent = run(options);
    if (!sent) return complain(sent.error(), 1);
    const nlohmann::json report{{"sent", sent->packets},
                                {"failed", sent->failed},
                                {"bytes", sent->bytes},
                                {"seconds", sent->seconds},
                                {"rate", static_cast<double>(sent->packets) / std::max(sent->seconds, 1e-9)}};
    std::cout << report.dump() << '\n';
    return 0;
}
