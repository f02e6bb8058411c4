/* Reason → counters, examples, action: the only way out of the program. */
#pragma once

#include "syn_cookie.bpf.h"

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
	    .group = (__u8)walk->group,
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
 * Counts one sample for the list of top sources, or of top prefixes: see struct sluice_talker. CPUs that take
 * over the same entry at once may leave one address made of two: nothing acts on the list.
 */
__noinline __u32 sluice_note_talker(struct sluice_address *source, struct sluice_control *own, __u32 scope,
				    __u32 bytes, __u32 dropped)
{
	struct sluice_talker_set *set;
	struct sluice_talker *rarest;
	__u64 least = ~0ull;
	__u32 way = 0, index;

	if (!source || !own)
		return 0;
	index = (__u32)sluice_hash_source(source, own->hash_key) & (SLUICE_TALKER_SETS - 1);
	index += scope ? SLUICE_TALKER_SETS : 0;
	set = bpf_map_lookup_elem(&talkers, &index);
	if (!set)
		return 0;
	for (__u32 i = 0; i < SLUICE_TALKER_WAYS; i++) {
		struct sluice_talker *talker = &set->talker[i];

		if (talker->packets && talker->source.hi == source->hi && talker->source.lo == source->lo) {
			__sync_fetch_and_add(&talker->packets, 1);
			__sync_fetch_and_add(&talker->bytes, bytes);
			__sync_fetch_and_add(&talker->drops, dropped);
			return 0;
		}
		if (talker->packets < least) {
			least = talker->packets;
			way = i;
		}
	}
	rarest = &set->talker[way & (SLUICE_TALKER_WAYS - 1)];
	*rarest = (struct sluice_talker){
	    .source = *source, .packets = least + 1, .inherited = least, .bytes = bytes, .drops = dropped};
	return 0;
}

static __always_inline void sluice_note_sample(struct sluice_walk *walk, __u32 dropped)
{
	struct sluice_address prefix;

	/* Gaps of 1 to 63 packets, 32 on average. */
	walk->counters->talker_in = bpf_get_prandom_u32() % (2 * SLUICE_SAMPLE_EVERY - 1);
	sluice_note_talker(&walk->source, walk->control, SLUICE_SCOPE_SOURCE, walk->length_bytes, dropped);
	if (!walk->policy)
		return;
	prefix = sluice_masked(&walk->packet->source,
			       &walk->policy->prefix_mask[walk->packet->family == SLUICE_IPV6]);
	sluice_note_talker(&prefix, walk->control, SLUICE_SCOPE_PREFIX, walk->length_bytes, dropped);
}

static __always_inline int sluice_is_captured(const struct sluice_capture *wanted,
					      const struct sluice_packet *packet, __u32 reason)
{
	struct sluice_address source = sluice_masked(&packet->source, &wanted->mask);

	return packet->has_source && packet->family == wanted->family && source.hi == wanted->address.hi &&
	       source.lo == wanted->address.lo &&
	       wanted->verdicts & (sluice_drops(reason) ? SLUICE_CAPTURE_DROPPED : SLUICE_CAPTURE_PASSED);
}

/*
 * Copies the packet if the capture that runs asks for it; the packet that finds its budget or its time used
 * up ends it. Verified once and by itself, and called only while a capture runs.
 */
