// What a Redis Cluster says of who serves what: which slot a key is in, which master has a slot, and what a node answers
// that is not the one to ask. Pure; what comes from Redis is anybody's and is checked.
//
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "ledger/resp_stream.hpp"

namespace sluice {

using RedisSlot = std::uint16_t;
inline constexpr unsigned kRedisSlots = 16384;

// CRC16 (XMODEM) of the key, or of what its first braces hold if that is not empty.
RedisSlot redis_slot(std::string_view key);

// A key that is in `slot`: "sluice:1:mark:{N}". Costs some ten thousand hashes.
std::string redis_mark_of(RedisSlot slot);

struct SlotRange {
    RedisSlot first = 0;
    RedisSlot last = 0;  // included
    RedisAddress master;

    bool operator==(const SlotRange&) const = default;
};

// The answer to CLUSTER SLOTS of the node at `asked`, which a node that does not know its own address means by none.
// kUnavailable: it is no such answer, or none serves anything; ranges without a master that can be reached are left out.
Result<std::vector<SlotRange>> parse_cluster_slots(const redisReply& reply, const RedisAddress& asked);

struct ClusterAnswer {
    enum class Kind : std::uint8_t {
        kPlain,     // of the command itself
        kMoved,     // another master has the slot
        kAsk,       // the slot is on its way to another master, and so is the key: ask there, this once
        kLater,     // the slot is on its way, with some of the keys
        kUnserved,  // no master has the slot
        kAway,      // this node can't serve anything now
    };
    Kind kind = Kind::kPlain;
    RedisSlot slot = 0;  // kMoved, kAsk
    RedisAddress to{};   // the same

    bool operator==(const ClusterAnswer&) const = default;
};
ClusterAnswer read_cluster_answer(const redisReply& reply, const RedisAddress& asked);

}  // namespace sluice
