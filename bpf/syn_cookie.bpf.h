/*
 * A SYN answered in place with a cookie made by the kernel's own helpers, so that the listening socket
 * accepts the acknowledgement as if it had made the cookie itself. Nothing is kept for an answered SYN.
 *
 * The frame keeps its length: the answer's options take the place of the SYN's, and what is left of it is
 * NOPs. So the program never moves the frame's end, which a libxdp dispatcher of newer kernels would refuse.
 */
#pragma once

#include "source.bpf.h"

#define SLUICE_TCP_MAX 60 /* header with options */

#define SLUICE_TCP_NOP	      1
#define SLUICE_TCP_MSS	      2
#define SLUICE_TCP_WINDOW     3
#define SLUICE_TCP_SACK	      4
#define SLUICE_TCP_TIMESTAMPS 8

/* Where the answer's options stand, in bytes of the header, and how long it is with them. */
#define SLUICE_AT_MSS	     20
#define SLUICE_AT_SACK	     24
#define SLUICE_AT_TIMESTAMPS 26
#define SLUICE_AT_WINDOW     36

/*
 * What Linux reads back from the low bits of an echoed timestamp (cookie_timestamp_decode() in
 * net/ipv4/syncookies.c): the client's window scale, 15 for none; whether it knows SACK.
 */
#define SLUICE_STAMP_BITS      6
#define SLUICE_STAMP_NO_WINDOW 15
#define SLUICE_STAMP_SACK      16

#define SLUICE_ANSWER_WINDOW 64240 /* bytes, unscaled: what Linux offers at first for an MSS of 1460 */
#define SLUICE_ANSWER_TTL    64

/* A SYN for a listener that is so seldom let through costs its host nothing. See sluice_is_pilot(). */
#define SLUICE_PILOT_ONE_IN 256
#define SLUICE_PILOT_EVERY  256 /* jiffies: one second at 250 Hz; the kernel remembers for two minutes */

/* The length of the header, 20…60; 0 if the frame does not hold it. */
static __always_inline __u32 sluice_load_tcp(struct xdp_md *ctx, struct sluice_syn *syn)
{
	__u32 bytes;

	if (bpf_xdp_load_bytes(ctx, syn->transport, syn->tcp, sizeof(struct tcphdr)))
		return 0;
	bytes = (__u32)(syn->tcp[12] >> 4) * 4;
	/* Two comparisons of one register, or 6.1's verifier does not see the bounds. */
	sluice_hide(bytes);
	if (bytes < sizeof(struct tcphdr))
		return 0;
	sluice_hide(bytes);
	if (bytes > SLUICE_TCP_MAX)
		return 0;
	sluice_hide(bytes);
	return bpf_xdp_load_bytes(ctx, syn->transport, syn->tcp, bytes) ? 0 : bytes;
}

static __always_inline __u8 sluice_option_byte(const struct sluice_syn *syn, __u32 at)
{
	return syn->tcp[at & 63];
}

/* Looks at one option, at syn->cursor. 1 ends the loop, as bpf_loop() wants it. */
static long sluice_read_option(__attribute__((unused)) __u32 round, struct sluice_syn **context)
{
	struct sluice_syn *syn = *context;
	struct sluice_tcp_options *offered = &syn->offered;
	__u32 at = syn->cursor;
	__u32 kind = sluice_option_byte(syn, at);
	__u32 length = sluice_option_byte(syn, at + 1);

	if (at + 1 >= syn->header_bytes || !kind)
		return 1;
	if (kind == SLUICE_TCP_NOP) {
		syn->cursor = at + 1;
		return 0;
	}
	if (length < 2 || at + length > syn->header_bytes)
		return 1;
	if (kind == SLUICE_TCP_WINDOW && length == 3) {
		__u32 scale = sluice_option_byte(syn, at + 2);

		offered->window_scale = scale > 14 ? 14 : scale; /* RFC 7323, 2.3 */
	}
	if (kind == SLUICE_TCP_SACK && length == 2)
		offered->sack = 1;
	if (kind == SLUICE_TCP_TIMESTAMPS && length == 10) {
		offered->timestamps = 1;
		offered->echo = (__u32)sluice_option_byte(syn, at + 2) << 24 |
				(__u32)sluice_option_byte(syn, at + 3) << 16 |
				(__u32)sluice_option_byte(syn, at + 4) << 8 |
				(__u32)sluice_option_byte(syn, at + 5);
	}
	syn->cursor = at + length;
	return 0;
}

