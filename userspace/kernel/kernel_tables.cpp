#include "kernel/kernel_tables.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "kernel/abi_convert.hpp"
#include "kernel/prefix_verify.hpp"
#include "kernel/source_reader.hpp"

namespace sluice {
namespace {

constexpr std::size_t kMostEventsPerDrain = 4096;
constexpr Nanos kDecayEvery = kMinute;
constexpr std::size_t kCountEvery = 64;  // sets looked at for maps(): half a MiB of 32

// The blocks as an inner map, ready to be seen by the program. A set without blocks has one that no one reads.
Result<UniqueFd> make_set_blocks(const std::vector<sluice_fences>& blocks) {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);
    const std::size_t count = std::max<std::size_t>(blocks.size(), 1);
    UniqueFd map{bpf_map_create(BPF_MAP_TYPE_ARRAY, "set_blocks", sizeof(std::uint32_t),
                                sizeof(sluice_fences), static_cast<std::uint32_t>(count), &options)};
    if (!map) return system_error("create map", "set_blocks", errno);
    auto memory = MappedMemory::of_map(map.get(), count * sizeof(sluice_fences), "set_blocks");
    if (!memory) return memory.error();
    std::ranges::copy(blocks, memory->as<sluice_fences>().begin());
    return map;
}

// What stands in the map, against what the policy says: before the first packet sees it.
Result<> verify_lists(int blocks_fd, const KernelPlan& plan, const KernelPolicy& policy) {
    const std::size_t count = std::max<std::size_t>(plan.blocks.size(), 1);
    const auto memory = MappedMemory::of_map(blocks_fd, count * sizeof(sluice_fences), "set_blocks");
    if (!memory) return memory.error();
    const std::span<const sluice_fences> blocks = memory->as<sluice_fences>();
    for (const bool ipv4 : {true, false}) {
        const std::size_t family = ipv4 ? SLUICE_IPV4 : SLUICE_IPV6;
        const auto verify = [&](const sluice_prefix_set& set, const std::vector<IpPrefix>& prefixes,
                                const char* list) {
            return verify_prefix_set(set, blocks, prefixes, ipv4, list);
        };
        if (auto read = verify(plan.policy.allow[family], policy.allow.prefixes, "kernel.allow"); !read)
            return read;
        if (auto read = verify(plan.policy.deny[family], policy.deny.prefixes, "kernel.deny"); !read)
            return read;
        if (auto read = verify(plan.policy.never_ban[family], plan.never_ban,
                               "trusted_proxies and kernel.allow, never banned,");
            !read)
            return read;
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<KernelTables>> KernelTables::open(SharedMaps maps) {
    auto bans = BanTable::open(maps);
    if (!bans) return bans.error();
    std::unique_ptr<KernelTables> tables{new KernelTables{std::move(maps), std::move(*bans)}};
    struct Mapped {
        MappedMemory KernelTables::*memory;
        const UniqueFd& fd;
        const char* name;
    };
    const SharedMaps& held = tables->maps_;
    for (const Mapped& one : {Mapped{&KernelTables::control_, held.control, "control"},
                              Mapped{&KernelTables::policies_, held.policies, "policies"},
                              Mapped{&KernelTables::sources_, held.sources, "sources"},
                              Mapped{&KernelTables::prefixes_, held.prefixes, "prefixes"},
                              Mapped{&KernelTables::talkers_, held.talkers, "talkers"}}) {
        const auto shape = shape_of(one.fd.get(), one.name);
        if (!shape) return shape.error();
        auto memory = MappedMemory::of_map(one.fd.get(), std::size_t{shape->value_bytes} * shape->max_entries,
                                           one.name);
        if (!memory) return memory.error();
        tables.get()->*one.memory = std::move(*memory);
    }
    const auto on_sample = [](void* context, void* data, std::size_t bytes) {
        auto& self = *static_cast<KernelTables*>(context);
        sluice_event event{};
        if (bytes < sizeof event) return 0;
        std::memcpy(&event, data, sizeof event);
        self.on_event_(self.to_event(event));
        return ++self.drained_ < kMostEventsPerDrain ? 0 : -ECANCELED;
    };
    tables->ring_ = ring_buffer__new(held.events.get(), on_sample, tables.get(), nullptr);
    if (tables->ring_ == nullptr) return system_error("open ring buffer", "events", errno);
    auto capture = open_packet_capture(held);
    if (!capture) return capture.error();
    tables->capture_ = std::move(*capture);
    if (const auto read = tables->read_standing_policy(); !read) return read.error();
    return tables;
}

KernelTables::~KernelTables() {
    ring_buffer__free(ring_);
}

Result<> KernelTables::read_standing_policy() {
    auto policy = read_policy_in_force(maps_.control.get(), maps_.policies.get());
    if (!policy) return policy.error();
    standing_ = *policy;
    generation_ = standing_ ? standing_->generation : 0;
    return {};
}

Result<> KernelTables::put_in_force(const KernelPlan& plan, const KernelPolicy& policy) {
    const auto blocks = make_set_blocks(plan.blocks);
    if (!blocks) return blocks.error();
    if (const auto verified = verify_lists(blocks->get(), plan, policy); !verified) return verified;
    std::atomic_ref active{control_.as<sluice_control>().front().active};
    const std::uint32_t old = active.load();
    const std::uint32_t next = old == 1 ? 2 : 1;
    const std::uint32_t slot = next - 1;
    const int fd = blocks->get();
    if (const int error = bpf_map_update_elem(maps_.lists.get(), &slot, &fd, BPF_ANY); error != 0)
        return system_error("put in force", "lists", -error);
    policies_.as<sluice_policy>()[slot] = plan.policy;
    active.store(next);  // between two packets
    if (old != 0) {
        // Putting there what is there returns when no packet is under the old policy any more; only then may its lists go.
        // Neither can fail on a slot that is there; if they did, the next apply() would wait just as well.
        const std::uint32_t old_slot = old - 1;
        static_cast<void>(bpf_map_update_elem(maps_.lists.get(), &slot, &fd, BPF_ANY));
        static_cast<void>(bpf_map_delete_elem(maps_.lists.get(), &old_slot));
    }
    return {};
}

Result<> KernelTables::apply(const KernelPolicy& policy, const SourcePrefix& source_prefix,
                             const std::vector<IpPrefix>& never_ban, std::uint64_t generation) {
    if (const auto problems = check_kernel_policy(policy, source_prefix); !problems.empty())
        return Error{ErrorCode::kInvalid, problems.front().path + " " + problems.front().message};
    KernelPlanContext context;
    context.source_prefix = source_prefix;
    context.never_ban = never_ban;
    context.generation = generation;
    context.coarse_tick = coarse_tick();
    context.previous = standing_ ? &*standing_ : nullptr;
    KernelPlan plan = make_kernel_plan(policy, context);

    if (const auto set = bans_.set_source_lengths(source_prefix); !set) return set.error();
    if (const auto done = put_in_force(plan, policy); !done) return done.error();

    generation_ = generation;
    standing_ = plan.policy;
    plan.blocks = {};
    plan.never_ban = {};
    previous_ = std::exchange(plan_, std::move(plan));
    allow_ = PrefixSet{policy.allow.prefixes};
    deny_ = PrefixSet{policy.deny.prefixes};
    never_ban_ = PrefixSet{never_ban};
    return lift_protected();
}

Result<> KernelTables::lift_protected() {
    const auto standing = bans_.list(monotonic_now());
    if (!standing) return standing.error();
    for (const Ban& ban : *standing) {
        if (!allow_.overlaps(ban.source) && !never_ban_.overlaps(ban.source)) continue;
        const auto lifted = bans_.lift(ban.source);
        if (!lifted && lifted.error().code != ErrorCode::kNotFound) return lifted.error();
        if (lifted) lifted_.push_back(ban);
    }
    return {};
}

Result<> KernelTables::ban(const BanRequest& request) {
    const auto refuse = [&](const char* why) {
        return Error{ErrorCode::kConflict, "ban " + request.source.to_string() + ": " + why};
    };
    if (allow_.overlaps(request.source)) return refuse("holds an address of the policy's allow list");
    if (never_ban_.overlaps(request.source)) return refuse("holds a trusted proxy");
    return bans_.place(request, monotonic_now());
}

CookieAnswers KernelTables::cookie_answers() const {
    return cookie_answers_of(control_.as<sluice_control>().front());
}

void KernelTables::set_cookie_answers(const CookieAnswers& answers) {
    sluice_control& control = control_.as<sluice_control>().front();
    control.told = answers.told;
    control.syncookies_before = static_cast<std::uint8_t>(answers.syncookies_before);
    control.timestamps_before = static_cast<std::uint8_t>(answers.timestamps_before);
    control.cookie_mss[SLUICE_IPV4] = answers.mss_ipv4;
    control.cookie_mss[SLUICE_IPV6] = answers.mss_ipv6;
    control.cookie_scale = answers.window_scale;
    std::uint32_t flags = 0;
    if (answers.on) flags |= SLUICE_COOKIES_ON;
    if (answers.redirect) flags |= SLUICE_COOKIES_REDIRECT;
    if (answers.stamped) flags |= SLUICE_COOKIES_STAMPED;
    std::atomic_ref{control.cookies}.store(flags);
}

std::vector<Ban> KernelTables::tick() {
    const Nanos now = monotonic_now();
    if (now >= next_decay_) {
        if (next_decay_ != 0) decay_top(talkers_);
        next_decay_ = now + kDecayEvery;
    }
    return bans_.sweep(now);
}

int KernelTables::event_fd() const {
    return ring_buffer__epoll_fd(ring_);
}

std::size_t KernelTables::drain(const std::function<void(const KernelEvent&)>& on_event) {
    on_event_ = on_event;
    drained_ = 0;
    static_cast<void>(ring_buffer__consume(ring_));  // negative only when our own bound stopped it
    on_event_ = nullptr;
    return drained_;
}

std::string KernelTables::limit_name(const sluice_event& event) const {
    if (event.limit >= SLUICE_LIMITS_MAX || event.scope > 1) return {};
    for (const auto* plan : {&plan_, &previous_})
        if (plan->has_value() && (*plan)->policy.generation == event.generation)
            return (*plan)->limit_names[event.group % SLUICE_GROUPS][event.scope][event.limit];
    return {};
}

KernelEvent KernelTables::to_event(const sluice_event& event) const {
    KernelEvent out;
    const bool ban = event.kind == SLUICE_EVENT_BAN;
    out.kind = ban ? KernelEvent::Kind::kBanBegan : KernelEvent::Kind::kDropSample;
    out.time = static_cast<Nanos>(event.time_ns);
    std::array<char, IF_NAMESIZE> name{};
    if (::if_indextoname(event.ifindex, name.data()) != nullptr) out.interface = name.data();
    out.address = from_abi(event.address);
    if (ban) out.source = IpPrefix{out.address, event.ban_length};
    out.reason = kernel_reasons()[std::min<std::size_t>(event.reason, SLUICE_INTERNAL_ERROR)].name;
    out.limit = limit_name(event);
    out.shadow = event.shadow != 0;
    out.protocol = event.protocol;
    out.destination_port = event.destination_port;
    out.length_bytes = event.length_bytes;
    out.ban_duration = static_cast<Nanos>(event.ban_for_ns);
    return out;
}

std::vector<MapUsage> KernelTables::maps() const {
    const Nanos now = monotonic_now();
    const sluice_control& control = control_.as<sluice_control>().front();
    std::vector<MapUsage> usages{{"bans", bans_.entries(), bans_.capacity()},
                                 {"policies", generation_ != 0 ? 1U : 0U, SLUICE_POLICY_SLOTS}};
    for (std::size_t group = 0; group < SLUICE_GROUPS; ++group) {
        const std::string name = plan_ ? plan_->group_names[group] : "";
        if (group != 0 && name.empty()) continue;
        for (const std::size_t scope : {SLUICE_SCOPE_SOURCE, SLUICE_SCOPE_PREFIX}) {
            const sluice_region& region = control.regions[group][scope];
            const std::size_t size = std::size_t{region.mask} + 1;
            const MappedMemory& table = scope == SLUICE_SCOPE_SOURCE ? sources_ : prefixes_;
            const auto sets = table.as<sluice_set>().subspan(region.base, size);
            const std::uint64_t entries = standing_ ? count_entries(sets, standing_->limits[group][scope],
                                                                    now, std::min(kCountEvery, size))
                                                    : 0;
            usages.push_back(
                {(scope == SLUICE_SCOPE_SOURCE ? "sources" : "prefixes") + (name.empty() ? "" : "/" + name),
                 entries, size * SLUICE_WAYS});
        }
    }
    return usages;
}

std::vector<TopTalker> KernelTables::top(TopOf of, TopBy by, std::size_t count) const {
    return standing_ ? read_top(talkers_, *standing_, of, by, count) : std::vector<TopTalker>{};
}

Result<SourceVerdict> KernelTables::explain(const IpAddress& address) const {
    SourceVerdict result{.verdict = "pass", .reason = "passed", .ban = std::nullopt, .limits = {}};
    if (!plan_ || (plan_->policy.flags & SLUICE_POLICY_JUDGE) == 0) {
        result.reason = "unprotected";
        return result;
    }
    const Nanos now = monotonic_now();
    auto limits = read_limits(maps_, control_.as<sluice_control>().front(), *plan_, address, now);
    if (!limits) return limits.error();
    result.limits = std::move(*limits);
    result.ban = bans_.covering(address, now);
    const auto drop = [&](std::string_view reason) {
        const bool shadow = (plan_->policy.flags & SLUICE_POLICY_SHADOW) != 0;
        result.verdict = shadow ? "pass" : "drop";
        result.reason = shadow ? "shadow" : reason;
    };
    if (allow_.contains(address)) {
        result.reason = "allowed";
    } else if (deny_.contains(address)) {
        drop("denied");
    } else if (result.ban) {
        drop("banned");
    } else {
        // Limits that count every packet speak for an ordinary one; the others are listed with what is left
        // of them.
        for (const LimitState& limit : result.limits) {
            if (!limit.every_packet || limit.available > 0) continue;
            if (!limit.shadow) {
                drop(limit.reason);
                return result;
            }
            result.reason = "shadow";
        }
    }
    return result;
}

}  // namespace sluice
