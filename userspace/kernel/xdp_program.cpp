#include "kernel/xdp_program.hpp"
#include "kernel/kernel_plan.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <xdp/libxdp.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <utility>

#include "bpf/sluice_xdp.skel.h"

namespace sluice {
namespace {

// libbpf and libxdp speak through one callback; what they warn of explains the error that follows it.
std::string& last_warnings() {
    static thread_local std::string text;
    return text;
}

int keep_warning(libbpf_print_level level, const char* format, va_list arguments) {
    if (level != LIBBPF_WARN) return 0;
    va_list again;
    va_copy(again, arguments);
    const int bytes = std::vsnprintf(nullptr, 0, format, again);
    va_end(again);
    if (bytes <= 0) return 0;
    std::string text(static_cast<std::size_t>(bytes) + 1, '\0');
    std::vsnprintf(text.data(), text.size(), format, arguments);
    text.pop_back();
    // The verifier says what is wrong at the end of a log that may be megabytes long.
    constexpr std::size_t kKept = 1000;
    if (text.size() > kKept) text = "[...] " + text.substr(text.size() - kKept);
    if (last_warnings().size() < 4 * kKept) last_warnings() += text;
    return 0;
}

Result<UniqueFd> duplicate(int fd, const char* what) {
    UniqueFd copy{::fcntl(fd, F_DUPFD_CLOEXEC, 3)};
    if (!copy) return system_error("keep", what, errno);
    return copy;
}

}  // namespace

std::string take_bpf_warnings() {
    std::string text = std::exchange(last_warnings(), {});
    while (!text.empty() && text.back() == '\n') text.pop_back();
    std::ranges::replace(text, '\n', ' ');
    return text;
}

std::uint64_t xdp_object_hash() {
    std::size_t bytes = 0;
    const auto* data = static_cast<const unsigned char*>(sluice_xdp__elf_bytes(&bytes));
    std::uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a
    for (std::size_t i = 0; i < bytes; ++i) hash = (hash ^ data[i]) * 0x100000001b3ULL;
    return hash;
}

bool kernel_makes_cookies() {
    static const bool makes =
        libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_tcp_raw_gen_syncookie_ipv4, nullptr) == 1 &&
        libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_tcp_raw_gen_syncookie_ipv6, nullptr) == 1;
    return makes;
}

void XdpObject::Destroy::operator()(sluice_xdp* skeleton) const {
    sluice_xdp__destroy(skeleton);
}

Result<XdpObject> XdpObject::open(const SharedMaps& shared, int counters_fd, const TableSizes& sizes) {
    libbpf_set_print(keep_warning);
    libxdp_set_print([](libxdp_print_level level, const char* format, va_list arguments) {
        return keep_warning(level == LIBXDP_WARN ? LIBBPF_WARN : LIBBPF_DEBUG, format, arguments);
    });
    last_warnings().clear();
    XdpObject object;
    object.skeleton_.reset(sluice_xdp__open());
    sluice_xdp* skeleton = object.skeleton_.get();
    if (skeleton == nullptr) return system_error("open", "BPF object", errno);

    skeleton->rodata->sluice_has_cookies = kernel_makes_cookies();
    bpf_map__set_max_entries(skeleton->maps.sources, table_entries(sizes.source_sets));
    bpf_map__set_max_entries(skeleton->maps.prefixes, table_entries(sizes.prefix_sets));
    bpf_map__set_max_entries(skeleton->maps.bans, std::bit_ceil(sizes.bans));
    bpf_map__set_max_entries(skeleton->maps.ban_filter, 2 * std::bit_ceil(sizes.bans));
    for (const SharedMaps::Named& named : SharedMaps::all()) {
        const int fd = (shared.*named.fd).get();
        if (fd < 0) continue;
        bpf_map* map = bpf_object__find_map_by_name(skeleton->obj, named.name);
        if (const int error = bpf_map__reuse_fd(map, fd); error != 0)
            return system_error("share map", named.name, -error);
    }
    // Only the first object sets the clock; the others share its control map.
    if (shared.control) bpf_program__set_autoload(skeleton->progs.sluice_clock, false);
    if (counters_fd >= 0)
        if (const int error = bpf_map__reuse_fd(skeleton->maps.counters, counters_fd); error != 0)
            return system_error("share map", "counters", -error);
    return object;
}

Result<> XdpObject::load() {
    last_warnings().clear();
    const int error = sluice_xdp__load(skeleton_.get());
    if (error == 0) return {};
    Error failure = system_error("load", "XDP program", -error);
    if (const std::string why = take_bpf_warnings(); !why.empty()) failure.message += " (" + why + ")";
    return failure;
}

Result<> XdpObject::create_maps() {
    bpf_program__set_autoload(skeleton_->progs.sluice_xdp, false);
    return load();
}

Result<UniqueFd> XdpObject::program() const {
    return duplicate(bpf_program__fd(skeleton_->progs.sluice_xdp), "program");
}

Result<UniqueFd> XdpObject::clock_program() const {
    return duplicate(bpf_program__fd(skeleton_->progs.sluice_clock), "program");
}

Result<UniqueFd> XdpObject::counters() const {
    return duplicate(bpf_map__fd(skeleton_->maps.counters), "counters");
}

Result<SharedMaps> XdpObject::maps() const {
    SharedMaps maps;
    for (const SharedMaps::Named& named : SharedMaps::all()) {
        auto fd =
            duplicate(bpf_map__fd(bpf_object__find_map_by_name(skeleton_->obj, named.name)), named.name);
        if (!fd) return fd.error();
        maps.*named.fd = std::move(*fd);
    }
    return maps;
}

}  // namespace sluice
