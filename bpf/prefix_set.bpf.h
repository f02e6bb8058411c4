/*
 * Is an address in a set of prefixes: a search in a static tree (struct sluice_prefix_set). Without branches,
 * because the processor can't foresee the way through, and the verifier would follow every one. The host
 * compiles it too.
 */
#pragma once

#include "gcra.bpf.h"

/* 1 if a < b, 0 otherwise (Hacker's Delight, 2-12). */
static __always_inline __u64 sluice_below(__u64 a, __u64 b)
{
	return ((~a & b) | ((~a | b) & (a - b))) >> 63;
}

/* The last of the 256 fences that is not above the address; 0 if all are. Unused fences are above every
 * address. */
static __always_inline __u32 sluice_find_fence(const struct sluice_fences *fences,
					       const struct sluice_address *address, int ipv4)
{
	__u64 at = 0;

#pragma GCC unroll 8
	for (__u64 step = SLUICE_FENCES / 2; step; step /= 2) {
		__u64 probe = (at + step) & (SLUICE_FENCES - 1);
		__u64 below = sluice_below(address->lo, fences->lo[probe]);

		if (!ipv4) {
			__u64 differ = address->hi ^ fences->hi[probe];
			__u64 same = ((differ | (0 - differ)) >> 63) ^ 1;

			sluice_hide(same);
			below = sluice_below(address->hi, fences->hi[probe]) | (same & below);
		}
		sluice_hide(below);
		at += step *
		      (below ^ 1); /* not by a mask of 0 or -1: 6.18's verifier makes two cases of that */
		/* Hides from the compiler that `at` is small: it would drop the mask that shows it to 6.1's
		 * verifier. */
		sluice_hide(at);
	}
	return (__u32)at & (SLUICE_FENCES - 1);
}

/* One level down: from a block's number in its level and the fence found in it to the number of the boundary.
 */
static __always_inline __u32 sluice_descend(const struct sluice_prefix_set *set, __u32 level, __u32 number,
					    __u32 fence)
{
	__u32 found = number * SLUICE_FENCES + fence;

	return found > set->last[level] ? set->last[level]
					: found; /* the highest address equals unused fences */
}
