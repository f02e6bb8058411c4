/*
 * What sluice_xdp is measured against, and what feeds it packets. lru_xdp is the walk of sluice_xdp, line by
 * line, with what nearly everyone builds in place of the table: one entry of an LRU hash per source. The
 * parser, policy, lists, bans, clock, arithmetic and counters are the same text and the same maps.
 */
#include "sluice_xdp.bpf.c"

/* Room for twice a million sources: no source of a million gives way to another. */
#define ROOM (1 << 21)

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, ROOM);
    __type(key, struct sluice_address);
    __type(value, __u64);
} lru SEC(".maps");

/* A list of its own for each CPU: less contended, but each has only its part of the room. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(map_flags, BPF_F_NO_COMMON_LRU);
    __uint(max_entries, 2 * ROOM);
    __type(key, struct sluice_address);
    __type(value, __u64);
} lru_own_lists SEC(".maps");

/* A value of its own for each CPU: no atomics, but a source gets its limit once on each. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
    __uint(max_entries, ROOM);
    __type(key, struct sluice_address);
    __type(value, __u64);
} lru_percpu SEC(".maps");

/* As sluice_limit_source(), by the last of the limits. */
static __always_inline __u32 lru_limit_source(struct sluice_walk* walk, void* map) {
    struct sluice_limit_list* limits = sluice_limits(walk, SLUICE_SCOPE_SOURCE);
    __u32 slot = limits->order[(limits->used - 1) & (SLUICE_LIMITS_MAX - 1)] & (SLUICE_LIMITS_MAX - 1);
    const struct sluice_limit* limit = &limits->limit[slot];
    __u64 now = walk->clock->now[SLUICE_SCOPE_SOURCE].word[slot];
    __u64 cost = sluice_cost(limit, 1), fresh = now + cost;
    __u64* word = bpf_map_lookup_elem(map, &walk->source);

    if (!word) {
        bpf_map_update_elem(map, &walk->source, &fresh, BPF_NOEXIST);
        return SLUICE_PASSED;
    }
    return sluice_gcra(word, 0, now, cost, limit->depth, &walk->counters->charge_retries) == SLUICE_WITHIN
               ? SLUICE_PASSED
               : limit->reason;
}

/* As sluice_judge(). */
static __always_inline __u32 lru_judge(struct sluice_walk* walk, void* map) {
    const struct sluice_policy* policy = walk->policy;
    __u32 parsed = sluice_look_at(walk);

    if (parsed == SLUICE_PARSED_NOT_IP) return SLUICE_NOT_IP;
    walk->source =
        sluice_masked(&walk->packet->source, &policy->source_mask[walk->packet->family == SLUICE_IPV6]);
    if (parsed == SLUICE_PARSED_MALFORMED) return SLUICE_MALFORMED;
    if (!sluice_is_protected(walk)) return SLUICE_UNPROTECTED;
    if (sluice_in_set(walk, policy->allow, &walk->packet->source)) return SLUICE_ALLOWED;
    if (sluice_in_set(walk, policy->deny, &walk->packet->source)) return SLUICE_DENIED;
    sluice_look_at_clock(walk);
    if (walk->control->bans && sluice_is_banned(walk)) return SLUICE_BANNED;
    return lru_limit_source(walk, map);
}

#define LRU_PROGRAM(name, map)                                                                    \
    SEC("xdp.frags")                                                                              \
    int name(struct xdp_md* ctx) {                                                                \
        struct sluice_walk walk;                                                                  \
                                                                                                  \
        if (!sluice_begin(&walk, ctx)) return XDP_PASS;                                           \
        return sluice_finish(&walk, walk.policy ? lru_judge(&walk, &(map)) : SLUICE_UNPROTECTED); \
    }
LRU_PROGRAM(lru_xdp, lru)
LRU_PROGRAM(lru_own_lists_xdp, lru_own_lists)
LRU_PROGRAM(lru_percpu_xdp, lru_percpu)

