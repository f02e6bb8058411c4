/*
 * Cursor parsers. Each takes the cursor past one header and returns what kind of content follows, or -1 if
 * the header is truncated or contradicts itself; every byte is compared with the end before it is read. The
 * host compiles them too.
 */
#pragma once

#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "gcra.bpf.h"

#define SLUICE_VLAN_DEPTH                                                                                    \
	2 /* 802.1Q and 802.1ad tags; a frame with more is malformed: it must not slip by                    \
	   */
#define SLUICE_EXTENSION_DEPTH                                                                               \
	6 /* IPv6 extension headers (RFC 8200 knows six); a packet with more is malformed */

#define SLUICE_FILLED_FRAME (60 + 4 * SLUICE_VLAN_DEPTH)   /* shorter ones are filled up by the sender */
#define SLUICE_USUAL_FRAME  (1514 + 4 * SLUICE_VLAN_DEPTH) /* of an MTU of 1500 */

#define sluice_be16(x)                                                                                       \
	__builtin_bswap16(x) /* Sluice runs on little-endian hosts; cmake/Bpf.cmake builds for them */
#define sluice_be32(x) __builtin_bswap32(x)
#define sluice_be64(x) __builtin_bswap64(x)

/* Headers stand where the wire put them, aligned or not. The host's undefined behaviour sanitizer need not
 * say so. */
#ifdef __bpf__
#define sluice_parser static __always_inline
#else
#define sluice_parser __attribute__((no_sanitize("alignment"))) static __always_inline
#endif

struct sluice_cursor {
	const __u8 *at;
	const __u8 *end; /* of the frame's linear part */
};

/* What the walk needs to know of a packet. */
struct sluice_packet {
	struct sluice_address source;
	__u32 family;		/* enum sluice_family */
	__u32 counts;		/* bits of enum sluice_count */
	__u16 network;		/* where the IP header stands, in bytes of the frame */
	__u16 transport;	/* where the network layer's headers end, in bytes of the frame */
	__u16 payload;		/* bytes from there on that belong to the packet; the rest is padding */
	__u16 destination_port; /* host order; 0: has none, or it is in another fragment */
	__u8 protocol;
	__u8 hop_limit; /* of IPv6 */
	__u8 fragment;	/* any, the first included */
	__u8 later_fragment;
	__u8 portless;	 /* a later fragment of TCP or UDP */
	__u8 keeps_link; /* IPv6 neighbour discovery, from this link: never judged, or the link dies with the
			    limit */
	__u8 has_source; /* the address could be read, though what follows may be malformed */
	__u8 in_doubt;	 /* there may be more of the frame than its linear part */
};

enum sluice_parsed {
	SLUICE_PARSED_IP,
	SLUICE_PARSED_NOT_IP,
	SLUICE_PARSED_MALFORMED,
};

/* The header at the cursor, which moves past it; NULL if it does not fit. */
#define sluice_take(cursor, type)                                                                            \
	__extension__({                                                                                      \
		const type *header = (const type *)(cursor)->at;                                             \
		if ((const __u8 *)(header + 1) > (cursor)->end)                                              \
			header = 0;                                                                          \
		else                                                                                         \
			(cursor)->at = (const __u8 *)(header + 1);                                           \
		header;                                                                                      \
	})

/* Moves the cursor `bytes` (≤ SLUICE_TRANSPORT_MASK) on; 0, or -1 if that is past the end. */
static __always_inline int sluice_skip(struct sluice_cursor *cursor, __u32 bytes)
{
	if (cursor->at + bytes > cursor->end)
		return -1;
	cursor->at += bytes;
	return 0;
}

struct sluice_vlan_tag {
	__u16 control;
	__u16 protocol;
};

static __always_inline int sluice_is_vlan(__u16 protocol)
{
	return protocol == ETH_P_8021Q || protocol == ETH_P_8021AD;
}

/* Returns the EtherType of what follows the tags. */
sluice_parser int sluice_parse_ethernet(struct sluice_cursor *cursor)
{
	const struct ethhdr *ethernet = sluice_take(cursor, struct ethhdr);
	__u16 protocol;

	if (!ethernet)
		return -1;
	protocol = sluice_be16(ethernet->h_proto);
#pragma GCC unroll 2
	for (int depth = 0; depth < SLUICE_VLAN_DEPTH; depth++) {
		const struct sluice_vlan_tag *tag;

		if (!sluice_is_vlan(protocol))
			break;
		tag = sluice_take(cursor, struct sluice_vlan_tag);
		if (!tag)
			return -1;
		protocol = sluice_be16(tag->protocol);
	}
	return sluice_is_vlan(protocol) ? -1 : protocol;
}

