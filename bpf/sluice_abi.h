/*
 * The contract between the XDP program and userspace: keys, values, reasons, limits, version. Compiled as C
 * for the BPF target and as C and C++ for the host. Every layout is asserted on every side; a change to any
 * of it raises SLUICE_ABI_VERSION, and pinned state of another version is replaced, never reinterpreted.
 *
 * Addresses are numbers in host order, IPv4 as ::ffff:a.b.c.d. Times are of CLOCK_MONOTONIC.
 */
#pragma once

#include <linux/types.h>

#ifdef __cplusplus
#define SLUICE_ASSERT(condition) static_assert(condition, #condition)
#else
#define SLUICE_ASSERT(condition) _Static_assert(condition, #condition)
#endif

#define SLUICE_ABI_MAGIC   0x736c7563u /* "sluc" */
#define SLUICE_ABI_VERSION 4u

/*
 * Why a packet got its verdict: X(SYMBOL, name, verdict, description). Each packet counts under exactly one
 * reason, so the sum over all is the packets seen. Names are those of metrics, logs and the command line.
 */
#define SLUICE_REASONS(X)                                                                                    \
	X(PASSED, passed, pass, "within every limit")                                                        \
	X(ALLOWED, allowed, pass, "source on the allow list")                                                \
	X(UNPROTECTED, unprotected, pass, "destination port not protected, or no policy in force")           \
	X(NOT_IP, not_ip, pass, "neither IPv4 nor IPv6: ARP, LLDP and the like")                             \
	X(MALFORMED, malformed, drop, "truncated or contradictory headers")                                  \
	X(DENIED, denied, drop, "source on the deny list")                                                   \
	X(BANNED, banned, drop, "source banned for a time")                                                  \
	X(LIMIT_PACKETS, limit_packets, drop, "source over a limit on packets")                              \
	X(LIMIT_BYTES, limit_bytes, drop, "source over a limit on bytes")                                    \
	X(LIMIT_TCP_SYN, limit_tcp_syn, drop, "source over a limit on TCP connection attempts")              \
	X(LIMIT_UDP, limit_udp, drop, "source over a limit on UDP packets")                                  \
	X(LIMIT_ICMP, limit_icmp, drop, "source over a limit on ICMP packets")                               \
	X(LIMIT_PREFIX, limit_prefix, drop, "prefix of the source over a limit")                             \
	X(SYN_COOKIE, syn_cookie, drop, "SYN answered with a cookie")                                        \
	X(SHADOW, shadow, pass, "would have been dropped, were it not for shadow mode")                      \
	X(INTERNAL_ERROR, internal_error, pass, "the program could not decide; the packet passed")

enum sluice_reason {
#define SLUICE_REASON_ENUM(symbol, name, verdict, description) SLUICE_##symbol,
	SLUICE_REASONS(SLUICE_REASON_ENUM)
#undef SLUICE_REASON_ENUM
	    SLUICE_REASON_COUNT
};

#define SLUICE_BAN_NOTE_BYTES 64 /* text given with a ban, terminating NUL included */
#define SLUICE_SAMPLE_EVERY                                                                                  \
	32 /* one packet in so many, on average, is looked at for the list of top sources */

/* --- policy: two slots, of which one is in force --- */

#define SLUICE_BLOCK_BYTES  4096
#define SLUICE_LIMITS_MAX   8 /* slots per scope */
#define SLUICE_LIMITS_USER  7 /* of them for the policy's limits */
#define SLUICE_BAN_SLOT	    7 /* of the sources: counts drops, see sluice_ban_count() */
#define SLUICE_LIMIT_NONE   0xff
#define SLUICE_FENCES	    256 /* boundaries in a block of a prefix set */
#define SLUICE_SET_DEPTH    3	/* levels of a prefix set: 256^3 boundaries */
#define SLUICE_POLICY_SLOTS 2
#define SLUICE_PORTS	    65536
#define SLUICE_GROUPS	    8 /* of ports, each with limits and tables of its own; 0: ports without a group */

/* What a packet counts as: bits, so that a limit's kind is tested with one AND. */
enum sluice_count {
	SLUICE_COUNT_PACKETS = 1,
	SLUICE_COUNT_BYTES = 2,
	SLUICE_COUNT_TCP_SYN = 4,
	SLUICE_COUNT_UDP = 8,
	SLUICE_COUNT_ICMP = 16,
};

