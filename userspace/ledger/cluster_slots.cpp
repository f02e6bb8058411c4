#include "ledger/cluster_slots.hpp"

#include <hiredis/hiredis.h>

#include <array>
#include <charconv>
#include <string>

namespace sluice {
namespace {

constexpr unsigned kPolynomial = 0x1021;
constexpr std::size_t kLongestHost = 255;

constexpr std::array<std::uint16_t, 256> kCrcTable = [] {
    std::array<std::uint16_t, 256> table{};
    for (unsigned byte = 0; byte < table.size(); ++byte) {
        unsigned crc = byte << 8U;
        for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000U) != 0 ? (crc << 1U) ^ kPolynomial : crc << 1U;
        table[byte] = static_cast<std::uint16_t>(crc);
    }
    return table;
}();

std::optional<unsigned> number(std::string_view text, unsigned most) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value > most) return std::nullopt;
    return value;
}

// Empty: the node does not know its own; "?": it knows none that others could use.
std::optional<RedisAddress> address_of(std::string_view host, std::string_view port,
                                       const RedisAddress& asked) {
    if (host.empty()) host = asked.host;
    const auto value = number(port, UINT16_MAX);
    if (!value || *value == 0 || host.empty() || host == "?" || host.size() > kLongestHost)
        return std::nullopt;
    for (const char c : host)
        if (static_cast<unsigned char>(c) <= ' ' || c == '\x7f') return std::nullopt;
    return RedisAddress{std::string{host}, std::to_string(*value)};
}

std::optional<RedisSlot> slot_of(const redisReply& reply) {
    if (reply.type != REDIS_REPLY_INTEGER || reply.integer < 0 || reply.integer >= kRedisSlots)
        return std::nullopt;
    return static_cast<RedisSlot>(reply.integer);
}

// [host or none, port, …]
std::optional<RedisAddress> master_of(const redisReply& reply, const RedisAddress& asked) {
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements < 2) return std::nullopt;
    const redisReply& host = *reply.element[0];
    const redisReply& port = *reply.element[1];
    if (port.type != REDIS_REPLY_INTEGER || (host.type != REDIS_REPLY_STRING && host.type != REDIS_REPLY_NIL))
        return std::nullopt;
    return address_of(reply_text(host), std::to_string(port.integer), asked);
}

// "MOVED 3999 127.0.0.1:6381", the word cut off; an IPv6 address has no brackets.
std::optional<ClusterAnswer> redirect(ClusterAnswer::Kind kind, std::string_view text,
                                      const RedisAddress& asked) {
    const std::size_t space = text.find(' ');
    const std::size_t colon = text.rfind(':');
    if (space == std::string_view::npos || colon == std::string_view::npos || colon < space)
        return std::nullopt;
    const auto slot = number(text.substr(0, space), kRedisSlots - 1);
    const auto to = address_of(text.substr(space + 1, colon - space - 1), text.substr(colon + 1), asked);
    if (!slot || !to) return std::nullopt;
    return ClusterAnswer{kind, static_cast<RedisSlot>(*slot), *to};
}

}  // namespace

RedisSlot redis_slot(std::string_view key) {
    if (const std::size_t open = key.find('{'); open != std::string_view::npos) {
        const std::size_t close = key.find('}', open + 1);
        if (close != std::string_view::npos && close > open + 1) key = key.substr(open + 1, close - open - 1);
    }
    unsigned crc = 0;
    for (const char c : key)
        crc = ((crc << 8U) ^ kCrcTable[((crc >> 8U) ^ static_cast<unsigned char>(c)) & 0xffU]) & 0xffffU;
    return static_cast<RedisSlot>(crc % kRedisSlots);
}

std::string redis_mark_of(RedisSlot slot) {
    for (unsigned n = 0;; ++n)
        if (const std::string tag = std::to_string(n); redis_slot(tag) == slot)
            return "sluice:1:mark:{" + tag + "}";
}

Result<std::vector<SlotRange>> parse_cluster_slots(const redisReply& reply, const RedisAddress& asked) {
    const auto failed = [&](std::string_view why) {
        return Error{ErrorCode::kUnavailable, "Redis " + asked.to_string() + " " + std::string{why}};
    };
    if (is_error(reply)) return failed("answers CLUSTER SLOTS with: " + std::string{reply_text(reply)});
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements > kRedisSlots)
        return failed("answers CLUSTER SLOTS with what is no list of slots");
    std::vector<SlotRange> ranges;
    for (std::size_t i = 0; i < reply.elements; ++i) {
        const redisReply& one = *reply.element[i];
        if (one.type != REDIS_REPLY_ARRAY || one.elements < 3)
            return failed("answers CLUSTER SLOTS with what is no range of slots");
        const auto first = slot_of(*one.element[0]);
        const auto last = slot_of(*one.element[1]);
        if (!first || !last || *first > *last)
            return failed("answers CLUSTER SLOTS with what is no range of slots");
        if (auto master = master_of(*one.element[2], asked))
            ranges.push_back({*first, *last, *std::move(master)});
    }
    if (ranges.empty()) return failed("belongs to a cluster in which no slot is served");
    return ranges;
}

ClusterAnswer read_cluster_answer(const redisReply& reply, const RedisAddress& asked) {
    using Kind = ClusterAnswer::Kind;
    if (!is_error(reply)) return {};
    const std::string_view text = reply_text(reply);
    const auto is = [&](std::string_view word) { return text.starts_with(word); };
    if (is("MOVED ")) return redirect(Kind::kMoved, text.substr(6), asked).value_or(ClusterAnswer{});
    if (is("ASK ")) return redirect(Kind::kAsk, text.substr(4), asked).value_or(ClusterAnswer{});
    if (is("TRYAGAIN")) return {Kind::kLater};
    if (is("CLUSTERDOWN Hash slot")) return {Kind::kUnserved};
    if (is("CLUSTERDOWN") || is("LOADING") || is("MASTERDOWN") || is("READONLY")) return {Kind::kAway};
    return {};
}

}  // namespace sluice
