/*
 * Every map. All are pinned (userspace/kernel/pins.hpp) and shared by the programs of all interfaces, except
 * `counters`, of which each interface has its own.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "sluice_abi.h"

/* One generation of the policy. Userspace makes a new one for every apply and fills it before it is seen. */
struct policy_blocks {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, SLUICE_BLOCK_SETS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(union sluice_block));
};

/*
 * 0 → the policy in force. Userspace writes, the program reads once per packet. The kernel waits for all
 * running programs before the update returns, so no packet is still under the old policy then.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct policy_blocks);
} policy SEC(".maps");

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
 * Hash of the source → a set of arrival times. The program writes, userspace reads. Never full: see
 * sluice_claim(). Mapped to userspace also because only then the kernel aligns it to a page, and each set to
 * its two cache lines.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << 18);
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

/* 0 → this CPU's counters on this interface. The program writes, userspace sums. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sluice_counters);
} counters SEC(".maps");

/* Sampled sources → packets and drops seen of them. The program counts, userspace halves. The rarest gives
 * way. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLUICE_TALKER_SETS);
	__type(key, __u32);
	__type(value, struct sluice_talker_set);
} talkers SEC(".maps");

/* Bans made here, and examples of drops. Full: events_lost counts. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");