/*
 * A rate limiter of an afternoon: IPv4 only, one limit, a token bucket of last time and tokens, read and written
 * without an atomic, nothing counted but drops. It does a fraction of the work, and is not exact.
 */
struct bucket {
    __u64 last_ns;
    __u64 tokens; /* times a second's nanoseconds */
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, ROOM);
    __type(key, __u32);
    __type(value, struct bucket);
} buckets SEC(".maps");

#define BUCKET_RATE 5000ull
#define BUCKET_FULL (10000ull * 1000000000ull)

SEC("xdp.frags")
int bucket_xdp(struct xdp_md* ctx) {
    void *data = (void*)(long)ctx->data, *end = (void*)(long)ctx->data_end;
    struct ethhdr* link = data;
    struct iphdr* ip = data + sizeof(*link);
    __u64 now_ns = bpf_ktime_get_ns(), tokens;
    struct bucket* bucket;
    __u32 source;

    if ((void*)(ip + 1) > end || link->h_proto != sluice_be16(ETH_P_IP)) return XDP_PASS;
    source = ip->saddr;
    bucket = bpf_map_lookup_elem(&buckets, &source);
    if (!bucket) {
        struct bucket fresh = {now_ns, BUCKET_FULL - 1000000000ull};

        bpf_map_update_elem(&buckets, &source, &fresh, BPF_ANY);
        return XDP_PASS;
    }
    tokens = bucket->tokens + (now_ns - bucket->last_ns) * BUCKET_RATE;
    if (tokens > BUCKET_FULL) tokens = BUCKET_FULL;
    bucket->last_ns = now_ns;
    if (tokens < 1000000000ull) {
        bucket->tokens = tokens;
        return XDP_DROP;
    }
    bucket->tokens = tokens - 1000000000ull;
    return XDP_PASS;
}

/* --- the walk, cut off after each stage: what a stage costs is the difference to the one before --- */

SEC("xdp.frags")
int count_xdp(struct xdp_md* ctx) {
    struct sluice_walk walk;

    if (!sluice_begin(&walk, ctx)) return XDP_PASS;
    return sluice_finish(&walk, SLUICE_UNPROTECTED);
}

SEC("xdp.frags")
int parse_xdp(struct xdp_md* ctx) {
    struct sluice_walk walk;

    if (!sluice_begin(&walk, ctx)) return XDP_PASS;
    return sluice_finish(
        &walk, sluice_look_at(&walk) == SLUICE_PARSED_IP && walk.policy && sluice_is_protected(&walk)
                   ? SLUICE_PASSED
                   : SLUICE_UNPROTECTED);
}

static __always_inline __u32 lists_judge(struct sluice_walk* walk) {
    const struct sluice_policy* policy = walk->policy;

    if (!policy || sluice_look_at(walk) != SLUICE_PARSED_IP || !sluice_is_protected(walk))
        return SLUICE_UNPROTECTED;
    walk->source =
        sluice_masked(&walk->packet->source, &policy->source_mask[walk->packet->family == SLUICE_IPV6]);
    if (sluice_in_set(walk, policy->allow, &walk->packet->source)) return SLUICE_ALLOWED;
    if (sluice_in_set(walk, policy->deny, &walk->packet->source)) return SLUICE_DENIED;
    sluice_look_at_clock(walk);
    return walk->control->bans && sluice_is_banned(walk) ? SLUICE_BANNED : SLUICE_PASSED;
}

SEC("xdp.frags")
int lists_xdp(struct xdp_md* ctx) {
    struct sluice_walk walk;

    if (!sluice_begin(&walk, ctx)) return XDP_PASS;
    return sluice_finish(&walk, lists_judge(&walk));
}

SEC("xdp.frags")
int empty_xdp(__attribute__((unused)) struct xdp_md* ctx) {
    return XDP_PASS;
}

SEC("xdp.frags")
int drop_xdp(__attribute__((unused)) struct xdp_md* ctx) {
    return XDP_DROP;
}

