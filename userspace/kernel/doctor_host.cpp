// The part of doctor.hpp that is about the kernel as a whole.
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "kernel/doctor.hpp"
#include "kernel/rights.hpp"

namespace sluice {
namespace {

// Multi-buffer XDP; everything else that the program needs is older.
constexpr unsigned kOldestKernel = 518;

DoctorCheck unknown(std::string name) {
    return {std::move(name), "not asked", Health::kUnknown, "needs root"};
}

std::string memory_text(std::uint64_t bytes) {
    return bytes == RLIM_INFINITY ? "unlimited" : std::to_string(bytes / 1024) + " KiB";
}

}  // namespace

HostFacts read_host_facts() {
    HostFacts host;
    utsname names{};
    ::uname(&names);
    host.kernel = names.release;
    unsigned major = 0, minor = 0;
    if (std::sscanf(names.release, "%u.%u", &major, &minor) == 2) host.version = major * 100 + minor;
    host.permitted = has_bpf_rights();
    host.btf = ::access("/sys/kernel/btf/vmlinux", F_OK) == 0;
    std::ifstream jit{"/proc/sys/net/core/bpf_jit_enable"};
    if (int value = 0; jit >> value) host.jit = value;
    struct statfs mounted {};
    host.bpffs = ::statfs("/sys/fs/bpf", &mounted) == 0 && mounted.f_type == BPF_FS_MAGIC;
    rlimit limit{};
    ::getrlimit(RLIMIT_MEMLOCK, &limit);
    host.memlock_bytes = limit.rlim_cur;
    if (!host.permitted) return host;

    auto object = XdpObject::open(SharedMaps{}, -1, TableSizes{1, 1, 1});
    const auto loaded = object ? object->load() : Result<>{object.error()};
    host.program_loads = loaded.has_value();
    if (!loaded) host.load_error = loaded.error().message;
    host.dispatcher = libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_EXT, nullptr) == 1;
    host.syn_cookies = kernel_makes_cookies();
    static_cast<void>(take_bpf_warnings());  // what the probes provoked on purpose
    return host;
}

std::vector<DoctorCheck> judge_host(const HostFacts& host) {
    std::vector<DoctorCheck> checks;
    const bool old = host.version < kOldestKernel;
    checks.push_back({"kernel", host.kernel, old ? Health::kBad : Health::kGood,
                      old ? "Sluice needs Linux 5.18 or newer" : ""});
    checks.push_back(
        {"rights", host.permitted ? "sufficient" : "missing",
         host.permitted ? Health::kGood : Health::kUnknown,
         host.permitted ? "" : "CAP_BPF and CAP_NET_ADMIN are needed to attach, and to find out the rest"});
    if (!host.program_loads)
        checks.push_back(unknown("xdp_program"));
    else
        checks.push_back({"xdp_program", *host.program_loads ? "loads" : "refused",
                          *host.program_loads ? Health::kGood : Health::kBad, host.load_error});
    checks.push_back(
        {"btf", host.btf ? "present" : "missing", host.btf ? Health::kGood : Health::kNote,
         host.btf ? ""
                  : "without CONFIG_DEBUG_INFO_BTF there is no dispatcher: nothing can run beside Sluice"});
    if (!host.jit)
        checks.push_back({"jit", "unknown", Health::kUnknown, ""});
    else
        checks.push_back(
            {"jit", *host.jit != 0 ? "on" : "off", *host.jit != 0 ? Health::kGood : Health::kNote,
             *host.jit != 0 ? "" : "packets cost many times more: sysctl net.core.bpf_jit_enable=1"});
    checks.push_back({"bpffs", host.bpffs ? "mounted" : "not mounted",
                      host.bpffs ? Health::kGood : Health::kNote,
                      host.bpffs ? "" : "sluiced mounts it on /sys/fs/bpf when it starts"});
    if (!host.dispatcher)
        checks.push_back(unknown("dispatcher"));
    else
        checks.push_back(
            {"dispatcher", *host.dispatcher ? "usable" : "refused",
             *host.dispatcher ? Health::kGood : Health::kNote,
             *host.dispatcher
                 ? ""
                 : "the kernel refuses BPF_PROG_TYPE_EXT: Sluice attaches plainly, and no other XDP "
                   "program can run on the same interface"});
    if (!host.syn_cookies)
        checks.push_back(unknown("syn_cookies"));
    else
        checks.push_back({"syn_cookies", *host.syn_cookies ? "helpers present" : "helpers missing",
                          *host.syn_cookies ? Health::kGood : Health::kNote,
                          *host.syn_cookies ? "" : "made in XDP from Linux 6.0 on"});
    // From 5.11 on BPF memory is charged to the cgroup, and this limit says nothing.
    const bool charged = host.version >= 511;
    checks.push_back({"memlock", memory_text(host.memlock_bytes), charged ? Health::kGood : Health::kNote,
                      charged ? "" : "must hold the tables: LimitMEMLOCK=infinity"});
    return checks;
}

}  // namespace sluice
