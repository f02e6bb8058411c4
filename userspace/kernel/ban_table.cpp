#include "kernel/ban_table.hpp"

#include <bpf/bpf.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>

#include "kernel/abi_convert.hpp"
#include "kernel/bpf_arithmetic.hpp"

namespace sluice {
namespace {

constexpr Nanos kLongestBan = 10 * 365 * kDay;

Ban to_ban(const sluice_ban_key& key, const sluice_ban& value, Nanos now) {
    Ban ban;
    ban.source = from_ban_key(key);
    ban.origin = static_cast<BanOrigin>(value.origin);
    ban.reason = value.origin == SLUICE_BAN_KERNEL && value.reason < kKernelReasons
                     ? std::string{kernel_reasons()[value.reason].name}
                     : std::string{value.note, ::strnlen(value.note, sizeof value.note)};
    ban.expires_in = static_cast<Nanos>(value.expires_ns) - now;
    ban.packets = value.packets;
    return ban;
}

template <class T>
void add(T& shared, int change) {
    std::atomic_ref{shared}.fetch_add(static_cast<T>(change));
}

}  // namespace

Result<BanTable> BanTable::open(const SharedMaps& maps) {
    BanTable table;
    const auto bans = shape_of(maps.bans.get(), "bans");
    const auto filter = shape_of(maps.ban_filter.get(), "ban_filter");
    if (!bans) return bans.error();
    if (!filter) return filter.error();
    auto control_memory = MappedMemory::of_map(maps.control.get(), sizeof(sluice_control), "control");
    if (!control_memory) return control_memory.error();
    auto filter_memory = MappedMemory::of_map(maps.ban_filter.get(),
                                              filter->max_entries * sizeof(std::uint64_t), "ban_filter");
    if (!filter_memory) return filter_memory.error();
    table.bans_ = maps.bans.get();
    table.capacity_ = bans->max_entries;
    table.control_ = std::move(*control_memory);
    table.filter_ = std::move(*filter_memory);
    return table;
}

std::uint32_t BanTable::entries() const {
    return std::atomic_ref{control().bans}.load();
}

Result<std::vector<std::pair<sluice_ban_key, sluice_ban>>> BanTable::read_all() const {
    std::vector<std::pair<sluice_ban_key, sluice_ban>> all;
    if (entries() == 0) return all;
    // A little more than can be there: a bucket that does not fit whole would stop the batch (ENOSPC).
    const std::size_t room = capacity_ + 64;
    std::vector<sluice_ban_key> keys(std::min<std::size_t>(room, entries() + 4096));
    std::vector<sluice_ban> values(keys.size());
    std::uint32_t position = 0;
    bool first = true;
    for (;;) {
        auto count = static_cast<std::uint32_t>(keys.size());
        const int error = bpf_map_lookup_batch(bans_, first ? nullptr : &position, &position, keys.data(),
                                               values.data(), &count, nullptr);
        if (error != 0 && error != -ENOENT) return system_error("read map", "bans", -error);
        for (std::uint32_t i = 0; i < count; ++i) all.emplace_back(keys[i], values[i]);
        if (error == -ENOENT) return all;
        first = false;
    }
}

Result<> BanTable::publish_lengths(const std::set<std::pair<bool, unsigned>>& lengths) {
    for (const bool ipv4 : {true, false}) {
        std::array<std::uint8_t, SLUICE_BAN_LENGTHS> list{};
        std::size_t used = 0;
        for (const auto& [of_ipv4, length] : lengths) {
            if (of_ipv4 != ipv4) continue;
            if (used == list.size())
                return Error{ErrorCode::kExhausted,
                             std::string{"ban: there are bans of "} + std::to_string(list.size()) +
                                 " different " + (ipv4 ? "IPv4" : "IPv6") +
                                 " prefix lengths already; lift one, or use one of theirs"};
            list[used++] = static_cast<std::uint8_t>(length);
        }
        // The program reads the four bytes one by one; one store, so that it never sees half a list.
        auto* target = static_cast<void*>(control().ban_lengths[ipv4 ? SLUICE_IPV4 : SLUICE_IPV6]);
        std::atomic_ref{*static_cast<std::uint32_t*>(target)}.store(std::bit_cast<std::uint32_t>(list));
    }
    return {};
}

Result<> BanTable::set_source_lengths(const SourcePrefix& lengths) {
    const auto all = read_all();
    if (!all) return all.error();
    std::set<std::pair<bool, unsigned>> wanted{{true, lengths.ipv4}, {false, lengths.ipv6}};
    if (has_source_lengths_) {  // those of the policy still in force
        wanted.emplace(true, source_lengths_.ipv4);
        wanted.emplace(false, source_lengths_.ipv6);
    }
    for (const auto& entry : *all) wanted.emplace(from_ban_key(entry.first).is_v4(), entry.first.length);
    if (const auto published = publish_lengths(wanted); !published) return published.error();
    source_lengths_ = lengths;
    has_source_lengths_ = true;
    return {};
}

Result<> BanTable::place(const BanRequest& request, Nanos now) {
    const auto invalid = [&](std::string why) {
        return Error{ErrorCode::kInvalid, "ban " + request.source.to_string() + ": " + std::move(why)};
    };
    if (request.source.length() == 0) return invalid("a prefix of length 0 is everyone; lengths start at 1");
    if (request.duration <= 0 || request.duration > kLongestBan)
        return invalid("the duration must be above zero and at most 10 years");
    if (request.reason.size() > kBanReasonBytes)
        return invalid("the reason is longer than " + std::to_string(kBanReasonBytes) + " bytes");

    const sluice_ban_key key = ban_key(request.source);
    sluice_ban value{};
    value.expires_ns = static_cast<std::uint64_t>(now + request.duration);
    value.origin = static_cast<std::uint32_t>(request.origin);
    std::ranges::copy(request.reason, value.note);

    if (const auto looked_up = look_up_length(request.source); !looked_up) return looked_up.error();

    const int error = put(key, value);
    if (error == -E2BIG)
        return Error{ErrorCode::kExhausted, "ban " + request.source.to_string() + ": the kernel holds " +
                                                std::to_string(capacity_) + " bans already"};
    if (error != 0) return system_error("ban", request.source.to_string(), -error);
    sluice_ban read{};
    if (bpf_map_lookup_elem(bans_, &key, &read) != 0 || read.expires_ns != value.expires_ns)
        return Error{ErrorCode::kConflict,
                     "ban " + request.source.to_string() + ": it changed while it was placed"};
    return {};
}

// Reads every ban if the length is new, and only then: bans come by the thousand.
Result<> BanTable::look_up_length(const IpPrefix& source) {
    const auto& published = control().ban_lengths[source.is_v4() ? SLUICE_IPV4 : SLUICE_IPV6];
    if (std::ranges::find(published, source.length()) != std::end(published)) return {};
    const auto all = read_all();
    if (!all) return all.error();
    std::set<std::pair<bool, unsigned>> lengths{{source.is_v4(), source.length()}};
    if (has_source_lengths_) {
        lengths.emplace(true, source_lengths_.ipv4);
        lengths.emplace(false, source_lengths_.ipv6);
    }
    for (const auto& entry : *all) lengths.emplace(from_ban_key(entry.first).is_v4(), entry.first.length);
    return publish_lengths(lengths);
}

std::uint64_t& BanTable::filter_of(const sluice_ban_key& key) const {
    const std::uint64_t hash = sluice_ban_hash(&key, control().hash_key);
    return filter_.as<std::uint64_t>()[hash & control().ban_filter_mask];
}

int BanTable::put(const sluice_ban_key& key, const sluice_ban& value) {
    std::uint64_t& filter = filter_of(key);
    add(filter, 1);
    add(control().bans, 1);
    const int error = bpf_map_update_elem(bans_, &key, &value, BPF_NOEXIST);
    if (error == 0) return 0;
    add(filter, -1);
    add(control().bans, -1);
    return error == -EEXIST ? bpf_map_update_elem(bans_, &key, &value, BPF_EXIST) : error;
}

bool BanTable::remove(const sluice_ban_key& key, sluice_ban& last) {
    if (bpf_map_lookup_and_delete_elem(bans_, &key, &last) != 0) return false;
    add(filter_of(key), -1);
    add(control().bans, -1);
    return true;
}

Result<> BanTable::lift(const IpPrefix& source) {
    const sluice_ban_key key = ban_key(source);
    sluice_ban value{};
    if (!remove(key, value))
        return Error{ErrorCode::kNotFound,
                     "lift " + source.to_string() + ": no ban stands against exactly this prefix"};
    if (bpf_map_lookup_elem(bans_, &key, &value) == 0)
        return Error{ErrorCode::kConflict,
                     "lift " + source.to_string() + ": lifted, but the kernel banned it again"};
    return {};
}

Result<std::vector<Ban>> BanTable::list(Nanos now) const {
    const auto all = read_all();
    if (!all) return all.error();
    std::vector<Ban> bans;
    for (const auto& [key, value] : *all)
        if (static_cast<Nanos>(value.expires_ns) > now) bans.push_back(to_ban(key, value, now));
    return bans;
}

std::optional<Ban> BanTable::covering(const IpAddress& address, Nanos now) const {
    if (entries() == 0) return std::nullopt;
    for (const std::uint8_t length : control().ban_lengths[address.is_v4() ? SLUICE_IPV4 : SLUICE_IPV6]) {
        if (length == 0) break;
        const sluice_ban_key key = ban_key(IpPrefix{address, length});
        sluice_ban value{};
        if (bpf_map_lookup_elem(bans_, &key, &value) == 0 && static_cast<Nanos>(value.expires_ns) > now)
            return to_ban(key, value, now);
    }
    return std::nullopt;
}

std::vector<Ban> BanTable::sweep(Nanos now) {
    std::vector<Ban> expired;
    const auto all = read_all();
    if (!all) return expired;
    for (const auto& [key, seen] : *all) {
        sluice_ban last{};
        if (static_cast<Nanos>(seen.expires_ns) > now || !remove(key, last)) continue;
        const Ban ban = to_ban(key, last, now);
        if (ban.expires_in <= 0) {
            expired.push_back(ban);
            continue;
        }
        // The kernel renewed it between the two looks: put it back for what is left.
        put(key, last);
    }
    return expired;
}

}  // namespace sluice
