// What a policy must hold beyond being well formed. Pure: struct in, problems out; the YAML reader adds file
// and line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "policy/policy.hpp"
#include "policy/problem.hpp"

namespace sluice {

// Bounds of a policy. Each keeps a cost that grows with it (kernel state per source, work per request, labels
// of a metric) within what the enforcers were measured at.
inline constexpr std::size_t kMaxKernelLimitsPerScope =
    7;  // the slots of a source in the kernel (bpf/sluice_abi.h)
inline constexpr std::size_t kMaxKernelLimits = 2 * kMaxKernelLimitsPerScope;
inline constexpr std::size_t kMaxRequestLimits = 64;
inline constexpr std::size_t kMaxLimitsOfRequest = 32;  // that may apply to one request
inline constexpr std::size_t kMaxRoutes = 1024;
inline constexpr std::size_t kMaxPorts = 64;  // in `ports` itself, and in each group
inline constexpr std::size_t kMaxPortGroups = 7;
// For each processor; as Katran's gate for new connections.
inline constexpr Rate kUsualNewcomers{125'000, kSecond};
inline constexpr std::size_t kMaxNameLength = 32;
inline constexpr std::size_t kMaxPolicyNameLength = 64;
inline constexpr std::uint64_t kMaxRequestRateCount = 1'000'000'000;
inline constexpr Nanos kMaxRequestWindow = 31 * kDay;
inline constexpr std::uint64_t kMaxConcurrent = 1'000'000;
inline constexpr std::uint64_t kMaxPacketRateCount = 1'000'000'000'000;
inline constexpr Nanos kMaxPacketWindow = kHour;
inline constexpr std::uint64_t kMaxBurst = 1'000'000'000'000;
// The kernel's coarse clock moves in ticks of up to 4 ms (HZ=250).
inline constexpr Nanos kKernelTick = 4 * kMillisecond;
// A byte limit must let one full Ethernet frame pass.
inline constexpr std::uint64_t kMinByteBurst = 1514;

// A shorter prefix would make most of the Internet one source.
inline constexpr std::uint64_t kMinIpv4Prefix = 8;
inline constexpr std::uint64_t kMinIpv6Prefix = 32;
inline constexpr std::uint64_t kMaxBanAfter = 1'000'000;
inline constexpr Nanos kMinBanWithin = kSecond;
inline constexpr Nanos kMaxBanWithin = kHour;
inline constexpr Nanos kMinBanFor = kSecond;
inline constexpr Nanos kMaxBanFor = 30 * kDay;
inline constexpr Nanos kMaxLeeway = 5 * kMinute;

// The burst of a limit that does not state one: a second's worth of its rate, at least what check_policy()
// asks for.
std::uint64_t default_burst(const PacketLimit& limit);

// Every fault of the policy, each with its path and without file and line.
Problems check_policy(const Policy& policy);

// [a-z0-9_]{1,32} and not one of the words that metrics use for "no such thing" (unmatched, other, none,
// all).
bool is_valid_name(std::string_view name);

}  // namespace sluice