enum sluice_policy_flag {
	SLUICE_POLICY_JUDGE = 1,    /* mode enforce or shadow; clear: off */
	SLUICE_POLICY_SHADOW = 2,   /* nothing is dropped, what would be counts as SLUICE_SHADOW */
	SLUICE_POLICY_PORTS = 4,    /* `port_group` says which ports are judged; clear: all are, as group 0 */
	SLUICE_POLICY_OTHERS = 32,  /* with PORTS: protocols without ports are judged, too, as group 0 */
	SLUICE_POLICY_COOKIES = 16, /* SYNs may be answered with cookies, while control.cookies says so */
	SLUICE_POLICY_EXACT_CLOCK = 8, /* a burst is shorter than two ticks of the coarse clock */
};

#define SLUICE_SCOPE_SOURCE 0
#define SLUICE_SCOPE_PREFIX 1

enum sluice_family { SLUICE_IPV4, SLUICE_IPV6, SLUICE_FAMILIES };

/* Numbers in host order: hi holds the first eight bytes of the address. IPv4: hi 0, lo 0xffffaabbccdd. */
struct sluice_address {
	__u64 hi;
	__u64 lo;
};

/*
 * A set of addresses: the sorted boundaries of its disjoint ranges, as a static tree of blocks with 256
 * boundaries each. Boundary 0 is the address 0 and opens a gap; from there on ranges and gaps take turns, so
 * an address is in the set if the number of the last boundary not above it is odd. Look-ups cost 8 steps a
 * level whatever the set holds.
 */
struct sluice_prefix_set {
	__u32 depth;		      /* levels; 0: the set is empty */
	__u32 base[SLUICE_SET_DEPTH]; /* first block of each level, the root's first */
	__u32 last[SLUICE_SET_DEPTH]; /* number of the last boundary of each level */
	__u32 reserved;
};

struct sluice_limit {
	__u64
	    salt; /* identity of the limit, mixed into its tags: another limit never reads this one's times */
	__u64 depth;	  /* a whole burst, as the upper bits of a word */
	__u64 multiplier; /* units a nanosecond, times 2^(27 + shift): see sluice_time() */
	__u16 unit;	  /* units a packet or byte takes */
	__u8 shift;
	__u8 scale; /* log2 of depth, less 16: brings the slack of limits of different depth to one measure */
	__u8 count; /* one bit of enum sluice_count */
	__u8 shadow;
	__u8 reason; /* enum sluice_reason */
	__u8 reserved;
};

/* A limit keeps its slot from one generation to the next, so its arrival times stay valid. */
struct sluice_limit_list {
	struct sluice_limit limit[SLUICE_LIMITS_MAX];
	__u8 order[SLUICE_LIMITS_MAX]; /* slots in the order they are asked: syn, udp, icmp, bytes, packets */
	__u32 used;		       /* how many of `order` */
	__u32 reserved;
};

struct sluice_policy {
	__u64 generation;
	__u32 flags;
	__u32 ban_after; /* drops in limit[SLUICE_BAN_SLOT].depth of a group's sources; 0: the kernel bans no
			    one */
	__u32 newcomers; /* that each CPU lets into a group's sources in one tick */
	__u32 reserved;
	__u64 ban_for_ns;
	__u64 group_id[SLUICE_GROUPS]; /* what userspace knows each group of ports by; 0: not in use */
	struct sluice_address source_mask[SLUICE_FAMILIES];
	struct sluice_address prefix_mask[SLUICE_FAMILIES];
	__u32 source_length[SLUICE_FAMILIES]; /* as a prefix length, IPv4 0…32 */
	struct sluice_prefix_set allow[SLUICE_FAMILIES];
	struct sluice_prefix_set deny[SLUICE_FAMILIES];
	struct sluice_prefix_set never_ban[SLUICE_FAMILIES]; /* of sources, not of single addresses */
	struct sluice_limit_list limits[SLUICE_GROUPS][2];   /* by scope */
	__u8 port_group[SLUICE_PORTS]; /* 0: not judged; else the group, counted from 1 */
};

struct sluice_fences {
	__u64 hi[SLUICE_FENCES];
	__u64 lo[SLUICE_FENCES];
};

/* --- sources --- */

#define SLUICE_WAYS	8
#define SLUICE_TAG_BITS 24
#define SLUICE_TAG_MASK ((1ull << SLUICE_TAG_BITS) - 1)

/*
 * One cache line. An entry is one word: in its upper 40 bits the arrival time of one source for one limit, in
 * units of that limit; in the lower 24 its tag: a keyed hash of source and limit, with the limit's slot in
 * the low three bits. Time and tag change together, in one compare-and-swap.
 */
