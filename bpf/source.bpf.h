/* What is known of a source: its arrival times in the set-associative table, and its ban. */
#pragma once

#include "maps.bpf.h"
#include "packet.bpf.h"
#include "prefix_set.bpf.h"

/* One packet on its way through the program. */
struct sluice_walk {
	struct xdp_md *ctx;
	__u32 slot; /* of the policy in force, for `lists` */
	struct sluice_policy *policy;
	struct sluice_control *control;
	struct sluice_scratch *own;
	struct sluice_counters *counters;
	struct sluice_packet *packet;
	struct sluice_syn *syn;
	struct sluice_clock *clock;   /* of the group */
	struct sluice_address source; /* masked to the policy's source prefix */
	struct sluice_set *set;	      /* of the source, once fetched */
	__u64 hash;		      /* likewise */
	__u32 group;		      /* of ports */
	__u32 length_bytes;
	__u8 scope;  /* of `limit` */
	__u8 limit;  /* that the packet was over, or SLUICE_LIMIT_NONE */
	__u32 would; /* reason of a limit in shadow mode that the packet was over, or SLUICE_PASSED */
	__u8 shadow; /* the verdict was turned into a pass */
};

static __always_inline struct sluice_address sluice_masked(const struct sluice_address *address,
							   const struct sluice_address *mask)
{
	struct sluice_address masked = {address->hi & mask->hi, address->lo & mask->lo};

	return masked;
}

/* --- prefix sets --- */

__noinline __u32 sluice_search_block(struct sluice_fences *fences, struct sluice_address *address, int ipv4)
{
	if (!fences || !address)
		return 0;
	return ipv4 ? sluice_find_fence(fences, address, 1) : sluice_find_fence(fences, address, 0);
}

static __noinline int sluice_search_set(__u32 slot, const struct sluice_prefix_set *set,
					struct sluice_address *address, int ipv4)
{
	void *blocks = bpf_map_lookup_elem(&lists, &slot);
	__u32 number = 0;

	if (!blocks)
		return 0; /* can't be: a set that is not empty has blocks */
	for (__u32 level = 0; level < SLUICE_SET_DEPTH; level++) {
		struct sluice_fences *block;
		__u32 index;

		if (level >= set->depth)
			break;
		index = set->base[level] + number;
		block = bpf_map_lookup_elem(blocks, &index);
		if (!block)
			return 0; /* can't be: the plan and its tests see to it */
		number = sluice_descend(set, level, number, sluice_search_block(block, address, ipv4));
	}
	return number & 1;
}

static __always_inline int sluice_in_set(const struct sluice_walk *walk, const struct sluice_prefix_set *sets,
					 struct sluice_address *address)
{
	if (walk->packet->family == SLUICE_IPV4)
		return sets[SLUICE_IPV4].depth &&
		       sluice_search_set(walk->slot, &sets[SLUICE_IPV4], address, 1);
	return sets[SLUICE_IPV6].depth && sluice_search_set(walk->slot, &sets[SLUICE_IPV6], address, 0);
}

/* --- time --- */

static __noinline void sluice_set_clock(struct sluice_clock *clock, const struct sluice_control *control,
					struct sluice_policy *policy, __u32 group, __u64 tick)
{
	struct sluice_limit_list *limits = policy->limits[group & (SLUICE_GROUPS - 1)];

	if (clock->tick != tick) {
		clock->now[SLUICE_SCOPE_SOURCE].newcomers = policy->newcomers;
		clock->now[SLUICE_SCOPE_PREFIX].newcomers = ~0ull;
	}
	clock->tick = tick;
	clock->generation = policy->generation;
	clock->now_ns = policy->flags & SLUICE_POLICY_EXACT_CLOCK
			    ? bpf_ktime_get_ns()
			    : tick * control->tick_ns + control->tick_offset_ns;
	for (__u32 slot = 0; slot < SLUICE_LIMITS_MAX; slot++)
		for (__u32 scope = 0; scope < 2; scope++)
			clock->now[scope].word[slot] = sluice_time(&limits[scope].limit[slot], clock->now_ns);
}