/* Returns the IP protocol. `left` is the frame's length from the cursor on, parts that are not linear
 * included. */
sluice_parser int sluice_parse_ipv4(struct sluice_cursor *cursor, __u32 left, struct sluice_packet *packet)
{
	const struct iphdr *ip = sluice_take(cursor, struct iphdr);
	__u32 header_bytes, total_bytes;

	if (!ip)
		return -1;
	packet->family = SLUICE_IPV4;
	packet->source.hi = 0;
	packet->source.lo = 0xffff00000000ull | sluice_be32(ip->saddr);
	packet->has_source = 1;
	header_bytes = ip->ihl * 4u;
	total_bytes = sluice_be16(ip->tot_len);
	if (ip->version != 4 || header_bytes < sizeof(*ip) || total_bytes < header_bytes ||
	    total_bytes > left)
		return -1;
	if (sluice_skip(cursor, header_bytes - sizeof(*ip)))
		return -1;
	packet->payload = (__u16)(total_bytes - header_bytes);
	packet->later_fragment = (sluice_be16(ip->frag_off) & 0x1fff) != 0;
	packet->fragment = (sluice_be16(ip->frag_off) & 0x3fff) != 0;
	return ip->protocol;
}

struct sluice_extension {
	__u8 next;
	__u8 length; /* in units of eight bytes, the first not counted; of four bytes in AH; reserved in a
			fragment header */
	__u16 fragment;
	__u32 more;
};

/* As sluice_parse_ipv4(); walks the extension headers. */
sluice_parser int sluice_parse_ipv6(struct sluice_cursor *cursor, __u32 left, struct sluice_packet *packet)
{
	const struct ipv6hdr *ip = sluice_take(cursor, struct ipv6hdr);
	const __u64 *source;
	__u32 protocol, payload;

	if (!ip)
		return -1;
	source = (const __u64 *)&ip->saddr;
	packet->family = SLUICE_IPV6;
	packet->source.hi = sluice_be64(source[0]);
	packet->source.lo = sluice_be64(source[1]);
	/* ::ffff:a.b.c.d has no place on a wire, and would let a sender spend the allowance of an IPv4
	 * source. */
	if (packet->source.hi == 0 && packet->source.lo >> 32 == 0xffff)
		return -1;
	packet->has_source = 1;
	packet->hop_limit = ip->hop_limit;
	payload = sluice_be16(ip->payload_len);
	if (ip->version != 6 || payload + sizeof(*ip) > left)
		return -1;
	protocol = ip->nexthdr;
#pragma GCC unroll 7
	for (int depth = 0; depth <= SLUICE_EXTENSION_DEPTH; depth++) {
		const struct sluice_extension *extension;
		__u32 bytes;

		if (protocol != IPPROTO_HOPOPTS && protocol != IPPROTO_ROUTING &&
		    protocol != IPPROTO_DSTOPTS && protocol != IPPROTO_FRAGMENT && protocol != IPPROTO_AH) {
			packet->payload = (__u16)payload;
			return (int)protocol;
		}
		if (depth == SLUICE_EXTENSION_DEPTH)
			return -1;
		extension = sluice_take(cursor, struct sluice_extension);
		if (!extension)
			return -1;
		bytes = protocol == IPPROTO_FRAGMENT ? 8u
			: protocol == IPPROTO_AH     ? (extension->length + 2u) * 4u
						     : (extension->length + 1u) * 8u;
		if (bytes < 8 || bytes > payload || sluice_skip(cursor, bytes - 8))
			return -1;
		payload -= bytes;
		if (protocol == IPPROTO_FRAGMENT) {
			packet->fragment = (sluice_be16(extension->fragment) & 0xfff9) != 0;
			packet->later_fragment = (sluice_be16(extension->fragment) & 0xfff8) != 0;
			/* What a later fragment carries is data, whatever its bytes look like. */
			if (packet->later_fragment) {
				packet->payload = (__u16)payload;
				return extension->next;
			}
		}
		protocol = extension->next;
	}
	return -1;
}

/* What the packet counts as, and its port. 0, or -1. The first fragment must hold the whole header (RFC
 * 1858). */
