#include "kernel/bpf_enforcer.hpp"

#include <bpf/bpf.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "kernel/kernel_tables.hpp"
#include "kernel/pins.hpp"
#include "kernel/xdp_program.hpp"

namespace sluice {
namespace {

constexpr const char* kProgramPin = "/program";
constexpr const char* kCountersPin = "/counters";

struct AttachedInterface {
    InterfaceState state;
    UniqueFd program;
    UniqueFd counters;
};

std::uint32_t program_id(int fd) {
    bpf_prog_info info{};
    std::uint32_t bytes = sizeof info;
    return bpf_obj_get_info_by_fd(fd, &info, &bytes) == 0 ? info.id : 0;
}

class BpfEnforcer final : public KernelEnforcer {
  public:
    BpfEnforcer(Pins pins, UniqueFd lock, std::unique_ptr<KernelTables> tables, Adoption adoption)
        : pins_(std::move(pins)),
          lock_(std::move(lock)),
          tables_(std::move(tables)),
          adoption_(std::move(adoption)) {}

    Result<> apply(const KernelPolicy& policy, const SourcePrefix& source_prefix,
                   const std::vector<IpPrefix>& never_ban, std::uint64_t generation) override {
        return tables_->apply(policy, source_prefix, never_ban, generation);
    }
    std::uint64_t generation() const override { return tables_->generation(); }
    std::vector<InterfaceState> interfaces() const override {
        std::vector<InterfaceState> states;
        for (const AttachedInterface& one : interfaces_) states.push_back(one.state);
        return states;
    }
    Result<std::vector<InterfaceCounters>> counters() const override {
        std::vector<InterfaceCounters> all;
        for (const AttachedInterface& one : interfaces_) {
            const auto counters = read_counters(one.counters.get());
            if (!counters) return counters.error();
            InterfaceCounters& out = all.emplace_back();
            out.name = one.state.name;
            for (std::size_t i = 0; i < kKernelReasons; ++i) {
                out.reasons[i] = {counters->reason[i].packets, counters->reason[i].bytes};
                out.would_drop[i] = {counters->would[i].packets, counters->would[i].bytes};
            }
        }
        return all;
    }
    KernelStatistics statistics() const override {
        KernelStatistics sum;
        for (const AttachedInterface& one : interfaces_)
            if (const auto counters = read_counters(one.counters.get())) {
                sum.events_lost += counters->events_lost;
                sum.bans_refused += counters->bans_refused;
                sum.sources_evicted += counters->sources_evicted;
                sum.newcomers_skipped += counters->newcomers_skipped;
                sum.claims_lost += counters->claims_lost;
                sum.charge_retries += counters->charge_retries;
                sum.syns += counters->syns;
            }
        return sum;
    }
    std::vector<MapUsage> maps() const override { return tables_->maps(); }
    const Adoption& adopted() const override { return adoption_; }
    Result<> ban(const BanRequest& request) override { return tables_->ban(request); }
    Result<> lift(const IpPrefix& source) override { return tables_->lift(source); }
    std::vector<Ban> take_lifted() override { return tables_->take_lifted(); }
    Result<std::vector<Ban>> bans() const override { return tables_->bans(); }
    int event_fd() const override { return tables_->event_fd(); }
    std::size_t drain(const std::function<void(const KernelEvent&)>& on_event) override {
        return tables_->drain(on_event);
    }
    bool makes_cookies() const override { return kernel_makes_cookies(); }
    CookieAnswers cookie_answers() const override { return tables_->cookie_answers(); }
    void set_cookie_answers(const CookieAnswers& answers) override { tables_->set_cookie_answers(answers); }
    PacketCapture& capture() override { return tables_->capture(); }
    std::vector<Ban> tick() override {
        for (AttachedInterface& one : interfaces_) {
            const auto attached = look_at_interface(one.state.ifindex, one.state.name);
            one.state.attached =
                attached && attached->ours && attached->our_id == program_id(one.program.get());
        }
        return tables_->tick();
    }
    std::vector<TopTalker> top(TopOf of, TopBy by, std::size_t count) const override {
        return tables_->top(of, by, count);
    }
    Result<SourceVerdict> explain(const IpAddress& address) const override {
        return tables_->explain(address);
    }

    Result<> detach() override {
        Result<> result;
        for (const AttachedInterface& one : interfaces_) {
            if (const auto gone = detach_xdp_program(one.state.ifindex, one.state.name); !gone) result = gone;
        }
        if (!result) return result;
        return pins_.remove_shared();
    }