/* The time of the last tick costs no call, and what it is to each limit is reckoned once a tick. */
static __always_inline void sluice_look_at_clock(struct sluice_walk *walk)
{
	struct sluice_policy *policy = walk->policy;
	__u64 tick = bpf_jiffies64();

	walk->clock = &walk->own->clock[walk->group];
	if (walk->clock->tick != tick || walk->clock->generation != policy->generation ||
	    policy->flags & SLUICE_POLICY_EXACT_CLOCK)
		sluice_set_clock(walk->clock, walk->control, policy, walk->group, tick);
}

/* --- arrival times --- */

/*
 * The first entry with this tag, or NULL. Without a branch for each way: which way it is no processor can
 * guess, and the verifier would follow them all. A way that fits sets bit 3 * way; the product brings the
 * way's number, of three bits, to the top.
 */
#define SLUICE_WAY_NUMBERS (01234567ull << 40)

static __always_inline __u64 *sluice_find(struct sluice_set *set, __u64 tag)
{
	__u64 found = 0;

#pragma unroll
	for (__u32 way = 0; way < SLUICE_WAYS; way++) {
		__u64 other = (*(volatile __u64 *)&set->entry[way] ^ tag) & SLUICE_TAG_MASK;
		__u64 fits = (other - 1) >> 63;

		sluice_hide(fits);
		found |= fits << 3 * way;
	}
	if (!found)
		return 0;
	return &set->entry[(found & -found) * SLUICE_WAY_NUMBERS >> 61];
}

enum sluice_claimed {
	SLUICE_CLAIM_LOST,    /* another CPU took the entry first */
	SLUICE_CLAIM_FREE,    /* its source was back at its full allowance */
	SLUICE_CLAIM_EVICTED, /* its source was not */
};

/*
 * Puts a word in place of one whose source is back at its full allowance, else of the one nearest to it,
 * measured by the depth of its limit. If the place is lost the packet goes uncharged, as it may when two CPUs
 * meet a new source at once: at most one packet per CPU and new source. (Functions that are not static are
 * verified once and by themselves, not once for every way that leads to them.)
 */
__noinline __u32 sluice_claim(struct sluice_set *set, struct sluice_limit_list *limits,
			      struct sluice_times *now, __u64 word)
{
	__u64 least = ~0ull, *entry, old;

	if (!set || !limits || !now)
		return SLUICE_CLAIM_LOST;
#pragma unroll
	for (__u32 way = 0; way < SLUICE_WAYS; way++) {
		__u64 seen = *(volatile __u64 *)&set->entry[way];
		__u32 slot = seen & (SLUICE_LIMITS_MAX - 1);
		const struct sluice_limit *limit = &limits->limit[slot];
		__u64 ahead = sluice_ahead(seen, now->word[slot], limit->depth) >> (limit->scale & 63);
		__u64 rank = ahead << 3 | way;

		least = rank < least ? rank : least;
	}
	entry = &set->entry[least & (SLUICE_WAYS - 1)];
	old = *(volatile __u64 *)entry;
	if (__sync_val_compare_and_swap(entry, old, word) != old)
		return SLUICE_CLAIM_LOST;
	return least >> 3 ? SLUICE_CLAIM_EVICTED : SLUICE_CLAIM_FREE;
}

/*
 * The gate (after Katran's is_under_flood()): of sources that are not in the table only so many are let in a
 * tick. While more come than that, most of them forged, the rest go uncharged, and the limits of their prefix
 * are what judges them; who is in the table keeps its place.
 */
__noinline __u32 sluice_let_in(struct sluice_set *set, struct sluice_limit_list *limits,
			       struct sluice_times *now, __u64 word, struct sluice_counters *counted)
{
	__u32 claimed;

