/*
 * Every map. All are pinned (userspace/kernel/pins.hpp) and shared by the programs of all interfaces, except
 * `counters`, of which each interface has its own.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "packet.bpf.h"

/*
 * Slot → a policy. Userspace fills the slot that is not in force, then moves control.active. No packet is
 * under the old policy any more when its slot is used again or its lists go: updating or deleting in `lists`
 * waits for all running programs. So a policy's lists go only after one such wait.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLUICE_POLICY_SLOTS);
	__type(key, __u32);
	__type(value, struct sluice_policy);
} policies SEC(".maps");

/* The blocks of a policy's prefix sets. Userspace makes a map of the right size for every apply. */
struct set_blocks {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct sluice_fences));
};

/* Slot → the blocks of that policy. Userspace writes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLUICE_POLICY_SLOTS);
	__type(key, __u32);
	__array(values, struct set_blocks);
} lists SEC(".maps");

/* 0 → hash key, table sizes, whether and by which prefix lengths bans stand. Userspace writes; the program
 * moves `bans`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sluice_control);
} control SEC(".maps");

/*
 * Hash of the source → a set of arrival times, each group of ports within its region. The program writes,
 * userspace reads. Never full: see sluice_claim(). Mapped to userspace also because only then the kernel
 * aligns it to a page, and each set to its cache line.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << 17);
	__type(key, __u32);
	__type(value, struct sluice_set);
} sources SEC(".maps");

/* The same for prefixes (`per: prefix`). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << 14);
	__type(key, __u32);
	__type(value, struct sluice_set);
} prefixes SEC(".maps");

/*
 * Prefix → ban. Both write: the program bans, userspace bans, lifts and removes what has expired. Full: the
 * program counts bans_refused and goes on limiting; userspace gets an error.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct sluice_ban_key);
	__type(value, struct sluice_ban);
} bans SEC(".maps");

/*
 * Hash of a banned prefix → how many bans have this hash. Keeps the sources that are not banned from paying
 * for a look-up in `bans`. Whoever adds a ban counts up before, whoever removes one counts down after.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << 17);
	__type(key, __u32);
	__type(value, __u64);
} ban_filter SEC(".maps");

/*
 * Hash of address and port of a listener → jiffies when a SYN last went to it, << 16 | 16 bits more of the
 * hash. The program's own; not pinned.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLUICE_LISTENERS);
	__type(key, __u32);
	__type(value, __u64);
} listeners SEC(".maps");

/* Whether this kernel has the helpers that make SYN cookies (Linux 6.0). Userspace clears it if not, before
 * it loads. */
const volatile __u32 sluice_has_cookies = 1;

/* Now, as the upper bits of a word of each limit. */
struct sluice_times {
	__u64 word[SLUICE_LIMITS_MAX];
	__u64 newcomers; /* that may still be let in this tick */
};

struct sluice_clock {
	__u64 tick; /* jiffies, when the rest was reckoned */
	__u64 generation;
	__u64 now_ns;
	struct sluice_times now[2]; /* by scope */
};

/* What a SYN offers. */
struct sluice_tcp_options {
	__u32 window_scale; /* SLUICE_STAMP_NO_WINDOW: none */
	__u32 sack;
	__u32 timestamps;
	__u32 echo; /* the client's timestamp */
};

/* A SYN while it is turned into its answer. */
struct sluice_syn {
	__u32 network; /* where the headers stand in the frame, in bytes */
	__u32 transport;
	__u32 cursor;
	__u32 header_bytes; /* of TCP, with options */
	struct sluice_tcp_options offered;
	__u8 link[2 * ETH_ALEN];
	__u8 ip[sizeof(struct ipv6hdr)];
	__u8 tcp[64];
};

/* One judgement by the limits of one scope, asked and answered. It stands in memory that the verifier does
 * not follow, so that what comes after is one case to it, whatever was judged. */
struct sluice_judgement {
	__u64 hash;
	__u32 counts;
	__u32 length_bytes;
	__u32 limit; /* out: slot of the limit that spoke last, or SLUICE_LIMIT_NONE */
	__u32 would; /* out: reason of a limit in shadow mode that the packet is over, or SLUICE_PASSED */
};

/* The packet stands here and not on the stack also because the verifier then need not follow the rest of the
 * walk once for every shape of packet. */
struct sluice_scratch {
	struct sluice_clock clock[SLUICE_GROUPS];
	struct sluice_packet packet;
	struct sluice_syn syn;
	struct sluice_judgement judgement;
	__u32 group; /* of the packet's port */
};

/* 0 → what this CPU remembers from one packet to the next, and the packet at hand. The program's own; not
 * pinned. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sluice_scratch);
} scratch SEC(".maps");

/* 0 → this CPU's counters on this interface. The program writes, userspace sums. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sluice_counters);
} counters SEC(".maps");

/* Sampled sources and prefixes → packets, bytes and drops seen of them. The program counts, userspace halves.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * SLUICE_TALKER_SETS);
	__type(key, __u32);
	__type(value, struct sluice_talker_set);
} talkers SEC(".maps");

/* Bans made here, and examples of drops. Full: events_lost counts. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* 0 → which packets to copy into `captures`. Userspace writes, the program counts down. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sluice_capture);
} capture_request SEC(".maps");

/* The copies. Full: capture_request.lost counts. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} captures SEC(".maps");
