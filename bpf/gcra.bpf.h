/*
 * The arithmetic of a source: pure, time passed in, no kernel needed. The host compiles it too: its tests
 * compare it with exact fractions, and userspace reads the tables with it.
 *
 * Times are unsigned 64-bit ticks of 1/256 ns that wrap every 2.3 years of uptime; only differences are
 * looked at.
 */
#pragma once

#include "sluice_abi.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

enum sluice_charge {
	SLUICE_WITHIN,
	SLUICE_OVER,
};

static __always_inline __u64 sluice_ticks(__u64 ns)
{
	return ns << SLUICE_TICK_SHIFT;
}

/* The time that `units` packets or bytes take at the limit's rate, rounded up. 1 ≤ units ≤ 2^17. */
static __always_inline __u64 sluice_cost(const struct sluice_limit *limit, __u64 units)
{
	return ((units * limit->interval - 1) >> limit->shift) + 1;
}

/*
 * How far an arrival time runs ahead of now: 0 for a source at its full allowance. A time further ahead than
 * any charge leaves it is one that wrapped while no one looked (its source was silent for a year): full
 * allowance as well.
 */
static __always_inline __u64 sluice_ahead(__u64 tat, __u64 now, __u64 depth)
{
	__u64 ahead = tat - now;

	return ahead > 2 * depth ? 0 : ahead;
}

/*
 * Generic cell rate algorithm (ITU-T I.371), exact across CPUs: a charge that is refused changes nothing, and
 * every one that is admitted moves the time by its cost. cost, depth < 2^62. Under contention the fourth try
 * adds without comparing: then a refusal may have been charged once, never an admission for nothing.
 */
static __always_inline enum sluice_charge sluice_gcra(__u64 *tat, __u64 now, __u64 cost, __u64 depth)
{
	__u64 seen = *(volatile __u64 *)tat;

	for (int attempt = 0; attempt < 3; attempt++) {
		__u64 ahead = sluice_ahead(seen, now, depth);
		__u64 found;

		if (ahead + cost > depth)
			return SLUICE_OVER;
		found = __sync_val_compare_and_swap(tat, seen, now + ahead + cost);
		if (found == seen)
			return SLUICE_WITHIN;
		seen = found;
	}
	seen = __sync_fetch_and_add(tat, cost);
	return sluice_ahead(seen, now, depth) + cost > depth ? SLUICE_OVER : SLUICE_WITHIN;
}

/*
 * Counts one drop and returns how many fell into the window that began with the first of them. The word is
 * the window's end with its low 24 bits (65 µs) given to the count, so it orders like an arrival time when a
 * set looks for a victim. Contended, a drop may go uncounted; the next ones count.
 */
#define SLUICE_DROPS_MASK 0xffffffull

static __always_inline __u32 sluice_ban_count(__u64 *word, __u64 now, __u64 within)
{
	__u64 seen = *(volatile __u64 *)word;
	__u64 left = (seen & ~SLUICE_DROPS_MASK) - now;
	__u64 next = left && left <= within ? seen + 1 : ((now + within) & ~SLUICE_DROPS_MASK) + 1;

	__sync_val_compare_and_swap(word, seen, next);
	return (__u32)(next & SLUICE_DROPS_MASK);
}

/* --- keyed hash --- */

struct sluice_hash {
	__u64 set; /* which set */
	__u64 tag; /* which source in it */
};

/* Finaliser of MurmurHash3: a bijection that spreads every bit over all. */
static __always_inline __u64 sluice_mix(__u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ (x >> 33);
}

/* NH of UMAC (RFC 4418): two inputs collide for at most one key in 2^32, whoever chose them. */
static __always_inline __u64 sluice_nh(const struct sluice_address *address, const __u64 *key)
{
	__u64 a = (__u32)((__u32)address->hi + (__u32)key[0]);
	__u64 b = (__u32)((__u32)(address->hi >> 32) + (__u32)(key[0] >> 32));
	__u64 c = (__u32)((__u32)address->lo + (__u32)key[1]);
	__u64 d = (__u32)((__u32)(address->lo >> 32) + (__u32)(key[1] >> 32));

	return a * b + c * d + key[2];
}

/* Twice with independent keys: two sources share set and tag with probability 2^-64, so no source pays for
 * another. */
static __always_inline struct sluice_hash sluice_hash_source(const struct sluice_address *source,
							     const __u64 *key)
{
	struct sluice_hash hash = {
	    .set = sluice_mix(sluice_nh(source, key)),
	    .tag = sluice_mix(sluice_nh(source, key + 3)),
	};

	return hash;
}

static __always_inline __u64 sluice_tag(__u64 hash_tag, __u64 salt, __u32 slot)
{
	return ((hash_tag ^ salt) & ~7ull) | slot;
}

static __always_inline __u64 sluice_ban_hash(const struct sluice_ban_key *ban, const __u64 *key)
{
	return sluice_mix(sluice_nh(&ban->address, key) + ban->length * 0x9e3779b97f4a7c15ull);
}