	if (!now || !counted)
		return 0;
	if (!now->newcomers) {
		counted->newcomers_skipped++;
		return 0;
	}
	now->newcomers--;
	claimed = sluice_claim(set, limits, now, word);
	counted->sources_evicted += claimed == SLUICE_CLAIM_EVICTED;
	counted->claims_lost += claimed == SLUICE_CLAIM_LOST;
	return 0;
}

/*
 * PASSED, or the reason of the first limit the packet is over. Limits stand from narrow to wide, so what a
 * narrow one refuses is not charged to the wide ones: a UDP flood does not eat the same source's TCP. What
 * one in shadow mode would refuse is not charged to the others in shadow mode: each counts what it will drop
 * once all of them are enforced.
 */
static __always_inline __u32 sluice_judge_limits(struct sluice_set *set, struct sluice_limit_list *limits,
						 struct sluice_times *now, struct sluice_judgement *judgement,
						 struct sluice_counters *counted)
{
	for (__u32 i = 0; i < SLUICE_LIMITS_MAX; i++) {
		__u32 slot = limits->order[i] & (SLUICE_LIMITS_MAX - 1);
		const struct sluice_limit *limit = &limits->limit[slot];
		__u64 tag, cost, *entry;

		if (i >= limits->used)
			break;
		if (!(limit->count & judgement->counts))
			continue;
		if (limit->shadow && *(volatile __u32 *)&judgement->would)
			continue;
		cost = sluice_cost(limit, limit->count == SLUICE_COUNT_BYTES ? judgement->length_bytes : 1);
		tag = sluice_tag(judgement->hash, limit->salt, slot);
		entry = sluice_find(set, tag);
		if (entry) {
			if (sluice_gcra(entry, tag, now->word[slot], cost, limit->depth,
					&counted->charge_retries) == SLUICE_WITHIN)
				continue;
		} else if (cost <= limit->depth) {
			sluice_let_in(set, limits, now, (now->word[slot] + cost) | tag, counted);
			continue;
		}
		judgement->limit = slot;
		if (!limit->shadow)
			return limit->reason;
		judgement->would = limit->reason;
	}
	return SLUICE_PASSED;
}

/* The same, verified once and by itself. */
__noinline __u32 sluice_judge_prefix(struct sluice_set *set, struct sluice_limit_list *limits,
				     struct sluice_times *now, struct sluice_judgement *judgement,
				     struct sluice_counters *counted)
{
	if (!set || !limits || !now || !judgement || !counted)
		return SLUICE_INTERNAL_ERROR;
	return sluice_judge_limits(set, limits, now, judgement, counted);
}

enum sluice_counted_drop {
	SLUICE_DROP_COUNTED,
	SLUICE_DROP_COUNTED_EVICTING, /* and took an entry from a source not yet at its full allowance */
	SLUICE_DROP_LAST_STRAW,	      /* that makes `most` in the ban rule's span; the count starts anew */
};

/* Counts one drop against the source. */
__noinline __u32 sluice_count_drop(struct sluice_set *set, struct sluice_limit_list *limits,
				   struct sluice_times *now, __u64 hash, __u32 most)
{
	const struct sluice_limit *limit;
	__u64 tag, time, *entry;

	if (!set || !limits || !now)
		return SLUICE_DROP_COUNTED;
	limit = &limits->limit[SLUICE_BAN_SLOT];
	time = now->word[SLUICE_BAN_SLOT];
	tag = sluice_tag(hash, limit->salt, SLUICE_BAN_SLOT);
	entry = sluice_find(set, tag);
	if (entry) {
		if (sluice_count_one_drop(entry, tag, time, limit->depth) < most)
			return SLUICE_DROP_COUNTED;
		*(volatile __u64 *)entry = time | tag;
		return SLUICE_DROP_LAST_STRAW;
	}
	if (most <= 1)
		return SLUICE_DROP_LAST_STRAW;
	return sluice_claim(set, limits, now, sluice_first_drop(tag, time, limit->depth)) ==
		       SLUICE_CLAIM_EVICTED
		   ? SLUICE_DROP_COUNTED_EVICTING
		   : SLUICE_DROP_COUNTED;
}

