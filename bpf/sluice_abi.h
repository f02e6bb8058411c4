/*
 * The contract between the XDP program and userspace: keys, values, reasons, limits, version. Compiled as C for the BPF
 * target and as C and C++ for the host. Every layout is asserted on every side; a change to any of it raises
 * SLUICE_ABI_VERSION, and pinned state of another version is replaced, never reinterpreted.
 *
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. Times are nanoseconds of CLOCK_MONOTONIC.
 */
#pragma once

#include <linux/types.h>

#ifdef __cplusplus
#define SLUICE_ASSERT(condition) static_assert(condition, #condition)
#else
#define SLUICE_ASSERT(condition) _Static_assert(condition, #condition)
#endif

#define SLUICE_ABI_MAGIC   0x736c7563u /* "sluc" */
#define SLUICE_ABI_VERSION 1u

/*
 * Why a packet got its verdict: X(SYMBOL, name, verdict, description). Each packet counts under exactly one reason, so
 * the sum over all is the packets seen. Names are those of metrics, logs and the command line.
 */
#define SLUICE_REASONS(X)                                                                                     \
	X(PASSED, passed, pass, "within every limit")                                                         \
	X(ALLOWED, allowed, pass, "source on the allow list")                                                 \
	X(UNPROTECTED, unprotected, pass, "destination port not protected, or no policy in force")            \
	X(NOT_IP, not_ip, pass, "neither IPv4 nor IPv6: ARP, LLDP and the like")                              \
	X(MALFORMED, malformed, drop, "truncated or contradictory headers")                                   \
	X(DENIED, denied, drop, "source on the deny list")                                                    \
	X(BANNED, banned, drop, "source banned for a time")                                                   \
	X(LIMIT_PACKETS, limit_packets, drop, "source over a limit on packets")                               \
	X(LIMIT_BYTES, limit_bytes, drop, "source over a limit on bytes")                                     \
	X(LIMIT_TCP_SYN, limit_tcp_syn, drop, "source over a limit on TCP connection attempts")               \
	X(LIMIT_UDP, limit_udp, drop, "source over a limit on UDP packets")                                   \
	X(LIMIT_ICMP, limit_icmp, drop, "source over a limit on ICMP packets")                                \
	X(LIMIT_PREFIX, limit_prefix, drop, "prefix of the source over a limit")                              \
	X(SYN_COOKIE, syn_cookie, drop, "SYN answered with a cookie")                                         \
	X(SHADOW, shadow, pass, "would have been dropped, were it not for shadow mode")                       \
	X(INTERNAL_ERROR, internal_error, pass, "the program could not decide; the packet passed")

enum sluice_reason {
#define SLUICE_REASON_ENUM(symbol, name, verdict, description) SLUICE_##symbol,
	SLUICE_REASONS(SLUICE_REASON_ENUM)
#undef SLUICE_REASON_ENUM
	SLUICE_REASON_COUNT
};

#define SLUICE_BAN_NOTE_BYTES 64 /* text given with a ban, terminating NUL included */
#define SLUICE_SAMPLE_EVERY   32 /* one packet in so many is looked at for the list of top sources, on average */