    // Adds one interface; what was done goes to the adoption's notes.
    Result<> attach(const std::string& name, XdpMode mode, unsigned priority, bool same_build) {
        const unsigned ifindex = ::if_nametoindex(name.c_str());
        if (ifindex == 0) return system_error("find interface", name, errno);
        for (const AttachedInterface& one : interfaces_)
            if (one.state.ifindex == ifindex)
                return Error{ErrorCode::kInvalid, "attach to " + name + ": the interface is named twice"};
        const std::string directory = pins_.interface_directory(ifindex);
        auto counters = Pins::get(directory + kCountersPin);
        if (!counters) return counters.error();
        auto program = Pins::get(directory + kProgramPin);
        if (!program) return program.error();
        const auto before = look_at_interface(ifindex, name);
        if (!before) return before.error();

        const bool mode_fits = mode == XdpMode::kAuto || before->generic == (mode == XdpMode::kGeneric);
        if (same_build && mode_fits && *counters && *program && before->ours &&
            before->our_id == program_id(program->get())) {
            AttachedInterface& one = interfaces_.emplace_back();
            one.state = {name,
                         ifindex,
                         before->generic ? "generic" : "native",
                         before->dispatcher ? "dispatcher" : "plain",
                         "adopted as it ran",
                         true};
            one.program = std::move(*program);
            one.counters = std::move(*counters);
            adoption_.notes.push_back("adopted the program on " + name + ", same build");
            return {};
        }
        if (!*counters) {
            auto fresh = create_counters();
            if (!fresh) return fresh.error();
            counters = std::move(fresh);
        }
        auto attached = attach_xdp(ifindex, name, mode, priority, tables_->descriptors(), counters->get());
        if (!attached) return attached.error();
        if (before->ours)
            adoption_.notes.push_back("replaced the program on " + name +
                                      (mode_fits ? ", without a gap" : ", in the other mode"));
        AttachedInterface& one = interfaces_.emplace_back();
        one.state = std::move(attached->state);
        one.program = std::move(attached->program);
        one.counters = std::move(*counters);
        fresh_.push_back(before->ours ? 0 : ifindex);
        if (const auto made = pins_.create_directory(directory); !made) return made;
        if (const auto put = Pins::put(one.counters.get(), directory + kCountersPin); !put) return put;
        return Pins::put(one.program.get(), directory + kProgramPin);
    }

    // Takes our program off the interfaces that are no longer named.
    Result<> leave_others() {
        const auto pinned = pins_.interfaces();
        if (!pinned) return pinned.error();
        for (const unsigned ifindex : *pinned) {
            const auto kept = [&](const AttachedInterface& one) { return one.state.ifindex == ifindex; };
            if (std::ranges::any_of(interfaces_, kept)) continue;
            std::array<char, IF_NAMESIZE> name{};
            if (::if_indextoname(ifindex, name.data()) != nullptr) {
                if (const auto gone = detach_xdp_program(ifindex, name.data()); !gone) return gone;
                adoption_.notes.push_back(std::string{"detached from "} + name.data() +
                                          ", which is no longer named");
            }
            if (const auto removed = pins_.remove_interface(ifindex); !removed) return removed;
        }
        return {};
    }

    // Undoes the attachments of this start, those in place of older programs excepted: without them the
    // interface would be open.
    void undo() {
        for (const AttachedInterface& one : interfaces_)
            if (std::ranges::find(fresh_, one.state.ifindex) != fresh_.end()) {
                static_cast<void>(detach_xdp_program(one.state.ifindex, one.state.name));
                static_cast<void>(pins_.remove_interface(one.state.ifindex));
            }
        if (const auto left = pins_.interfaces(); left && left->empty())
            static_cast<void>(pins_.remove_shared());
    }

  private:
    static Result<UniqueFd> create_counters() {
        UniqueFd map{bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "counters", sizeof(std::uint32_t),
                                    sizeof(sluice_counters), 1, nullptr)};
        if (!map) return system_error("create map", "counters", errno);
        return map;
    }