/* --- bans --- */

/* `length` counts IPv4 bits from the top of the mapped address: 97…128. */
static __always_inline struct sluice_address sluice_mask_of(__u32 length)
{
	struct sluice_address mask;

	mask.hi = length >= 64 ? ~0ull : ~(~0ull >> (length & 63));
	mask.lo = length <= 64 ? 0 : ~0ull << ((128 - length) & 63);
	return mask;
}

static __always_inline int sluice_is_banned(struct sluice_walk *walk)
{
	const __u8 *lengths = walk->control->ban_lengths[walk->packet->family == SLUICE_IPV6];

	for (int i = 0; i < SLUICE_BAN_LENGTHS; i++) {
		struct sluice_address mask;
		struct sluice_ban_key key;
		struct sluice_ban *ban;
		__u64 *standing;
		__u32 index;

		if (!lengths[i])
			break;
		key.length = lengths[i];
		mask = sluice_mask_of(lengths[i] + (walk->packet->family == SLUICE_IPV4 ? 96 : 0));
		key.address = sluice_masked(&walk->packet->source, &mask);
		index =
		    (__u32)sluice_ban_hash(&key, walk->control->hash_key) & walk->control->ban_filter_mask;
		standing = bpf_map_lookup_elem(&ban_filter, &index);
		if (!standing || !*standing)
			continue;
		ban = bpf_map_lookup_elem(&bans, &key);
		if (!ban || ban->expires_ns <= walk->clock->now_ns)
			continue;
		__sync_fetch_and_add(&ban->packets, 1);
		return 1;
	}
	return 0;
}

/* Bans the packet's source. True if it was this call that did, and not another CPU at the same time. */
static __noinline int sluice_ban_source(struct sluice_walk *walk, __u32 reason)
{
	struct sluice_ban fresh = {.origin = SLUICE_BAN_KERNEL, .reason = reason};
	struct sluice_ban_key key = {.address = walk->source};
	const struct sluice_policy *policy = walk->policy;
	struct sluice_ban *standing;
	__u64 old, *filter;
	__u32 index;
	long error;

	if (sluice_in_set(walk, policy->never_ban, &walk->source))
		return 0;
	key.length = policy->source_length[walk->packet->family == SLUICE_IPV6];
	fresh.expires_ns = walk->clock->now_ns + policy->ban_for_ns;

	standing = bpf_map_lookup_elem(&bans, &key);
	if (standing) {
		/* It has expired, but userspace has not removed it yet. */
		old = standing->expires_ns;
		if (old > walk->clock->now_ns ||
		    __sync_val_compare_and_swap(&standing->expires_ns, old, fresh.expires_ns) != old)
			return 0;
		standing->packets = 0;
		standing->origin = SLUICE_BAN_KERNEL;
		standing->reason = reason;
		return 1;
	}
	index = (__u32)sluice_ban_hash(&key, walk->control->hash_key) & walk->control->ban_filter_mask;
	filter = bpf_map_lookup_elem(&ban_filter, &index);
	if (!filter)
		return 0;
	__sync_fetch_and_add(filter, 1);
	__sync_fetch_and_add(&walk->control->bans, 1);
	error = bpf_map_update_elem(&bans, &key, &fresh, BPF_NOEXIST);
	if (!error)
		return 1;
	__sync_fetch_and_add(filter, -1);
	__sync_fetch_and_add(&walk->control->bans, -1);
	if (error != -17 /* EEXIST: another CPU was first */)
		walk->counters->bans_refused++;
	return 0;
}
