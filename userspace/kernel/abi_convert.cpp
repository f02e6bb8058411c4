#include "kernel/abi_convert.hpp"

#include <array>
#include <cstddef>

#include "kernel/kernel_enforcer.hpp"

namespace sluice {

sluice_address to_abi(const IpAddress& address) {
    sluice_address result{};
    for (std::size_t i = 0; i < 8; ++i) {
        result.hi = result.hi << 8 | address.bytes()[i];
        result.lo = result.lo << 8 | address.bytes()[i + 8];
    }
    return result;
}

IpAddress from_abi(const sluice_address& address) {
    std::array<std::uint8_t, 16> bytes{};
    for (std::size_t i = 0; i < 8; ++i) {
        bytes[i] = static_cast<std::uint8_t>(address.hi >> (56 - 8 * i));
        bytes[i + 8] = static_cast<std::uint8_t>(address.lo >> (56 - 8 * i));
    }
    return IpAddress::from_v6(bytes);
}

sluice_address mask_of(bool ipv4, unsigned length) {
    const unsigned bits = length + (ipv4 ? 96 : 0);
    sluice_address mask{};
    mask.hi = bits >= 64 ? ~0ULL : ~(~0ULL >> bits);
    mask.lo = bits <= 64 ? 0 : ~0ULL << (128 - bits);
    return mask;
}

sluice_address masked(const sluice_address& address, const sluice_address& mask) {
    return {address.hi & mask.hi, address.lo & mask.lo};
}

sluice_ban_key ban_key(const IpPrefix& prefix) {
    return {to_abi(prefix.address()), prefix.length()};
}

IpPrefix from_ban_key(const sluice_ban_key& key) {
    return IpPrefix{from_abi(key.address), static_cast<unsigned>(key.length)};
}

const std::array<KernelReason, kKernelReasons>& kernel_reasons() {
    static constexpr std::array<KernelReason, kKernelReasons> kReasons = {{
#define SLUICE_REASON_ROW(symbol, name, verdict, description) {#name, #verdict, description},
        SLUICE_REASONS(SLUICE_REASON_ROW)
#undef SLUICE_REASON_ROW
    }};
    return kReasons;
}

std::string_view to_string(BanOrigin origin) {
    switch (origin) {
        case BanOrigin::kKernel:
            return "kernel";
        case BanOrigin::kEscalation:
            return "escalation";
        case BanOrigin::kOperator:
            return "operator";
        case BanOrigin::kPeer:
            return "peer";
    }
    return "unknown";
}

CookieAnswers cookie_answers_of(const sluice_control& control) {
    return {.on = (control.cookies & SLUICE_COOKIES_ON) != 0,
            .redirect = (control.cookies & SLUICE_COOKIES_REDIRECT) != 0,
            .stamped = (control.cookies & SLUICE_COOKIES_STAMPED) != 0,
            .window_scale = control.cookie_scale,
            .mss_ipv4 = control.cookie_mss[SLUICE_IPV4],
            .mss_ipv6 = control.cookie_mss[SLUICE_IPV6],
            .told = control.told != 0,
            .syncookies_before = control.syncookies_before,
            .timestamps_before = control.timestamps_before};
}

}  // namespace sluice