    Pins pins_;
    UniqueFd lock_;
    std::unique_ptr<KernelTables> tables_;
    Adoption adoption_;
    std::vector<AttachedInterface> interfaces_;
    std::vector<unsigned> fresh_;  // ifindexes on which this start put the first program
};

// The pinned maps, or none of them with the reason in a note.
Result<SharedMaps> adopt_maps(const Pins& pins, Adoption& adoption) {
    SharedMaps maps;
    std::size_t found = 0;
    for (const SharedMaps::Named& named : SharedMaps::all()) {
        auto fd = Pins::get(pins.directory() + "/" + named.name);
        if (!fd) return fd.error();
        found += *fd ? 1 : 0;
        maps.*named.fd = std::move(*fd);
    }
    if (found == 0) return SharedMaps{};
    std::string why;
    if (found != SharedMaps::all().size()) {
        why = "only " + std::to_string(found) + " of " + std::to_string(SharedMaps::all().size()) +
              " maps are pinned";
    } else {
        std::array<std::uint32_t, 2> head{};  // magic and version stand first in every version
        const auto shape = shape_of(maps.control.get(), "control");
        if (!shape) return shape.error();
        std::vector<std::uint8_t> control(std::max<std::size_t>(shape->value_bytes, sizeof head));
        const std::uint32_t first = 0;
        if (const int error = bpf_map_lookup_elem(maps.control.get(), &first, control.data()); error != 0)
            return system_error("read map", "control", -error);
        std::copy_n(control.begin(), sizeof head, reinterpret_cast<std::uint8_t*>(head.data()));
        if (head[0] != SLUICE_ABI_MAGIC || head[1] != SLUICE_ABI_VERSION)
            why = "they are of ABI version " + std::to_string(head[1]) + ", this build's is " +
                  std::to_string(SLUICE_ABI_VERSION);
    }
    if (why.empty()) {
        adoption.maps_adopted = true;
        return maps;
    }
    adoption.notes.push_back("replaced the pinned maps: " + why +
                             "; counters, bans and source state start anew");
    // The old programs keep the old maps until each is replaced; only the names go.
    if (const auto removed = pins.remove_shared(); !removed) return removed.error();
    return SharedMaps{};
}

Result<SharedMaps> create_maps(const Pins& pins, const BpfEnforcerOptions& options) {
    auto object = XdpObject::open(SharedMaps{}, -1, {options.source_sets, options.prefix_sets, options.bans});
    if (!object) return object.error();
    if (const auto created = object->create_maps(); !created) return created.error();
    auto maps = object->maps();
    if (!maps) return maps;
    const auto clock = object->clock_program();
    if (!clock) return clock.error();
    if (const auto initialised = initialise_control(*maps, clock->get()); !initialised)
        return initialised.error();
    if (const auto made = pins.create_directory(pins.directory()); !made) return made.error();
    for (const SharedMaps::Named& named : SharedMaps::all())
        if (const auto put = Pins::put(((*maps).*named.fd).get(), pins.directory() + "/" + named.name); !put)
            return put.error();
    return maps;
}

}  // namespace

Result<std::unique_ptr<KernelEnforcer>> open_bpf_enforcer(const BpfEnforcerOptions& options) {
    if (options.interfaces.empty())
        return Error{ErrorCode::kInvalid, "open kernel enforcer: no interface named"};
    auto pins = Pins::of_this_netns();
    if (!pins) return pins.error();
    auto lock = pins->try_lock();
    if (!lock) return lock.error();
    if (!*lock)
        return Error{ErrorCode::kConflict,
                     "open kernel enforcer: another sluiced runs in this network namespace"};

    Adoption adoption;
    auto maps = adopt_maps(*pins, adoption);
    if (!maps) return maps.error();
    if (!adoption.maps_adopted) {
        maps = create_maps(*pins, options);
        if (!maps) return maps.error();
    }
    auto control = MappedMemory::of_map(maps->control.get(), sizeof(sluice_control), "control");
    if (!control) return control.error();
    auto& build = control->as<sluice_control>().front().build;
    const bool same_build = adoption.maps_adopted && build == xdp_object_hash();

    auto tables = KernelTables::open(std::move(*maps));
    if (!tables) return tables.error();
    adoption.generation = (*tables)->generation();
    if (adoption.maps_adopted)
        adoption.notes.insert(adoption.notes.begin(), "adopted the pinned maps, policy generation " +
                                                          std::to_string(adoption.generation));
    auto enforcer = std::make_unique<BpfEnforcer>(std::move(*pins), std::move(*lock), std::move(*tables),
                                                  std::move(adoption));
    for (const std::string& name : options.interfaces)
        if (const auto attached = enforcer->attach(name, options.mode, options.priority, same_build);
            !attached) {
            enforcer->undo();
            return attached.error();
        }
    if (const auto left = enforcer->leave_others(); !left) return left.error();
    build = xdp_object_hash();
    return std::unique_ptr<KernelEnforcer>{std::move(enforcer)};
}

}  // namespace sluice
