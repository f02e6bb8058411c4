/*
 * The arithmetic of a source: pure, time passed in, no kernel needed. The host compiles it too: its tests
 * compare it with exact fractions, and userspace reads the tables with it.
 *
 * An arrival time counts in units of its limit: a packet takes 256 of them or 1, a byte 1, so what is charged
 * is a whole number and no rate loses a fraction; only the clock is rounded, down, each time anew. Times are
 * 40 bits wide and wrap; only differences are looked at. A source that was silent for a whole turn (hours for
 * packets, a quarter of an hour at 10 Gbit/s for bytes) may, with a probability of twice burst/2^40, find
 * its burst spent.
 */
#pragma once

#include "sluice_abi.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* Keeps the compiler from making a branch of what was written without one: the verifier follows both sides of
 * every branch, and what hangs on a random bit can't be predicted. */
#define sluice_hide(value) __asm__("" : "+r"(value))

enum sluice_charge {
	SLUICE_WITHIN,
	SLUICE_OVER,
};

/* `now` as the upper bits of a word of this limit. Exact to one unit for nine years of uptime. */
static __always_inline __u64 sluice_time(const struct sluice_limit *limit, __u64 now_ns)
{
	const __u64 low = now_ns & ((1u << 27) - 1);
	const __u64 scaled = (now_ns >> 27) * limit->multiplier + ((low * limit->multiplier) >> 27);

	return scaled >> (limit->shift & 63) << SLUICE_TAG_BITS;
}

/* What `count` packets or bytes take from the allowance. count ≤ 2^17. */
static __always_inline __u64 sluice_cost(const struct sluice_limit *limit, __u64 count)
{
	return count * limit->unit << SLUICE_TAG_BITS;
}

/* Contended charges may overshoot the depth by this much: 2^20 units. */
#define SLUICE_OVERSHOOT (1ull << (SLUICE_TAG_BITS + 20))

/*
 * How far a word's time runs ahead of now: 0 for a source at its full allowance. A time further ahead than
 * any charge leaves it is one that wrapped while no one looked: full allowance as well. Now may be that of a
 * processor one tick behind the one that charged; no burst is shorter than two (SLUICE_POLICY_EXACT_CLOCK).
 */
static __always_inline __u64 sluice_ahead(__u64 word, __u64 now, __u64 depth)
{
	__u64 ahead = (word & ~SLUICE_TAG_MASK) - now;
	__s64 out_of_range = (__s64)(ahead | (2 * depth + SLUICE_OVERSHOOT - ahead)) >> 63;

	sluice_hide(out_of_range);
	return ahead & ~(__u64)out_of_range;
}

/*
 * Generic cell rate algorithm (ITU-T I.371), exact across CPUs: a charge that is refused changes nothing, and
 * every one that is admitted moves the time by its cost. `seen` is the word as it was found, with its
 * source's tag; depth + cost < 2^63. Under contention the fourth try adds without comparing, and takes back
 * what was over. `retries` counts the tries that another CPU won.
 */
static __always_inline enum sluice_charge sluice_gcra(__u64 *word, __u64 tag, __u64 now, __u64 cost,
						      __u64 depth, __u64 *retries)
{
	__u64 seen = *(volatile __u64 *)word;

	for (int attempt = 0; attempt < 3; attempt++) {
		__u64 ahead = sluice_ahead(seen, now, depth);
		__u64 found;

		if ((seen & SLUICE_TAG_MASK) != tag)
			return SLUICE_WITHIN;
		if (ahead + cost > depth)
			return SLUICE_OVER;
		found = __sync_val_compare_and_swap(word, seen, (now + ahead + cost) | tag);
		if (found == seen)
			return SLUICE_WITHIN;
		seen = found;
		++*retries;
	}
	seen = __sync_fetch_and_add(word, cost);
	if (sluice_ahead(seen, now, depth) + cost <= depth)
		return SLUICE_WITHIN;
	__sync_fetch_and_add(word, -cost);
	return SLUICE_OVER;
}

/*
 * Drops of a source, for the ban rule: 20 bits of time in 256ths of the span, 20 of count, the tag. Below the
 * time there is room for the count because the limit's units are 2^20 times finer than its time is looked at;
 * so the word orders like any other when a set looks for a victim.
 */
#define SLUICE_DROPS_ONE  (1ull << SLUICE_TAG_BITS)
#define SLUICE_DROPS_BITS 20
#define SLUICE_DROPS_TIME (~0ull << (SLUICE_TAG_BITS + SLUICE_DROPS_BITS))
#define SLUICE_DROPS_MASK ((1ull << SLUICE_DROPS_BITS) - 1)

/* The word of a source's first drop in a span that begins now. */
static __always_inline __u64 sluice_first_drop(__u64 tag, __u64 now, __u64 span)
{
	return (((now + span) & SLUICE_DROPS_TIME) + SLUICE_DROPS_ONE) | tag;
}

/* Counts one drop and returns how many fell into the span that began with the first of them. Contended, a
 * drop may go uncounted; the next ones count. */
static __always_inline __u32 sluice_count_one_drop(__u64 *word, __u64 tag, __u64 now, __u64 span)
{
	__u64 seen = *(volatile __u64 *)word;
	__u64 left = (seen & SLUICE_DROPS_TIME) - (now & SLUICE_DROPS_TIME);
	__u64 next = left && left <= span ? seen + SLUICE_DROPS_ONE : sluice_first_drop(tag, now, span);

	if ((seen & SLUICE_TAG_MASK) != tag)
		return 0;
	__sync_val_compare_and_swap(word, seen, next);
	return (__u32)(next >> SLUICE_TAG_BITS & SLUICE_DROPS_MASK);
}

/* --- keyed hash --- */

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

/* The low bits choose the set, the top bits are the tag. */
static __always_inline __u64 sluice_hash_source(const struct sluice_address *source, const __u64 *key)
{
	return sluice_mix(sluice_nh(source, key));
}

/* 21 bits of the hash that do not choose the set: two given sources share set and tag with probability 2^-38.
 */
static __always_inline __u64 sluice_tag(__u64 hash, __u64 salt, __u32 slot)
{
	return (((hash ^ salt) >> (64 - SLUICE_TAG_BITS)) & ~7ull) | slot;
}

static __always_inline __u64 sluice_ban_hash(const struct sluice_ban_key *ban, const __u64 *key)
{
	return sluice_mix(sluice_nh(&ban->address, key) + ban->length * 0x9e3779b97f4a7c15ull);
}
