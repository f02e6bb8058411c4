// The part of xdp_program.hpp that speaks to interfaces: through libxdp's dispatcher where the kernel has it,
// plainly where it has not.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <xdp/libxdp.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "bpf/sluice_xdp.skel.h"
#include "kernel/xdp_program.hpp"

namespace sluice {
namespace {

constexpr const char* kProgramName = "sluice_xdp";
constexpr const char* kDispatcherName = "xdp_dispatcher";
constexpr const char* kSection = "xdp.frags";

struct CloseMultiprog {
    void operator()(xdp_multiprog* programs) const { xdp_multiprog__close(programs); }
};
using Multiprog = std::unique_ptr<xdp_multiprog, CloseMultiprog>;
struct CloseProgram {
    void operator()(xdp_program* program) const { xdp_program__close(program); }
};
using Program = std::unique_ptr<xdp_program, CloseProgram>;

// libxdp answers with a pointer that may be an errno in disguise.
template <class Owner, class T>
Owner owned(T* answer) {
    return Owner{libxdp_get_error(answer) != 0 ? nullptr : answer};
}

Multiprog dispatcher_of(unsigned ifindex) {
    Multiprog programs = owned<Multiprog>(xdp_multiprog__get_from_ifindex(static_cast<int>(ifindex)));
    if (programs && xdp_multiprog__is_legacy(programs.get())) programs.reset();
    return programs;
}

std::string program_name(std::uint32_t id) {
    const UniqueFd fd{bpf_prog_get_fd_by_id(id)};
    bpf_prog_info info{};
    std::uint32_t bytes = sizeof info;
    if (!fd || bpf_obj_get_info_by_fd(fd.get(), &info, &bytes) != 0) return {};
    return info.name;
}

std::uint32_t flags_of(bool generic) {
    return generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
}

// A fresh object: one that libxdp tried to load as an extension can't be loaded plainly any more.
Result<XdpObject> fresh_object(const SharedMaps& maps, int counters_fd) {
    return XdpObject::open(maps, counters_fd, TableSizes{1, 1, 1});  // every map is shared, none is created
}

// 0 or -errno.
int attach_through_dispatcher(unsigned ifindex, bool generic, unsigned priority, XdpObject& object,
                              UniqueFd& program_fd) {
    const Program program = owned<Program>(xdp_program__from_bpf_obj(object.skeleton()->obj, kSection));
    if (!program) return -EINVAL;
    if (const int error = xdp_program__set_run_prio(program.get(), priority); error != 0) return error;
    const int error = xdp_program__attach(program.get(), static_cast<int>(ifindex),
                                          generic ? XDP_MODE_SKB : XDP_MODE_NATIVE, 0);
    if (error != 0) return error;
    program_fd.reset(::dup(xdp_program__fd(program.get())));
    return 0;
}

int attach_plainly(unsigned ifindex, bool generic, int program_fd, std::uint32_t replaced_id) {
    LIBBPF_OPTS(bpf_xdp_attach_opts, options);
    std::uint32_t flags = flags_of(generic);
    UniqueFd replaced;
    if (replaced_id != 0) {
        replaced.reset(bpf_prog_get_fd_by_id(replaced_id));
        options.old_prog_fd = replaced.get();
        flags |= XDP_FLAGS_REPLACE;  // fails if anything else runs there by now
    } else {
        flags |= XDP_FLAGS_UPDATE_IF_NOEXIST;
    }
    return bpf_xdp_attach(static_cast<int>(ifindex), program_fd, flags, &options);
}

const char* mode_name(bool generic) {
    return generic ? "generic" : "native";
}

struct Attempt {
    int error = 0;
    UniqueFd program;
    std::string via;
    std::string note;
};

// One mode: the dispatcher first, so that other programs can run beside ours, then plainly.
Result<Attempt> attach_in_mode(unsigned ifindex, bool generic, unsigned priority, const AttachedXdp& before,
                               const SharedMaps& maps, int counters_fd) {
    Attempt attempt;
    const bool plain_ours = before.ours && !before.dispatcher;
    int dispatcher_error = 0;
    if (!plain_ours) {
        auto object = fresh_object(maps, counters_fd);
        if (!object) return object.error();
        dispatcher_error = attach_through_dispatcher(ifindex, generic, priority, *object, attempt.program);
        if (dispatcher_error == 0) {
            attempt.via = dispatcher_of(ifindex) ? "dispatcher" : "plain";
            if (attempt.via == "plain")
                attempt.note = "no other XDP program can run beside ours: " + take_bpf_warnings();
            return attempt;
        }
        if (before.dispatcher) {
            attempt.error = dispatcher_error;
            return attempt;
        }
    }
    auto object = fresh_object(maps, counters_fd);
    if (!object) return object.error();
    if (const auto loaded = object->load(); !loaded) return loaded.error();
    auto program = object->program();
    if (!program) return program.error();
    attempt.error = attach_plainly(ifindex, generic, program->get(), plain_ours ? before.program_id : 0);
    attempt.program = std::move(*program);
    attempt.via = "plain";
    if (plain_ours)
        attempt.note = "took the place of an older plainly attached program of ours";
    else
        attempt.note = std::string{"the kernel refuses libxdp's dispatcher ("} +
                       std::strerror(-dispatcher_error) + "): no other XDP program can run beside ours";
    return attempt;
}

// Takes one program of ours out of a dispatcher; the others go on.
int leave_dispatcher(unsigned ifindex, std::uint32_t id) {
    const Multiprog programs = dispatcher_of(ifindex);
    if (!programs) return 0;
    xdp_program* program = nullptr;
    while ((program = xdp_multiprog__next_prog(program, programs.get())) != nullptr)
        if (xdp_program__id(program) == id)
            return xdp_program__detach(program, static_cast<int>(ifindex),
                                       xdp_multiprog__attach_mode(programs.get()), 0);
    return 0;
}

}  // namespace

Result<AttachedXdp> look_at_interface(unsigned ifindex, const std::string& name) {
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    const int error = bpf_xdp_query(static_cast<int>(ifindex), 0, &query);
    if (error != 0) return system_error("ask interface", name, -error);
    AttachedXdp attached;
    attached.program_id = query.drv_prog_id != 0 ? query.drv_prog_id : query.skb_prog_id;
    if (attached.program_id == 0) attached.program_id = query.hw_prog_id;
    attached.generic = query.skb_prog_id != 0;
    if (attached.program_id == 0) return attached;
    attached.name = program_name(attached.program_id);
    if (attached.name == kProgramName) {
        attached.ours = true;
        attached.our_id = attached.program_id;
    } else if (attached.name == kDispatcherName) {
        const Multiprog programs = dispatcher_of(ifindex);
        attached.dispatcher = programs != nullptr;
        xdp_program* program = nullptr;
        while (programs && (program = xdp_multiprog__next_prog(program, programs.get())) != nullptr)
            if (std::strcmp(xdp_program__name(program), kProgramName) == 0) {
                attached.ours = true;
                attached.our_id = xdp_program__id(program);
            }
    }
    return attached;
}

Result<Attachment> attach_xdp(unsigned ifindex, const std::string& name, XdpMode mode, unsigned priority,
                              const SharedMaps& maps, int counters_fd) {
    auto before = look_at_interface(ifindex, name);
    if (!before) return before.error();
    if (before->program_id != 0 && !before->ours && !before->dispatcher)
        return Error{
            ErrorCode::kConflict,
            "attach to " + name + ": the XDP program '" + before->name + "' (id " +
                std::to_string(before->program_id) +
                ") runs there without libxdp's dispatcher, so nothing can run beside it; detach it first"};

    Attachment attachment;
    attachment.state.name = name;
    attachment.state.ifindex = ifindex;
    // A program in the other mode must go first: the kernel runs only one mode at a time.
    const bool wrong_mode =
        before->ours && mode != XdpMode::kAuto && before->generic != (mode == XdpMode::kGeneric);
    if (wrong_mode) {
        if (const auto gone = detach_xdp_program(ifindex, name); !gone) return gone.error();
        attachment.state.note = std::string{"changed from "} + mode_name(before->generic) + " mode; ";
        before = look_at_interface(ifindex, name);
        if (!before) return before.error();
    }
    std::vector<bool> modes;  // generic?
    if (before->program_id != 0)
        modes = {before->generic};
    else if (mode == XdpMode::kAuto)
        modes = {false, true};
    else
        modes = {mode == XdpMode::kGeneric};

    int native_error = 0;
    for (const bool generic : modes) {
        auto attempt = attach_in_mode(ifindex, generic, priority, *before, maps, counters_fd);
        if (!attempt) return attempt.error();
        if (attempt->error != 0) {
            native_error = attempt->error;
            continue;
        }
        attachment.program = std::move(attempt->program);
        attachment.state.mode = mode_name(generic);
        attachment.state.via = attempt->via;
        attachment.state.attached = true;
        if (native_error != 0)
            attachment.state.note +=
                std::string{"the driver refuses native mode ("} + std::strerror(-native_error) + "); ";
        attachment.state.note += attempt->note;
        if (attachment.state.note.ends_with("; "))
            attachment.state.note.resize(attachment.state.note.size() - 2);
        // In a dispatcher the new program runs beside the old until here; what both pass is counted by both.
        if (before->dispatcher && before->ours)
            if (const int error = leave_dispatcher(ifindex, before->our_id); error != 0)
                return system_error("take the older program off", name, -error);
        return attachment;
    }
    Error failure =
        system_error(std::string{"attach in "} + mode_name(modes.back()) + " mode to", name, -native_error);
    if (mode == XdpMode::kNative) failure.message += "; --xdp-mode auto would fall back to generic";
    return failure;
}

Result<> detach_xdp_program(unsigned ifindex, const std::string& name) {
    const auto attached = look_at_interface(ifindex, name);
    if (!attached) return attached.error();
    if (!attached->ours) return {};
    int error = 0;
    if (attached->dispatcher) {
        error = leave_dispatcher(ifindex, attached->our_id);
    } else {
        LIBBPF_OPTS(bpf_xdp_attach_opts, options);
        const UniqueFd program{bpf_prog_get_fd_by_id(attached->program_id)};
        options.old_prog_fd = program.get();
        error = bpf_xdp_detach(static_cast<int>(ifindex), flags_of(attached->generic) | XDP_FLAGS_REPLACE,
                               &options);
    }
    if (error != 0) return system_error("detach from", name, -error);
    return {};
}

}  // namespace sluice