struct sluice_set {
	__u64 entry[SLUICE_WAYS];
};

/* Where a group's sets stand in a table: its floods evict no one from another's. */
struct sluice_region {
	__u32 base;
	__u32 mask; /* sets, less one */
};

/* --- bans --- */

#define SLUICE_BAN_LENGTHS 4 /* different prefix lengths of bans at one time, per family */

struct sluice_ban_key {
	struct sluice_address address; /* masked */
	__u64 length;		       /* IPv4 1…32, IPv6 1…128; the family is told by the address */
};

enum sluice_ban_origin {
	SLUICE_BAN_KERNEL,
	SLUICE_BAN_ESCALATION,
	SLUICE_BAN_OPERATOR,
	SLUICE_BAN_PEER,
};

struct sluice_ban {
	__u64 expires_ns; /* CLOCK_MONOTONIC; in the past: as if it were not there */
	__u64 packets;	  /* dropped by it */
	__u32 origin;	  /* enum sluice_ban_origin */
	__u32 reason;	  /* enum sluice_reason, of the kernel's own bans */
	char note[SLUICE_BAN_NOTE_BYTES];
};

/* --- shared by all generations --- */

enum sluice_cookie_flag {
	SLUICE_COOKIES_ON = 1, /* SYNs within their limits are answered with cookies */
	SLUICE_COOKIES_REDIRECT =
	    4, /* answers leave by a redirect to their own interface: see sluice_send_back() */
	SLUICE_COOKIES_STAMPED = 2, /* with timestamps, and in them window scale and SACK */
};

#define SLUICE_LISTENERS (1 << 16)

#define SLUICE_HASH_KEYS 3

struct sluice_control {
	__u32 magic;
	__u32 abi_version;
	__u64 build;			  /* hash of the object the attached programs come from */
	__u64 hash_key[SLUICE_HASH_KEYS]; /* drawn when the maps are made; tables are meaningless under
					     another */
	__u64
	    tick_ns; /* length of a jiffy, and the time of CLOCK_MONOTONIC at jiffy 0, so that the time of */
	__u64 tick_offset_ns; /* the last tick costs no call; CLOCK_MONOTONIC_COARSE in other words */
	__u32 active;	 /* slot of the policy in force, counted from 1; 0: none yet. Read once per packet */
	__u32 capturing; /* number of the capture that runs; 0: none */
	struct sluice_region regions[SLUICE_GROUPS][2]; /* of the source and the prefix table */
	__u32 ban_filter_mask;				/* counters of the ban filter, less one */
	__u32 bans;					/* entries of the ban map; 0: it is not asked */
	__u8 ban_lengths[SLUICE_FAMILIES]
			[SLUICE_BAN_LENGTHS]; /* to look bans up by; 0: unused. Written as one __u32 */
	__u32 cookies;			      /* enum sluice_cookie_flag */
	__u16 cookie_mss[SLUICE_FAMILIES];    /* bytes, what an answer offers */
	__u32 cookie_scale;		      /* likewise; what the kernel will use for its sockets */
	/* What net.ipv4.tcp_syncookies and tcp_timestamps were before we set them to 2; `told` if we did.
	 * Userspace's own. */
	__u8 told;
	__u8 syncookies_before;
	__u8 timestamps_before;
	__u8 reserved_cookies;
};

/* --- counters, one per CPU and interface --- */

struct sluice_count_pair {
	__u64 packets;
	__u64 bytes;
};

struct sluice_counters {
	struct sluice_count_pair reason[SLUICE_REASON_COUNT];
	__u64 events_lost;
	__u64 bans_refused;
	__u64 sources_evicted;
	__u64 newcomers_skipped; /* charges of sources not yet in the table, let go while the gate was shut */
	__u64 claims_lost;	 /* charges let go because another CPU took the entry */
	__u64 charge_retries;	 /* compare-and-swaps that another CPU won */
	__u64 syns;		 /* within every limit, whether passed or answered */
	__u64 sample_period;	 /* jiffies >> SLUICE_SAMPLE_PERIOD_SHIFT */
	__u32 sample_left;	 /* drop samples this CPU may still send in this period */
	__u32 talker_in;	 /* packets until one is looked at for the list of top sources */
	/* What shadow mode let pass, by the reason that would have dropped it: of the whole policy, or of a
	 * limit alone, even if something else dropped the packet after all. */
	struct sluice_count_pair would[SLUICE_REASON_COUNT];
};

