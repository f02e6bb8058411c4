/* The walk of a packet, top to bottom. */
#include "verdict.bpf.h"

/*
 * The rare second look: only a frame in several buffers is longer than its linear part, and to ask the kernel
 * for that length costs as much as the whole parse.
 */
__noinline __u32 sluice_parse_again(struct xdp_md *ctx, struct sluice_packet *packet, __u32 frame_bytes)
{
	if (!packet)
		return SLUICE_PARSED_MALFORMED;
	return sluice_parse((const void *)(long)ctx->data, (const void *)(long)ctx->data_end, frame_bytes,
			    packet);
}

static __always_inline __u32 sluice_look_at(struct sluice_walk *walk)
{
	__u32 parsed =
	    sluice_parse((const void *)(long)walk->ctx->data, (const void *)(long)walk->ctx->data_end,
			 walk->length_bytes, walk->packet);
	__u32 whole_bytes;

	if (parsed == SLUICE_PARSED_IP && !walk->packet->in_doubt)
		return parsed;
	whole_bytes = (__u32)bpf_xdp_get_buff_len(walk->ctx);
	if (whole_bytes == walk->length_bytes)
		return parsed;
	walk->length_bytes = whole_bytes;
	*walk->packet = (struct sluice_packet){};
	return sluice_parse_again(walk->ctx, walk->packet, whole_bytes);
}

/* Whether the policy speaks of this packet at all; own->group is its group then. */
static __always_inline int sluice_speaks_of(const struct sluice_walk *walk)
{
	const struct sluice_packet *packet = walk->packet;
	__u32 group;

	if (packet->keeps_link)
		return 0;
	if (!(walk->policy->flags & SLUICE_POLICY_PORTS))
		return 1;
	/* Without a port to go by: later fragments and ICMP could fill the same pipe, so they are judged. */
	if (packet->portless || packet->counts & SLUICE_COUNT_ICMP)
		return 1;
	if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP)
		return !!(walk->policy->flags & SLUICE_POLICY_OTHERS);
	group = walk->policy->port_group[packet->destination_port];
	walk->own->group = group - 1;
	return group != 0;
}

static __always_inline int sluice_is_protected(struct sluice_walk *walk)
{
	int protected = sluice_speaks_of(walk);

	/* Read back from memory, for the verifier's sake: a 0 known to it would be a case apart. */
	walk->group = *(volatile __u32 *)&walk->own->group & (SLUICE_GROUPS - 1);
	return protected;
}

static __always_inline __u32 sluice_set_index(const struct sluice_walk *walk, __u32 scope, __u64 hash)
{
	const struct sluice_region *region = &walk->control->regions[walk->group][scope];

	return region->base + ((__u32)hash & region->mask);
}

static __always_inline struct sluice_limit_list *sluice_limits(const struct sluice_walk *walk, __u32 scope)
{
	return &walk->policy->limits[walk->group][scope];
}

/*
 * Asks memory for the source's set long before it is needed: with many sources it comes from far, and the
 * processor goes on with the lists and the clock meanwhile. (The load's result is not looked at, hence
 * volatile.)
 */
static __always_inline void sluice_fetch_set(struct sluice_walk *walk)
{
	__u32 index;

	walk->hash = sluice_hash_source(&walk->source, walk->control->hash_key);
	index = sluice_set_index(walk, SLUICE_SCOPE_SOURCE, walk->hash);
	walk->set = bpf_map_lookup_elem(&sources, &index);
	if (walk->set)
		(void)*(volatile __u64 *)&walk->set->entry[0];
}

static __always_inline struct sluice_judgement *sluice_ask(const struct sluice_walk *walk, __u64 hash)
{
	struct sluice_judgement *judgement = &walk->own->judgement;

	judgement->hash = hash;
	judgement->counts = walk->packet->counts;
	judgement->length_bytes = walk->length_bytes;
	judgement->limit = SLUICE_LIMIT_NONE;
	judgement->would = walk->would;
	return judgement;
}

static __always_inline void sluice_take_answer(struct sluice_walk *walk, __u32 scope)
{
	const struct sluice_judgement *judgement = &walk->own->judgement;
	__u32 limit = *(volatile __u32 *)&judgement->limit;

	walk->would = *(volatile __u32 *)&judgement->would;
	if (limit != SLUICE_LIMIT_NONE) {
		walk->limit = (__u8)limit;
		walk->scope = (__u8)scope;
	}
}

static __always_inline __u32 sluice_limit_source(struct sluice_walk *walk)
{
	struct sluice_policy *policy = walk->policy;
	struct sluice_limit_list *limits = sluice_limits(walk, SLUICE_SCOPE_SOURCE);
	struct sluice_times *now = &walk->clock->now[SLUICE_SCOPE_SOURCE];
	__u32 reason;

	reason = sluice_judge_limits(walk->set, limits, now, sluice_ask(walk, walk->hash), walk->counters);
	sluice_take_answer(walk, SLUICE_SCOPE_SOURCE);
	if (reason != SLUICE_PASSED && policy->ban_after && !(policy->flags & SLUICE_POLICY_SHADOW)) {
		__u32 counted = sluice_count_drop(walk->set, limits, now, walk->hash, policy->ban_after);

		walk->counters->sources_evicted += counted == SLUICE_DROP_COUNTED_EVICTING;
		if (counted == SLUICE_DROP_LAST_STRAW && sluice_ban_source(walk, reason))
			sluice_send_event(walk, SLUICE_EVENT_BAN, reason);
	}
	return reason;
}

