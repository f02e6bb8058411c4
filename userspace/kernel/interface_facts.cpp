#include "kernel/interface_facts.hpp"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/unique_fd.hpp"

namespace sluice {
namespace {

ifreq request_for(const std::string& name) {
    ifreq request{};
    std::copy_n(name.begin(), std::min(name.size(), sizeof request.ifr_name - 1), request.ifr_name);
    return request;
}

// `command` begins with the number of an ethtool request, and takes the answer.
bool ethtool(int socket, const std::string& name, void* command) {
    ifreq request = request_for(name);
    request.ifr_data = static_cast<char*>(command);
    return ::ioctl(socket, SIOCETHTOOL, &request) == 0;
}

std::string driver_of(int socket, const std::string& name) {
    ethtool_drvinfo info{};
    info.cmd = ETHTOOL_GDRVINFO;
    if (!ethtool(socket, name, &info)) return {};
    return {info.driver, ::strnlen(info.driver, sizeof info.driver)};
}

// The ethtool structures end in an array whose length their head tells; here both are in one piece of memory.
template <class Head, class Element>
struct Sized {
    std::vector<std::uint64_t> memory;  // aligned for either
    explicit Sized(std::size_t elements) : memory((sizeof(Head) + elements * sizeof(Element) + 7) / 8) {}
    Head& head() { return *reinterpret_cast<Head*>(memory.data()); }
    Element* elements() {
        return reinterpret_cast<Element*>(reinterpret_cast<char*>(memory.data()) + sizeof(Head));
    }
};

std::map<std::string, bool> offloads_of(int socket, const std::string& name) {
    std::map<std::string, bool> offloads;
    Sized<ethtool_sset_info, std::uint32_t> sizes{1};
    sizes.head().cmd = ETHTOOL_GSSET_INFO;
    sizes.head().sset_mask = 1ULL << ETH_SS_FEATURES;
    if (!ethtool(socket, name, sizes.memory.data()) || sizes.head().sset_mask == 0) return offloads;
    const std::uint32_t count = sizes.elements()[0];

    using Name = std::array<char, ETH_GSTRING_LEN>;
    Sized<ethtool_gstrings, Name> names{count};
    names.head().cmd = ETHTOOL_GSTRINGS;
    names.head().string_set = ETH_SS_FEATURES;
    names.head().len = count;
    if (!ethtool(socket, name, names.memory.data())) return offloads;

    const std::uint32_t words = (count + 31) / 32;
    Sized<ethtool_gfeatures, ethtool_get_features_block> blocks{words};
    blocks.head().cmd = ETHTOOL_GFEATURES;
    blocks.head().size = words;
    if (!ethtool(socket, name, blocks.memory.data())) return offloads;
    for (std::uint32_t i = 0; i < std::min(count, names.head().len); ++i) {
        const Name& text = names.elements()[i];
        offloads[{text.data(), ::strnlen(text.data(), text.size())}] =
            (blocks.elements()[i / 32].active >> i % 32 & 1) != 0;
    }
    return offloads;
}

unsigned count_receive_queues(const std::string& name) {
    std::error_code error;
    unsigned queues = 0;
    for (const auto& entry : std::filesystem::directory_iterator{"/sys/class/net/" + name + "/queues", error})
        if (entry.path().filename().string().starts_with("rx-")) ++queues;
    return queues;
}

}  // namespace

Result<InterfaceFacts> read_interface_facts(const std::string& name) {
    const UniqueFd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (!socket) return system_error("open", "socket", errno);
    InterfaceFacts facts;
    facts.name = name;
    facts.ifindex = name.size() < IFNAMSIZ ? ::if_nametoindex(name.c_str()) : 0;
    if (facts.ifindex == 0)
        return Error{ErrorCode::kNotFound,
                     "look at " + name + ": no such interface in this network namespace"};
    ifreq request = request_for(name);
    if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) == 0) facts.up = (request.ifr_flags & IFF_UP) != 0;
    request = request_for(name);
    if (::ioctl(socket.get(), SIOCGIFMTU, &request) == 0) facts.mtu = static_cast<unsigned>(request.ifr_mtu);
    facts.driver = driver_of(socket.get(), name);
    facts.offloads = offloads_of(socket.get(), name);
    // sysfs shows the namespace in which it was mounted; another one's interfaces count none there.
    facts.receive_queues = count_receive_queues(name);
    facts.xdp_features = read_xdp_features(facts.ifindex);
    std::ifstream config{"/proc/net/vlan/config"};  // absent without any VLAN device
    facts.vlans = vlans_on(name, std::string{std::istreambuf_iterator<char>{config}, {}});
    return facts;
}

// Lines of "eth0.10        | 10  | eth0", below two lines of heading without a second bar or a name.
std::vector<std::string> vlans_on(const std::string& name, const std::string& config) {
    std::vector<std::string> vlans;
    std::istringstream lines{config};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words{line};
        std::string device, bar, id, second_bar, below;
        if (words >> device >> bar >> id >> second_bar >> below && bar == "|" && second_bar == "|" &&
            below == name)
            vlans.push_back(device);
    }
    return vlans;
}

std::vector<std::string> interface_names() {
    std::vector<std::string> names;
    struct if_nameindex* const list = ::if_nameindex();
    if (list == nullptr) return names;
    for (const struct if_nameindex* one = list; one->if_index != 0; ++one)
        if (std::string_view{one->if_name} != "lo") names.emplace_back(one->if_name);
    ::if_freenameindex(list);
    return names;
}

}  // namespace sluice
