/* Reason → counters, examples, action: the only way out of the program. */
#pragma once

#include "source.bpf.h"

/* Bits of the reasons that drop, from the one table. */
#define SLUICE_VERDICT_pass				    0u
#define SLUICE_VERDICT_drop				    1u
#define SLUICE_DROP_BIT(symbol, name, verdict, description) | (SLUICE_VERDICT_##verdict << SLUICE_##symbol)
#define SLUICE_DROP_REASONS				    (0u SLUICE_REASONS(SLUICE_DROP_BIT))

static __always_inline int sluice_drops(__u32 reason)
{
	return (SLUICE_DROP_REASONS >> (reason & 31)) & 1;
}

static __noinline void sluice_send_event(struct sluice_walk *walk, __u32 kind, __u32 reason)
{
	struct sluice_event *event;

	if (!walk->policy)
		return; /* can't be: without a policy nothing is dropped */
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		walk->counters->events_lost++;
		return;
	}
	*event = (struct sluice_event){
	    .time_ns = bpf_ktime_get_ns(),
	    .generation = walk->policy->generation,
	    .address = walk->packet->source,
	    .ban_for_ns = kind == SLUICE_EVENT_BAN ? walk->policy->ban_for_ns : 0,
	    .ifindex = walk->ctx->ingress_ifindex,
	    .length_bytes = walk->length_bytes,
	    .destination_port = walk->packet->destination_port,
	    .kind = (__u8)kind,
	    .reason = (__u8)reason,
	    .shadow = walk->shadow,
	    .protocol = walk->packet->protocol,
	    .scope = walk->scope,
	    .limit = walk->limit,
	    .ban_length = (__u8)walk->policy->source_length[walk->packet->family == SLUICE_IPV6],
	};
	bpf_ringbuf_submit(event, 0);
}

/* An example of a drop, as many as userspace can take from every CPU. */
static __always_inline void sluice_sample_drop(struct sluice_walk *walk, __u32 reason)
{
	struct sluice_counters *counters = walk->counters;
	__u64 period = bpf_jiffies64() >> SLUICE_SAMPLE_PERIOD_SHIFT;

	if (counters->sample_period != period) {
		counters->sample_period = period;
		counters->sample_left = SLUICE_SAMPLES_PER_PERIOD;
	}
	if (!counters->sample_left)
		return;
	counters->sample_left--;
	sluice_send_event(walk, SLUICE_EVENT_DROP, reason);
}

/*
 * The list of top sources (after HeavyKeeper: a newcomer wears down the rarest before it takes its place).
 * CPUs that replace the same entry at once may leave one address made of two: the list is an estimate,
 * nothing acts on it.
 */
static __noinline void sluice_note_talker(struct sluice_walk *walk, int dropped)
{
	__u32 index =
	    (__u32)sluice_hash_source(&walk->source, walk->control->hash_key) & (SLUICE_TALKER_SETS - 1);
	struct sluice_talker_set *set = bpf_map_lookup_elem(&talkers, &index);
	__u64 least = ~0ull;
	__u32 rarest = 0;

	walk->counters->talker_in = bpf_get_prandom_u32() & (2 * SLUICE_SAMPLE_EVERY - 1);
	if (!set)
		return;
	for (__u32 way = 0; way < SLUICE_TALKER_WAYS; way++) {
		struct sluice_talker *talker = &set->talker[way];

		if (talker->packets && talker->source.hi == walk->source.hi &&
		    talker->source.lo == walk->source.lo) {
			__sync_fetch_and_add(&talker->packets, 1);
			__sync_fetch_and_add(&talker->drops, dropped);
			return;
		}
		if (talker->packets < least) {
			least = talker->packets;
			rarest = way;
		}
	}
	if (least > 1) {
		__sync_fetch_and_add(&set->talker[rarest & (SLUICE_TALKER_WAYS - 1)].packets, -1);
		return;
	}
	set->talker[rarest & (SLUICE_TALKER_WAYS - 1)] =
	    (struct sluice_talker){.source = walk->source, .packets = 1, .drops = (__u64)dropped};
}

/* Shadow mode, counters, examples, action, in this order and for every packet. */
static __always_inline int sluice_finish(struct sluice_walk *walk, __u32 reason)
{
	struct sluice_counters *counters = walk->counters;
	__u32 example = reason;

	if (reason == SLUICE_PASSED && walk->would != SLUICE_PASSED) {
		example = walk->would;
		reason = SLUICE_SHADOW;
	} else if (sluice_drops(reason) && walk->policy && (walk->policy->flags & SLUICE_POLICY_SHADOW)) {
		reason = SLUICE_SHADOW;
	}
	if (reason >= SLUICE_REASON_COUNT)
		reason = SLUICE_INTERNAL_ERROR;
	/* The same once more for 6.1's verifier, hidden from the compiler, which knows it to be superfluous.
	 */
	SLUICE_ASSERT(SLUICE_REASON_COUNT == 16);
	__asm__ volatile("" : "+r"(reason));
	reason &= SLUICE_REASON_COUNT - 1;

	counters->reason[reason].packets++;
	counters->reason[reason].bytes += walk->length_bytes;

	walk->shadow = reason == SLUICE_SHADOW;
	if (sluice_drops(reason) || walk->shadow)
		sluice_sample_drop(walk, example);
	if (walk->packet->has_source && counters->talker_in-- == 0)
		sluice_note_talker(walk, sluice_drops(reason));
	return sluice_drops(reason) ? XDP_DROP : XDP_PASS;
}