/* --- packets of many sources out of one frame --- */

/* Written by the bench before each run. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, 8 * sizeof(__u64)); /* source mask, first source, state, ifindex to redirect to;
                                              of a stream: frames a second (of a flood: in all), when it began,
                                              frames sent so far, sum of the headers (of a flood: when the last went) */
} source_range SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} target SEC(".maps");

/* Gives an Ethernet/IPv4 frame a source drawn from the range. Returns the ifindex to redirect to. */
static __always_inline __u32 draw_source(struct xdp_md* ctx) {
    __u8 *data = (__u8*)(long)ctx->data, *end = (__u8*)(long)ctx->data_end;
    __u32 first = 0;
    __u64* range = bpf_map_lookup_elem(&source_range, &first);

    if (!range || data + sizeof(struct ethhdr) + sizeof(struct iphdr) > end) return 0;
    range[2] += 0x9e3779b97f4a7c15ull;
    *(__u32*)(data + sizeof(struct ethhdr) + 12) =
        sluice_be32((__u32)((sluice_mix(range[2]) & range[0]) + range[1]));
    return (__u32)range[3];
}

SEC("xdp.frags")
int front_xdp(struct xdp_md* ctx) {
    draw_source(ctx);
    bpf_tail_call(ctx, &target, 0);
    return XDP_ABORTED;
}

/* A frame that is answered in place is another one afterwards: it is written anew. */
#define SYN_BYTES 74
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u8[SYN_BYTES]);
} syn_frame SEC(".maps");

SEC("xdp.frags")
int front_syn_xdp(struct xdp_md* ctx) {
    __u8 *data = (__u8*)(long)ctx->data, *end = (__u8*)(long)ctx->data_end;
    __u32 first = 0;
    __u8* frame = bpf_map_lookup_elem(&syn_frame, &first);

    if (!frame || data + SYN_BYTES > end) return XDP_ABORTED;
    __builtin_memcpy(data, frame, SYN_BYTES);
    draw_source(ctx);
    bpf_tail_call(ctx, &target, 0);
    return XDP_ABORTED;
}

/* The kernel needs milliseconds to begin and to end a test run, so the first and the last frame tell the time. */
SEC("xdp")
int flood_xdp(struct xdp_md* ctx) {
    __u32 first = 0, ifindex = draw_source(ctx);
    __u64* range = bpf_map_lookup_elem(&source_range, &first);

    if (!range || !ifindex) return XDP_DROP;
    if (range[6]++ == 0) range[5] = bpf_ktime_get_ns();
    if (range[6] == range[4]) range[7] = bpf_ktime_get_ns();
    return bpf_redirect(ifindex, 0);
}

/*
 * As flood_xdp(), at a pace: what is not due yet is dropped here. A checksum that stands for source 0 is made
 * right, so that the receiving host takes the frame for what it is.
 */
SEC("xdp")
int stream_xdp(struct xdp_md* ctx) {
    __u8 *data = (__u8*)(long)ctx->data, *end = (__u8*)(long)ctx->data_end;
    struct iphdr* ip = (void*)(data + sizeof(struct ethhdr));
    __u32 first = 0, sum, source;
    __u64* range = bpf_map_lookup_elem(&source_range, &first);

    if (!range || (__u8*)(ip + 1) > end) return XDP_ABORTED;
    if (range[4] && range[6] > ((bpf_ktime_get_ns() - range[5]) >> 10) * range[4] / (1000000000 >> 10))
        return XDP_DROP;
    range[6]++;
    range[2] += 0x9e3779b97f4a7c15ull;
    source = (__u32)((sluice_mix(range[2]) & range[0]) + range[1]);
    ip->saddr = sluice_be32(source);
    sum = (source >> 16) + (source & 0xffff) + (__u32)range[7];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    ip->check = sluice_be16((__u16)~sum);
    return bpf_redirect((__u32)range[3], 0);
}
