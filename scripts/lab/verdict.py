"""What must be true at the end of scripts/run --for: each check with what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from .scenario import EXPECTED_REASONS, Snapshot

AI_LIMIT, IP_LIMIT = 100, 1000  # M3 and M1
MIN_DROPPED_SHARE = 0.9         # of the flood's packets; what passes is the burst before each ban
MIN_GOOD_SUCCESS = 0.99


@dataclass
class Check:
    good: bool
    text: str


def checks(end: Snapshot, flood_sources: dict[str, str]) -> list[Check]:
    results = []
    offered, dropped = sum(end.offered.values()), end.dropped()
    share = dropped / offered if offered else 0.0
    reasons = ", ".join(f"{r} {end.packets[r]:,}" for r in EXPECTED_REASONS if end.packets.get(r))
    results.append(Check(
        offered > 0 and share >= MIN_DROPPED_SHARE,
        f"floods dropped in XDP: {dropped:,} of {offered:,} packets offered ({share:.1%}, at least "
        f"{MIN_DROPPED_SHARE:.0%}): {reasons or 'none'}",
    ))  # fmt: skip
    for kind, source in flood_sources.items():
        banned = any(source in ban or ban.startswith(prefix_of(source)) for ban in end.ever_banned)
        results.append(Check(banned, f"source of the {kind} flood banned by the kernel: {source}"))

    flood = end.client("http-flood")
    reached = end.reached["http-flood"]
    results.append(Check(
        0 < reached <= IP_LIMIT and flood.refused > 0 and reached == flood.served,
        f"HTTP flood limited by address: {flood.sent:,} sent, {reached:,} reached the application (at most "
        f"{IP_LIMIT:,}), {flood.refused:,} refused with 429, {flood.unanswered:,} left without an answer",
    ))  # fmt: skip
    results.append(Check(flood.source in end.ever_banned, f"HTTP flood banned after its refusals: {flood.source}"))

    greedy = end.client("greedy-user")
    reached = end.reached["greedy-user"]
    results.append(Check(
        reached == AI_LIMIT and greedy.served == AI_LIMIT and greedy.refused > 0,
        f"AI limit of one user: {greedy.sent:,} sent over three providers, {reached:,} reached the application "
        f"(exactly {AI_LIMIT}), {greedy.refused:,} refused with 429",
    ))  # fmt: skip

    for seen in end.clients:
        if not seen.name.startswith("good"):
            continue
        p50, p99 = seen.latency_ms(0.5), seen.latency_ms(0.99)
        latency = f", p50 {p50:.1f} ms, p99 {p99:.1f} ms" if p50 is not None and p99 is not None else ""
        results.append(Check(
            seen.sent > 0 and seen.success >= MIN_GOOD_SUCCESS,
            f"{seen.name} served: {seen.served:,} of {sum(seen.statuses.values()):,} ({seen.success:.2%}, at least "
            f"{MIN_GOOD_SUCCESS:.0%}){latency}",
        ))  # fmt: skip
    return results


def prefix_of(ipv6: str) -> str:
    """How a ban of the /64 of one of the lab's addresses begins: "fd00:77:4::2" → "fd00:77:4::"."""
    return ipv6[: ipv6.rindex("::") + 2] if "::" in ipv6 else ipv6