sluice_parser int sluice_parse_transport(struct sluice_cursor *cursor, struct sluice_packet *packet)
{
	const __u32 payload = packet->payload;

	if (packet->protocol == IPPROTO_TCP) {
		const struct tcphdr *tcp = sluice_take(cursor, struct tcphdr);

		if (!tcp || tcp->doff < 5 || tcp->doff * 4u > payload)
			return -1;
		packet->destination_port = sluice_be16(tcp->dest);
		if (tcp->syn && !tcp->ack)
			packet->counts |= SLUICE_COUNT_TCP_SYN;
	} else if (packet->protocol == IPPROTO_UDP) {
		const struct udphdr *udp = sluice_take(cursor, struct udphdr);

		if (!udp || payload < sizeof(*udp) || sluice_be16(udp->len) < sizeof(*udp) ||
		    (!packet->fragment && sluice_be16(udp->len) > payload))
			return -1;
		packet->destination_port = sluice_be16(udp->dest);
	} else if (packet->counts & SLUICE_COUNT_ICMP) {
		const struct icmp6hdr *icmp = sluice_take(cursor, struct icmp6hdr);

		if (!icmp || payload < sizeof(*icmp))
			return -1;
		/* RFC 4861: a hop limit of 255 can't have come through a router. */
		packet->keeps_link = packet->family == SLUICE_IPV6 && packet->hop_limit == 255 &&
				     icmp->icmp6_type >= 133 && icmp->icmp6_type <= 137;
	}
	return 0;
}

/* SLUICE_PARSED_IP: everything of *packet up to `payload` is filled in, and its protocol. */
sluice_parser enum sluice_parsed sluice_parse_network(const void *data, const void *data_end,
						      __u32 frame_bytes, struct sluice_packet *packet)
{
	struct sluice_cursor cursor = {.at = (const __u8 *)data, .end = (const __u8 *)data_end};
	int ether_type = sluice_parse_ethernet(&cursor);
	int protocol;
	__u32 left;

	if (ether_type < 0)
		return SLUICE_PARSED_MALFORMED;
	packet->network = (__u16)(cursor.at - (const __u8 *)data);
	left = frame_bytes - packet->network;
	if (ether_type == ETH_P_IP)
		protocol = sluice_parse_ipv4(&cursor, left, packet);
	else if (ether_type == ETH_P_IPV6)
		protocol = sluice_parse_ipv6(&cursor, left, packet);
	else
		return SLUICE_PARSED_NOT_IP;
	if (protocol < 0)
		return SLUICE_PARSED_MALFORMED;
	packet->protocol = (__u8)protocol;
	packet->transport = (__u16)(cursor.at - (const __u8 *)data);
	return SLUICE_PARSED_IP;
}

/* All headers together: tags, IPv6 and as many extension headers as there may be, at 2 KiB each. */
#define SLUICE_TRANSPORT_MASK 0x3fff

/*
 * Fills *packet (which the caller zeroed). frame_bytes: of the whole frame, parts that are not linear
 * included. What the first half found is read back from memory: so the verifier, which does not remember
 * what memory holds, follows the second half once, and not for every way through the first.
 */
sluice_parser enum sluice_parsed sluice_parse(const void *data, const void *data_end, __u32 frame_bytes,
					      struct sluice_packet *packet)
{
	enum sluice_parsed parsed = sluice_parse_network(data, data_end, frame_bytes, packet);
	struct sluice_cursor cursor = {.at = (const __u8 *)data, .end = (const __u8 *)data_end};

	if (parsed != SLUICE_PARSED_IP)
		return parsed;
	__asm__ volatile("" ::: "memory");
	/* A packet that ends before its linear part does, by more than short frames are filled up with, or
	 * with a large one: the frame may go on in other buffers. */
	packet->in_doubt =
	    frame_bytes > SLUICE_USUAL_FRAME ||
	    (frame_bytes > SLUICE_FILLED_FRAME && (__u32)packet->transport + packet->payload < frame_bytes);
	packet->counts = SLUICE_COUNT_PACKETS | SLUICE_COUNT_BYTES;
	if (packet->protocol == IPPROTO_UDP)
		packet->counts |= SLUICE_COUNT_UDP;
	if (packet->protocol == (packet->family == SLUICE_IPV4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		packet->counts |= SLUICE_COUNT_ICMP;
	if (packet->later_fragment) {
		packet->portless = packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP;
		return SLUICE_PARSED_IP;
	}
	if (sluice_skip(&cursor, packet->transport & SLUICE_TRANSPORT_MASK) ||
	    sluice_parse_transport(&cursor, packet))
		return SLUICE_PARSED_MALFORMED;
	return SLUICE_PARSED_IP;
}