#define SLUICE_SAMPLE_PERIOD_SHIFT 8  /* 256 jiffies: a quarter of a second to 2.6 s, by the kernel's HZ */
#define SLUICE_SAMPLES_PER_PERIOD  16 /* so 6 to 63 samples a second and CPU */

/* --- top sources and prefixes --- */

#define SLUICE_TALKER_SETS 1024 /* of each scope: sources first, then prefixes */
#define SLUICE_TALKER_WAYS 4

/*
 * Counted by Space-Saving (Metwally, Agrawal, El Abbadi 2005) within a set: a newcomer takes over the rarest
 * entry and its count. So of the samples of one who is listed at least packets - inherited were seen, and at
 * most `packets`; whoever has more than a quarter of the samples of its set is listed.
 */
struct sluice_talker {
	struct sluice_address source;
	__u64 packets; /* sampled; 0: the entry is free */
	__u64 inherited;
	__u64 bytes; /* of packets - inherited */
	__u64 drops; /* likewise */
};

struct sluice_talker_set {
	struct sluice_talker talker[SLUICE_TALKER_WAYS];
};

/* --- events --- */

enum sluice_event_kind {
	SLUICE_EVENT_BAN,
	SLUICE_EVENT_DROP,
};

struct sluice_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u64 generation;
	struct sluice_address address;
	__u64 ban_for_ns;
	__u32 ifindex;
	__u32 length_bytes;
	__u16 destination_port; /* host order */
	__u8 kind;
	__u8 reason;
	__u8 shadow;
	__u8 protocol;
	__u8 scope;	 /* of `limit`: 0 source, 1 prefix */
	__u8 limit;	 /* slot in the policy's limits of that scope, or SLUICE_LIMIT_NONE */
	__u8 ban_length; /* prefix length of the ban */
	__u8 group;	 /* of ports */
	__u8 reserved[6];
};

/* --- captures --- */

#define SLUICE_CAPTURE_SNAP_MAX 256 /* bytes of a packet that are copied at most */

enum sluice_capture_verdict {
	SLUICE_CAPTURE_DROPPED = 1,
	SLUICE_CAPTURE_PASSED = 2,
};

/* What to copy. Userspace writes while control.capturing is 0, the program counts. */
struct sluice_capture {
	struct sluice_address address; /* masked */
	struct sluice_address mask;
	__u64 until_ns; /* CLOCK_MONOTONIC */
	__u64 lost;	/* found no room in `captures` */
	__u32 number;	/* as control.capturing has it while this one runs */
	__s32 left;	/* packets still to copy; at 0 or below the capture ends */
	__u32 snap_bytes;
	__u8 verdicts; /* of enum sluice_capture_verdict */
	__u8 family;   /* enum sluice_family */
	__u8 reserved[2];
};

struct sluice_captured {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 number;  /* of the capture */
	__u32 ifindex;
	__u32 frame_bytes;
	__u32 bytes; /* of `data` */
	__u8 reason; /* enum sluice_reason that the packet was counted under */
	__u8 would;  /* with SLUICE_SHADOW: the reason it would have been dropped for; else as `reason` */
	__u8 reserved[6];
	__u8 data[SLUICE_CAPTURE_SNAP_MAX];
};

SLUICE_ASSERT(sizeof(struct sluice_prefix_set) == 32);
SLUICE_ASSERT(sizeof(struct sluice_limit) == 32);
SLUICE_ASSERT(sizeof(struct sluice_limit_list) == 272);
SLUICE_ASSERT(sizeof(struct sluice_policy) == 70248);
SLUICE_ASSERT(sizeof(struct sluice_fences) == SLUICE_BLOCK_BYTES);
SLUICE_ASSERT(sizeof(struct sluice_set) == 64);
SLUICE_ASSERT(sizeof(struct sluice_ban_key) == 24);
SLUICE_ASSERT(sizeof(struct sluice_ban) == 88);
SLUICE_ASSERT(sizeof(struct sluice_control) == 224);
SLUICE_ASSERT(sizeof(struct sluice_counters) == 584);
SLUICE_ASSERT(sizeof(struct sluice_talker_set) == 192);
SLUICE_ASSERT(sizeof(struct sluice_event) == 64);
SLUICE_ASSERT(sizeof(struct sluice_capture) == 64);
SLUICE_ASSERT(sizeof(struct sluice_captured) == 288);
