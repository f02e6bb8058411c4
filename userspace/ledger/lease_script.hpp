// The Lua script that keeps one key's window and leases in Redis, and how it is called.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/lease_message.hpp"
#include "limiter/key.hpp"

struct redisReply;

namespace sluice {

// Redis 6 or newer, or Valkey: it writes after it has asked for the time.
extern const std::string_view kLeaseScript;

// "sluice:1:{…}": the version of the format, then the key's hash as the Cluster's hash tag.
std::string lease_key_name(const KeyHash& key);

// Of a host's record within a key.
std::string lease_record_name(std::string_view host, std::uint64_t lease, std::uint64_t generation);

// KEYS[1] and ARGV in order, as text. host: any bytes that no other process uses.
std::vector<std::string> lease_arguments(const KeyHash& key, std::string_view host,
                                         const LeaseRequest& request);
// nullopt: not what the script answers.
std::optional<LeaseReply> parse_lease_reply(const redisReply& reply);

// ARGV of the call that forgets what was spent and keeps the leases.
std::vector<std::string> lease_reset_arguments(const KeyHash& key);

}  // namespace sluice