static __always_inline void sluice_read_options(struct sluice_syn *syn, __u32 header_bytes)
{
	syn->offered = (struct sluice_tcp_options){.window_scale = SLUICE_STAMP_NO_WINDOW};
	syn->cursor = sizeof(struct tcphdr);
	syn->header_bytes = header_bytes;
	bpf_loop(SLUICE_TCP_MAX - sizeof(struct tcphdr), sluice_read_option, &syn, 0);
}

static __always_inline void sluice_put16(__u8 *at, __u16 value)
{
	at[0] = (__u8)(value >> 8);
	at[1] = (__u8)value;
}

static __always_inline void sluice_put32(__u8 *at, __u32 value)
{
	sluice_put16(at, (__u16)(value >> 16));
	sluice_put16(at + 2, (__u16)value);
}

/* The options the kernel will find again: all of them in a timestamp, or none but the MSS in the cookie. */
static __always_inline void sluice_write_options(struct sluice_syn *syn, __u32 header_bytes, __u32 flags,
						 __u32 mss, __u32 scale)
{
	const struct sluice_tcp_options *offered = &syn->offered;
	int window = offered->window_scale != SLUICE_STAMP_NO_WINDOW;

	for (int at = sizeof(struct tcphdr); at < SLUICE_TCP_MAX; at++)
		syn->tcp[at] = SLUICE_TCP_NOP;
	if (header_bytes < SLUICE_AT_SACK)
		return;
	syn->tcp[SLUICE_AT_MSS] = SLUICE_TCP_MSS;
	syn->tcp[SLUICE_AT_MSS + 1] = 4;
	sluice_put16(&syn->tcp[SLUICE_AT_MSS + 2], (__u16)mss);
	if (!(flags & SLUICE_COOKIES_STAMPED) || !offered->timestamps || header_bytes < SLUICE_AT_WINDOW ||
	    (window && header_bytes < SLUICE_AT_WINDOW + 4))
		return;
	if (offered->sack) {
		syn->tcp[SLUICE_AT_SACK] = SLUICE_TCP_SACK;
		syn->tcp[SLUICE_AT_SACK + 1] = 2;
	}
	syn->tcp[SLUICE_AT_TIMESTAMPS] = SLUICE_TCP_TIMESTAMPS;
	syn->tcp[SLUICE_AT_TIMESTAMPS + 1] = 10;
	{
		/* Milliseconds, as Linux counts them; never ahead of its own. */
		__u32 now = (__u32)(bpf_ktime_get_ns() / 1000000);
		__u32 stamp = (now >> SLUICE_STAMP_BITS << SLUICE_STAMP_BITS) | offered->window_scale |
			      (offered->sack ? SLUICE_STAMP_SACK : 0);

		if ((__s32)(stamp - now) > 0)
			stamp -= 1u << SLUICE_STAMP_BITS;
		sluice_put32(&syn->tcp[SLUICE_AT_TIMESTAMPS + 2], stamp);
		sluice_put32(&syn->tcp[SLUICE_AT_TIMESTAMPS + 6], offered->echo);
	}
	if (window) {
		syn->tcp[SLUICE_AT_WINDOW + 1] = SLUICE_TCP_WINDOW;
		syn->tcp[SLUICE_AT_WINDOW + 2] = 3;
		syn->tcp[SLUICE_AT_WINDOW + 3] = (__u8)scale;
	}
}

static __always_inline __u16 sluice_fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* `addresses`: the sum of both ends' addresses, for the pseudo header. */
static __always_inline void sluice_finish_tcp(struct sluice_syn *syn, __u32 header_bytes, __u32 cookie,
					      __s64 addresses)
{
	struct tcphdr *tcp = (struct tcphdr *)syn->tcp;
	__be16 port = tcp->source;

	tcp->source = tcp->dest;
	tcp->dest = port;
	tcp->ack_seq = sluice_be32(sluice_be32(tcp->seq) + 1);
	tcp->seq = sluice_be32(cookie);
	syn->tcp[12] &= 0xf0;
	syn->tcp[13] = 0x12; /* SYN and ACK */
	tcp->window = sluice_be16(SLUICE_ANSWER_WINDOW);
	tcp->check = 0;
	tcp->urg_ptr = 0;
	tcp->check =
	    sluice_fold((__u64)bpf_csum_diff(0, 0, (__be32 *)syn->tcp, header_bytes, (__u32)addresses) +
			sluice_be16(IPPROTO_TCP) + sluice_be16((__u16)header_bytes));
}

