// The words of the file for the policy's enumerations: one table each, for reading, writing and "allowed: …".
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "policy/policy.hpp"

namespace sluice {

template <class E, std::size_t N>
using Words = std::array<std::pair<std::string_view, E>, N>;

inline constexpr Words<LimitMode, 2> kLimitModes{
    {{"enforce", LimitMode::kEnforce}, {"shadow", LimitMode::kShadow}}};
inline constexpr Words<LimitAlgorithm, 2> kLimitAlgorithms{
    {{"trailing", LimitAlgorithm::kTrailing}, {"fixed", LimitAlgorithm::kFixed}}};
inline constexpr Words<LedgerLoss, 3> kLedgerLosses{
    {{"share", LedgerLoss::kShare}, {"open", LedgerLoss::kOpen}, {"closed", LedgerLoss::kClosed}}};
inline constexpr Words<KernelMode, 3> kKernelModes{
    {{"enforce", KernelMode::kEnforce}, {"shadow", KernelMode::kShadow}, {"off", KernelMode::kOff}}};
inline constexpr Words<PacketCount, 5> kPacketCounts{{{"packets", PacketCount::kPackets},
                                                      {"bytes", PacketCount::kBytes},
                                                      {"tcp_syn", PacketCount::kTcpSyn},
                                                      {"udp", PacketCount::kUdp},
                                                      {"icmp", PacketCount::kIcmp}}};
inline constexpr std::string_view kOtherPorts = "others";
inline constexpr Words<PacketScope, 2> kPacketScopes{
    {{"source", PacketScope::kSource}, {"prefix", PacketScope::kPrefix}}};
inline constexpr Words<SynCookies, 3> kSynCookies{
    {{"off", SynCookies::kOff}, {"auto", SynCookies::kAuto}, {"always", SynCookies::kAlways}}};
inline constexpr Words<JwtAlgorithm, 4> kJwtAlgorithms{{{"HS256", JwtAlgorithm::kHs256},
                                                        {"RS256", JwtAlgorithm::kRs256},
                                                        {"ES256", JwtAlgorithm::kEs256},
                                                        {"EdDSA", JwtAlgorithm::kEdDsa}}};
inline constexpr Words<LimitScope, 2> kLimitScopes{{{"ip", LimitScope::kIp}, {"user", LimitScope::kUser}}};
inline constexpr Words<LimitWhen, 3> kLimitWhens{{{"always", LimitWhen::kAlways},
                                                  {"anonymous", LimitWhen::kAnonymous},
                                                  {"authenticated", LimitWhen::kAuthenticated}}};

template <class E, std::size_t N>
constexpr std::string_view word_of(const Words<E, N>& words, E value) {
    for (const auto& [word, candidate] : words)
        if (candidate == value) return word;
    return {};
}

template <class E, std::size_t N>
constexpr std::optional<E> value_of(const Words<E, N>& words, std::string_view text) {
    for (const auto& [word, value] : words)
        if (word == text) return value;
    return std::nullopt;
}

// "a | b | c"
template <class E, std::size_t N>
std::string list_of(const Words<E, N>& words) {
    std::string list;
    for (const auto& [word, value] : words) {
        if (!list.empty()) list += " | ";
        list += word;
    }
    return list;
}

inline std::string_view to_string(LimitMode value) {
    return word_of(kLimitModes, value);
}
inline std::string_view to_string(LimitAlgorithm value) {
    return word_of(kLimitAlgorithms, value);
}
inline std::string_view to_string(LedgerLoss value) {
    return word_of(kLedgerLosses, value);
}
inline std::string_view to_string(KernelMode value) {
    return word_of(kKernelModes, value);
}
inline std::string_view to_string(PacketCount value) {
    return word_of(kPacketCounts, value);
}
inline std::string_view to_string(PacketScope value) {
    return word_of(kPacketScopes, value);
}
inline std::string_view to_string(SynCookies value) {
    return word_of(kSynCookies, value);
}
inline std::string_view to_string(JwtAlgorithm value) {
    return word_of(kJwtAlgorithms, value);
}
inline std::string_view to_string(LimitScope value) {
    return word_of(kLimitScopes, value);
}
inline std::string_view to_string(LimitWhen value) {
    return word_of(kLimitWhens, value);
}

}  // namespace sluice
