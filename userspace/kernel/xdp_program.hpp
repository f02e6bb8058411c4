// Loading the XDP program, and putting one on an interface or taking it off.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "kernel/bpf_maps.hpp"
#include "kernel/kernel_enforcer.hpp"

struct sluice_xdp;

namespace sluice {

struct TableSizes {
    std::uint32_t source_sets;
    std::uint32_t prefix_sets;
    std::uint32_t bans;
};

// What libbpf and libxdp have warned of on this thread since the last call, on one line. They print nothing
// themselves once an XdpObject was opened.
std::string take_bpf_warnings();

// Changes with every build of the BPF object: programs with the same one are the same.
std::uint64_t xdp_object_hash();

// The BPF object, opened with its maps bound, not yet loaded. Move-only; destroying it closes its
// descriptors, what is attached or pinned stays.
class XdpObject {
  public:
    // Uses `shared` where it has a descriptor and the sizes for maps that load() creates; `counters` as well.
    static Result<XdpObject> open(const SharedMaps& shared, int counters_fd, const TableSizes& sizes);
    Result<> load();
    // The maps and sluice_clock without the program, to pin them before anything runs.
    Result<> create_maps();
    // Of the loaded program and maps, for the caller to keep.
    Result<UniqueFd> program() const;
    Result<UniqueFd> clock_program() const;  // after create_maps()
    Result<UniqueFd> counters() const;
    Result<SharedMaps> maps() const;
    sluice_xdp* skeleton() const { return skeleton_.get(); }

  private:
    struct Destroy {
        void operator()(sluice_xdp* skeleton) const;
    };
    std::unique_ptr<sluice_xdp, Destroy> skeleton_;
};

// Whether this kernel has the helpers that make and check SYN cookies in XDP (Linux 6.0). Asked once.
bool kernel_makes_cookies();

// What runs on an interface.
struct AttachedXdp {
    std::uint32_t program_id = 0;  // 0: nothing; of the dispatcher if there is one
    bool generic = false;
    bool dispatcher = false;
    bool ours = false;  // the program, or one that the dispatcher runs, is a sluice_xdp
    std::uint32_t our_id = 0;
    std::string name;
};
Result<AttachedXdp> look_at_interface(unsigned ifindex, const std::string& name);

struct Attachment {
    UniqueFd program;
    UniqueFd counters;
    InterfaceState state;
};
// Attaches a new program that shares `maps` and `counters_fd`, in place of an older one of ours without a
// gap. Of the programs in a dispatcher those of lower priority number run first. A foreign program that no dispatcher runs is refused with kConflict.
Result<Attachment> attach_xdp(unsigned ifindex, const std::string& name, XdpMode mode, unsigned priority,
                              const SharedMaps& maps, int counters_fd);

// Takes our program off; a dispatcher that runs others goes on. Nothing of ours there is success.
Result<> detach_xdp_program(unsigned ifindex, const std::string& name);

}  // namespace sluice