/*
 * Whether this SYN goes to the kernel all the same. A listening socket takes a cookie only if it sent some of
 * its own in the last two minutes; net.ipv4.tcp_syncookies = 2 makes it answer every SYN that way. One SYN a
 * second and listener is enough for it; some more, at random, for the case that the one was spoilt by a
 * sender who wants just that.
 */
static __always_inline int sluice_is_pilot(__u64 hash)
{
	__u32 index = (__u32)hash & (SLUICE_LISTENERS - 1);
	__u64 *last = bpf_map_lookup_elem(&listeners, &index);
	__u64 tick = bpf_jiffies64() << 16, seen;

	if (!last)
		return 1;
	seen = *(volatile __u64 *)last;
	if ((__u16)seen == (__u16)(hash >> 48) && tick - (seen & ~0xffffull) < (SLUICE_PILOT_EVERY << 16))
		return (bpf_get_prandom_u32() & (SLUICE_PILOT_ONE_IN - 1)) == 0;
	*(volatile __u64 *)last = tick | (__u16)(hash >> 48);
	return 1;
}

/* A listening socket of this host, and not an existing connection, a closed port or somebody else's address.
 */
static __always_inline int sluice_listens(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 bytes)
{
	struct bpf_sock *socket = bpf_skc_lookup_tcp(ctx, tuple, bytes, BPF_F_CURRENT_NETNS, 0);
	int listens;

	if (!socket)
		return 0;
	listens = socket->state == BPF_TCP_LISTEN;
	bpf_sk_release(socket);
	return listens;
}

static __always_inline __u64 sluice_listener_hash(const struct sluice_control *control, __be16 port, __u64 hi,
						  __u64 lo)
{
	struct sluice_address address = {hi ^ port, lo};

	return sluice_hash_source(&address, control->hash_key);
}

/* The cookie, or below 0 if the kernel is to see the SYN. */
static __always_inline __s64 sluice_cookie_ipv4(struct xdp_md *ctx, struct sluice_syn *syn,
						const struct sluice_control *control, __u32 header_bytes)
{
	struct iphdr *ip = (struct iphdr *)syn->ip;
	struct tcphdr *tcp = (struct tcphdr *)syn->tcp;
	struct bpf_sock_tuple tuple = {};

	if (syn->transport - syn->network != sizeof(*ip) ||
	    bpf_xdp_load_bytes(ctx, syn->network, ip, sizeof(*ip)))
		return -1;
	tuple.ipv4.saddr = ip->saddr;
	tuple.ipv4.daddr = ip->daddr;
	tuple.ipv4.sport = tcp->source;
	tuple.ipv4.dport = tcp->dest;
	if (!sluice_listens(ctx, &tuple, sizeof(tuple.ipv4)) ||
	    sluice_is_pilot(sluice_listener_hash(control, tcp->dest, 0, ip->daddr)))
		return -1;
	return bpf_tcp_raw_gen_syncookie_ipv4(ip, tcp, header_bytes);
}

static __always_inline __s64 sluice_turn_ipv4(struct sluice_syn *syn, __u32 header_bytes)
{
	struct iphdr *ip = (struct iphdr *)syn->ip;
	__be32 address = ip->saddr;

	ip->saddr = ip->daddr;
	ip->daddr = address;
	ip->tos = 0;
	ip->tot_len = sluice_be16((__u16)(sizeof(*ip) + header_bytes));
	ip->id = 0;
	ip->frag_off = sluice_be16(0x4000); /* don't fragment */
	ip->ttl = SLUICE_ANSWER_TTL;
	ip->check = 0;
	ip->check = sluice_fold((__u64)bpf_csum_diff(0, 0, (__be32 *)ip, sizeof(*ip), 0));
	return bpf_csum_diff(0, 0, (__be32 *)&ip->saddr, 8, 0);
}