static __always_inline __u32 sluice_limit_prefix(struct sluice_walk *walk)
{
	struct sluice_policy *policy = walk->policy;
	struct sluice_address prefix =
	    sluice_masked(&walk->packet->source, &policy->prefix_mask[walk->packet->family == SLUICE_IPV6]);
	__u64 hash = sluice_hash_source(&prefix, walk->control->hash_key);
	__u32 index = sluice_set_index(walk, SLUICE_SCOPE_PREFIX, hash);
	struct sluice_set *set = bpf_map_lookup_elem(&prefixes, &index);
	__u32 reason;

	reason = sluice_judge_prefix(set, sluice_limits(walk, SLUICE_SCOPE_PREFIX),
				     &walk->clock->now[SLUICE_SCOPE_PREFIX], sluice_ask(walk, hash),
				     walk->counters);
	sluice_take_answer(walk, SLUICE_SCOPE_PREFIX);
	return reason;
}

/* A SYN within every limit: to the kernel, or answered here while SYN cookies are on. */
static __always_inline __u32 sluice_meet_syn(struct sluice_walk *walk)
{
	walk->counters->syns++;
	if (!(walk->control->cookies & SLUICE_COOKIES_ON) || walk->policy->flags & SLUICE_POLICY_SHADOW ||
	    !(walk->policy->flags & SLUICE_POLICY_COOKIES))
		return SLUICE_PASSED;
	return sluice_answer_syn(walk->ctx, walk->packet, walk->syn, walk->control) ? SLUICE_SYN_COOKIE
										    : SLUICE_PASSED;
}

/* Returns the reason of the verdict. */
static __always_inline __u32 sluice_judge(struct sluice_walk *walk)
{
	const struct sluice_policy *policy = walk->policy;
	__u32 parsed, reason;

	/* 1. What is it, and is it ours to judge? */
	parsed = sluice_look_at(walk);
	if (parsed == SLUICE_PARSED_NOT_IP)
		return SLUICE_NOT_IP;
	walk->source =
	    sluice_masked(&walk->packet->source, &policy->source_mask[walk->packet->family == SLUICE_IPV6]);
	if (parsed == SLUICE_PARSED_MALFORMED)
		return walk->packet->has_source && sluice_in_set(walk, policy->allow, &walk->packet->source)
			   ? SLUICE_ALLOWED
			   : SLUICE_MALFORMED;
	if (!sluice_is_protected(walk))
		return SLUICE_UNPROTECTED;

	if (sluice_limits(walk, SLUICE_SCOPE_SOURCE)->used)
		sluice_fetch_set(walk);

	/* 2. Lists: allow beats everything. */
	if (sluice_in_set(walk, policy->allow, &walk->packet->source))
		return SLUICE_ALLOWED;
	if (sluice_in_set(walk, policy->deny, &walk->packet->source))
		return SLUICE_DENIED;

	/* 3. Bans, asked only while there are any. */
	sluice_look_at_clock(walk);
	if (walk->control->bans && sluice_is_banned(walk))
		return SLUICE_BANNED;

	/* 4. Limits of the source, then of its prefix. */
	if (walk->set) {
		reason = sluice_limit_source(walk);
		if (reason != SLUICE_PASSED)
			return reason;
	}
	if (sluice_limits(walk, SLUICE_SCOPE_PREFIX)->used) {
		reason = sluice_limit_prefix(walk);
		if (reason != SLUICE_PASSED)
			return reason;
	}

	/* 5. Who asks for a connection may have to show that it can be reached. */
	return walk->packet->counts & SLUICE_COUNT_TCP_SYN ? sluice_meet_syn(walk) : SLUICE_PASSED;
}

/* False only if the maps are not there, which can't be: arrays have their first entry. */
static __always_inline int sluice_begin(struct sluice_walk *walk, struct xdp_md *ctx)
{
	struct sluice_scratch *own;
	__u32 first = 0;

	*walk = (struct sluice_walk){.ctx = ctx, .limit = SLUICE_LIMIT_NONE, .would = SLUICE_PASSED};
	walk->counters = bpf_map_lookup_elem(&counters, &first);
	walk->control = bpf_map_lookup_elem(&control, &first);
	own = bpf_map_lookup_elem(&scratch, &first);
	if (!walk->counters || !walk->control || !own)
		return 0;
	walk->own = own;
	own->group = 0;
	walk->packet = &own->packet;
	walk->syn = &own->syn;
	*walk->packet = (struct sluice_packet){};
	walk->length_bytes = ctx->data_end - ctx->data;

	/* Which policy is in force is read once, so the whole walk sees one generation. */
	walk->slot = *(volatile __u32 *)&walk->control->active - 1;
	walk->policy = bpf_map_lookup_elem(&policies, &walk->slot);
	return 1;
}

SEC("xdp.frags")
int sluice_xdp(struct xdp_md *ctx)
{
	struct sluice_walk walk;
	__u32 reason = SLUICE_UNPROTECTED;

	if (!sluice_begin(&walk, ctx))
		return XDP_PASS;
	if (walk.policy && walk.policy->flags & SLUICE_POLICY_JUDGE)
		reason = sluice_judge(&walk);
	else
		walk.length_bytes = (__u32)bpf_xdp_get_buff_len(ctx);
	return sluice_finish(&walk, reason);
}

/* Sets the control map's clock. Attached to nothing: userspace runs it once, before the first packet. */
SEC("xdp")
int sluice_clock(__attribute__((unused)) struct xdp_md *ctx)
{
	__u32 first = 0;
	struct sluice_control *clock = bpf_map_lookup_elem(&control, &first);

	if (clock)
		clock->tick_offset_ns = bpf_ktime_get_coarse_ns() - bpf_jiffies64() * clock->tick_ns;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
