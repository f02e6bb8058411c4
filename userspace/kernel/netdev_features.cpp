// One question of generic netlink: the part of interface_facts.hpp that libbpf answers only from 1.2 on.
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cstring>
#include <span>

#include "base/unique_fd.hpp"
#include "kernel/interface_facts.hpp"

namespace sluice {
namespace {

// Documentation/netlink/specs/netdev.yaml; <linux/netdev.h> is younger than the headers this is built with.
constexpr std::uint8_t kDeviceGet = 1;
constexpr std::uint16_t kAttributeIfindex = 1, kAttributeXdpFeatures = 3;

constexpr std::size_t kHeaders = NLMSG_HDRLEN + GENL_HDRLEN;
using Message = std::array<char, 8192>;

template <class T>
T read(std::span<const char> bytes) {
    T value{};
    if (bytes.size() >= sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

// Asks a family with one attribute; the attribute `wanted` of the answer, or nothing.
std::optional<std::uint64_t> ask(int socket, std::uint16_t family, std::uint8_t command,
                                 std::uint16_t attribute, std::span<const char> value, std::uint16_t wanted) {
    alignas(nlmsghdr) Message message{};
    nlmsghdr header{};
    header.nlmsg_len = static_cast<std::uint32_t>(kHeaders + NLA_HDRLEN + NLA_ALIGN(value.size()));
    header.nlmsg_type = family;
    header.nlmsg_flags = NLM_F_REQUEST;
    const genlmsghdr generic{command, 1, 0};
    const nlattr head{static_cast<std::uint16_t>(NLA_HDRLEN + value.size()), attribute};
    std::memcpy(message.data(), &header, sizeof header);
    std::memcpy(message.data() + NLMSG_HDRLEN, &generic, sizeof generic);
    std::memcpy(message.data() + kHeaders, &head, sizeof head);
    std::memcpy(message.data() + kHeaders + NLA_HDRLEN, value.data(), value.size());
    if (::send(socket, message.data(), header.nlmsg_len, 0) < 0) return std::nullopt;

    const ssize_t received = ::recv(socket, message.data(), message.size(), 0);
    if (received < static_cast<ssize_t>(kHeaders)) return std::nullopt;
    header = read<nlmsghdr>(message);
    if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_len > static_cast<std::size_t>(received))
        return std::nullopt;
    std::span<const char> rest{message.data() + kHeaders, header.nlmsg_len - kHeaders};
    while (rest.size() >= NLA_HDRLEN) {
        const auto one = read<nlattr>(rest);
        if (one.nla_len < NLA_HDRLEN || one.nla_len > rest.size()) return std::nullopt;
        const auto content = rest.subspan(NLA_HDRLEN, one.nla_len - NLA_HDRLEN);
        if ((one.nla_type & NLA_TYPE_MASK) == wanted)
            return content.size() >= 8 ? read<std::uint64_t>(content) : read<std::uint16_t>(content);
        rest = rest.subspan(std::min(rest.size(), static_cast<std::size_t>(NLA_ALIGN(one.nla_len))));
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> read_xdp_features(unsigned ifindex) {
    const UniqueFd socket{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC)};
    if (!socket) return std::nullopt;
    // The kernel answers before send() returns; a deadline all the same, so that a surprise can't hang us.
    const timeval deadline{1, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    const std::array<char, 7> name{"netdev"};
    const auto family =
        ask(socket.get(), GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, name, CTRL_ATTR_FAMILY_ID);
    if (!family) return std::nullopt;
    std::array<char, sizeof ifindex> number{};
    std::memcpy(number.data(), &ifindex, sizeof ifindex);
    return ask(socket.get(), static_cast<std::uint16_t>(*family), kDeviceGet, kAttributeIfindex, number,
               kAttributeXdpFeatures);
}

}  // namespace sluice