/* As for IPv4. Behind extension headers the kernel answers itself. */
static __always_inline __s64 sluice_cookie_ipv6(struct xdp_md *ctx, struct sluice_syn *syn,
						const struct sluice_control *control, __u32 header_bytes)
{
	struct ipv6hdr *ip = (struct ipv6hdr *)syn->ip;
	struct tcphdr *tcp = (struct tcphdr *)syn->tcp;
	struct bpf_sock_tuple tuple = {};
	const __be32 *to = ip->daddr.s6_addr32;

	if (syn->transport - syn->network != sizeof(*ip) ||
	    bpf_xdp_load_bytes(ctx, syn->network, ip, sizeof(*ip)))
		return -1;
	__builtin_memcpy(tuple.ipv6.saddr, &ip->saddr, sizeof(tuple.ipv6.saddr));
	__builtin_memcpy(tuple.ipv6.daddr, &ip->daddr, sizeof(tuple.ipv6.daddr));
	tuple.ipv6.sport = tcp->source;
	tuple.ipv6.dport = tcp->dest;
	if (!sluice_listens(ctx, &tuple, sizeof(tuple.ipv6)) ||
	    sluice_is_pilot(sluice_listener_hash(control, tcp->dest, (__u64)to[0] << 32 | to[1],
						 (__u64)to[2] << 32 | to[3])))
		return -1;
	return bpf_tcp_raw_gen_syncookie_ipv6(ip, tcp, header_bytes);
}

static __always_inline __s64 sluice_turn_ipv6(struct sluice_syn *syn, __u32 header_bytes)
{
	struct ipv6hdr *ip = (struct ipv6hdr *)syn->ip;
	struct in6_addr address = ip->saddr;

	ip->saddr = ip->daddr;
	ip->daddr = address;
	*(__be32 *)ip = sluice_be32(0x60000000u); /* version; no traffic class, no flow label */
	ip->payload_len = sluice_be16((__u16)header_bytes);
	ip->hop_limit = SLUICE_ANSWER_TTL;
	return bpf_csum_diff(0, 0, (__be32 *)&ip->saddr, 32, 0);
}

/*
 * Turns the frame into the answer. 1, or 0 if the kernel is to see the SYN; then the frame is as it came. (A
 * function of its own, verified once; on a kernel without the helpers nothing of it is.)
 */
__noinline int sluice_answer_syn(struct xdp_md *ctx, struct sluice_packet *packet, struct sluice_syn *syn,
				 struct sluice_control *control)
{
	__u8 address[ETH_ALEN];
	__u32 header_bytes, ip_bytes;
	__s64 cookie, sum;

	if (!sluice_has_cookies || !packet || !syn || !control)
		return 0;
	syn->network = packet->network;
	syn->transport = packet->transport;
	header_bytes = sluice_load_tcp(ctx, syn);
	if (!header_bytes || bpf_xdp_load_bytes(ctx, 0, syn->link, sizeof(syn->link)))
		return 0;
	cookie = packet->family == SLUICE_IPV4 ? sluice_cookie_ipv4(ctx, syn, control, header_bytes)
					       : sluice_cookie_ipv6(ctx, syn, control, header_bytes);
	if (cookie < 0)
		return 0;

	sluice_read_options(syn, header_bytes);
	sluice_write_options(syn, header_bytes, control->cookies, control->cookie_mss[packet->family & 1],
			     control->cookie_scale);
	if (packet->family == SLUICE_IPV4) {
		ip_bytes = sizeof(struct iphdr);
		sum = sluice_turn_ipv4(syn, header_bytes);
	} else {
		ip_bytes = sizeof(struct ipv6hdr);
		sum = sluice_turn_ipv6(syn, header_bytes);
	}
	sluice_finish_tcp(syn, header_bytes, (__u32)cookie, sum);
	__builtin_memcpy(address, &syn->link[0], ETH_ALEN);
	__builtin_memcpy(&syn->link[0], &syn->link[ETH_ALEN], ETH_ALEN);
	__builtin_memcpy(&syn->link[ETH_ALEN], address, ETH_ALEN);

	/* What could be read can be written: none of these fails. */
	bpf_xdp_store_bytes(ctx, 0, syn->link, sizeof(syn->link));
	bpf_xdp_store_bytes(ctx, syn->network, syn->ip, ip_bytes);
	bpf_xdp_store_bytes(ctx, syn->transport, syn->tcp, header_bytes);
	return 1;
}
