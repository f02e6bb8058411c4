/*
 * What sluice_xdp is measured against, and what feeds it packets. lru_xdp is the program that nearly everyone
 * builds: the same parser, counters and arithmetic, but one entry of an LRU hash per source. Only the table
 * differs.
 */
#include "source.bpf.h"

struct lru_bucket {
    __u64 tat;
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1 << 21); /* as many as the source table holds */
    __type(key, struct sluice_address);
    __type(value, struct lru_bucket);
} lru SEC(".maps");

/* 0 → the limit, the same as in sluice_xdp's policy. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sluice_limit);
} lru_limit SEC(".maps");

__noinline __u32 lru_parse_frame(struct xdp_md* ctx, struct sluice_packet* packet) {
    if (!packet) return SLUICE_PARSED_MALFORMED;
    return sluice_parse((const void*)(long)ctx->data, (const void*)(long)ctx->data_end,
                        (__u32)bpf_xdp_get_buff_len(ctx), packet);
}

static __always_inline __u32 lru_judge(struct xdp_md* ctx, struct sluice_packet* packet) {
    struct lru_bucket fresh, *bucket;
    struct sluice_limit* limit;
    __u32 first = 0;
    __u64 now;

    if (lru_parse_frame(ctx, packet) != SLUICE_PARSED_IP) return SLUICE_MALFORMED;
    limit = bpf_map_lookup_elem(&lru_limit, &first);
    if (!limit) return SLUICE_INTERNAL_ERROR;
    now = sluice_ticks(bpf_ktime_get_coarse_ns());
    bucket = bpf_map_lookup_elem(&lru, &packet->source);
    if (!bucket) {
        fresh.tat = now + limit->interval;
        bpf_map_update_elem(&lru, &packet->source, &fresh, BPF_NOEXIST);
        return SLUICE_PASSED;
    }
    return sluice_gcra(&bucket->tat, now, sluice_cost(limit, 1), limit->depth) == SLUICE_WITHIN
               ? SLUICE_PASSED
               : SLUICE_LIMIT_PACKETS;
}

SEC("xdp.frags")
int lru_xdp(struct xdp_md* ctx) {
    struct sluice_packet packet = {};
    struct sluice_counters* count;
    __u32 first = 0, reason = lru_judge(ctx, &packet) & 15;

    count = bpf_map_lookup_elem(&counters, &first);
    if (!count) return XDP_PASS;
    count->reason[reason].packets++;
    count->reason[reason].bytes += (__u32)bpf_xdp_get_buff_len(ctx);
    return reason == SLUICE_LIMIT_PACKETS ? XDP_DROP : XDP_PASS;
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
    __uint(value_size, 4 * sizeof(__u64)); /* source mask, first source, state, ifindex to redirect to */
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

SEC("xdp")
int flood_xdp(struct xdp_md* ctx) {
    __u32 ifindex = draw_source(ctx);

    return ifindex ? bpf_redirect(ifindex, 0) : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