__noinline __u32 sluice_capture_packet(struct xdp_md *ctx, struct sluice_packet *packet, __u32 number,
				       __u32 reason, __u32 would)
{
	__u32 first = 0, bytes, frame_bytes;
	struct sluice_capture *wanted = bpf_map_lookup_elem(&capture_request, &first);
	struct sluice_control *own = bpf_map_lookup_elem(&control, &first);
	struct sluice_captured *copy;
	__u64 now_ns;

	if (!packet || !wanted || !own || wanted->number != number ||
	    !sluice_is_captured(wanted, packet, reason))
		return 0;
	now_ns = bpf_ktime_get_ns();
	if (now_ns >= wanted->until_ns || wanted->left <= 0) {
		__sync_val_compare_and_swap(&own->capturing, number, 0);
		return 0;
	}
	copy = bpf_ringbuf_reserve(&captures, sizeof(*copy), 0);
	if (!copy) {
		__sync_fetch_and_add(&wanted->lost, 1);
		return 0;
	}
	frame_bytes = (__u32)bpf_xdp_get_buff_len(ctx);
	bytes = wanted->snap_bytes < frame_bytes ? wanted->snap_bytes : frame_bytes;
	/* For 6.1's verifier, hidden from the compiler: 1 to 256. A source was found in this packet, and
	 * userspace asks for no more. */
	SLUICE_ASSERT(SLUICE_CAPTURE_SNAP_MAX == 256);
	__asm__ volatile("" : "+r"(bytes));
	bytes = (bytes - 1) & (SLUICE_CAPTURE_SNAP_MAX - 1);
	__asm__ volatile("" : "+r"(bytes));
	bytes++;
	if (bpf_xdp_load_bytes(ctx, 0, copy->data, bytes) || __sync_fetch_and_add(&wanted->left, -1) <= 0) {
		bpf_ringbuf_discard(copy, 0);
		return 0;
	}
	copy->time_ns = now_ns;
	copy->number = number;
	copy->ifindex = ctx->ingress_ifindex;
	copy->frame_bytes = frame_bytes;
	copy->bytes = bytes;
	copy->reason = (__u8)reason;
	copy->would = (__u8)would;
	bpf_ringbuf_submit(copy, 0);
	return 1;
}

/*
 * veth does not wake the other end for XDP_TX unless a program is attached there: its ring of 256 frames
 * fills, and from then on takes nothing, not even the kernel's own. It does for a redirect.
 */
static __always_inline int sluice_send_back(const struct sluice_walk *walk)
{
	if (walk->control->cookies & SLUICE_COOKIES_REDIRECT)
		return (int)bpf_redirect(walk->ctx->ingress_ifindex, 0);
	return XDP_TX;
}

/*
 * What a limit in shadow mode would have dropped, and what the whole policy would have, which was to be
 * dropped for `judged`, but counts as `reason`. Verified once and by itself.
 */
__noinline __u32 sluice_count_would(struct sluice_counters *counted, __u32 would, __u32 judged, __u32 reason,
				    __u32 length_bytes)
{
	if (!counted)
		return 0;
	/* Reasons are below 16 anyway; the verifier sees it this way, and no compiler sees that it does. */
	__asm__ volatile("" : "+r"(would), "+r"(judged));
	would &= SLUICE_REASON_COUNT - 1;
	judged &= SLUICE_REASON_COUNT - 1;
	if (would != SLUICE_PASSED) {
		counted->would[would].packets++;
		counted->would[would].bytes += length_bytes;
	}
	if (reason == SLUICE_SHADOW && judged != SLUICE_PASSED) {
		counted->would[judged].packets++;
		counted->would[judged].bytes += length_bytes;
	}
	return 0;
}

/* Shadow mode, counters, examples, captures, action, in this order and for every packet. */
static __always_inline int sluice_finish(struct sluice_walk *walk, __u32 judged)
{
	struct sluice_counters *counters = walk->counters;
	__u32 would = walk->would, reason = judged, example = judged;

	if (reason == SLUICE_PASSED && would != SLUICE_PASSED) {
		example = would;
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
	if (walk->control->capturing)
		sluice_capture_packet(walk->ctx, walk->packet, walk->control->capturing, reason, example);
	if (sluice_drops(reason) || walk->shadow)
		sluice_sample_drop(walk, example);
	if (walk->packet->has_source && counters->talker_in-- == 0)
		sluice_note_sample(walk, (__u32)sluice_drops(reason));
	if (walk->shadow || would != SLUICE_PASSED)
		sluice_count_would(counters, would, judged, reason, walk->length_bytes);
	if (!sluice_drops(reason))
		return XDP_PASS;
	return reason == SLUICE_SYN_COOKIE ? sluice_send_back(walk) : XDP_DROP;
}
