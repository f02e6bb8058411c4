"""How scripts/run shows a snapshot: a table that refreshes in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Optional

from .scenario import Snapshot

PASSED_REASONS = ("passed", "allowed", "unprotected", "not_ip", "shadow")


def number(value: float) -> str:
    return f"{value:,.0f}"


def milliseconds(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:.1f} ms"


class View:
    def __init__(self, header: list[str]) -> None:
        self.header = header
        self.live = sys.stdout.isatty()
        self._before: Optional[tuple[float, Snapshot]] = None
        print("\x1b[2J" if self.live else "\n".join(header), flush=True)

    def show(self, seconds: float, now: Snapshot) -> None:
        lines = self._table(seconds, now) if self.live else [self._line(seconds, now)]
        self._before = (seconds, now)
        if self.live:
            # Home, then each line cleared to its end, then what is below: no flicker, nothing left of a longer table.
            body = "\n".join(f"{line}\x1b[K" for line in [*self.header, "", *lines])
            print(f"\x1b[H{body}\n\x1b[J", end="", flush=True)
        else:
            print(lines[0], flush=True)

    def _rate(self, seconds: float, value: int, before: int) -> str:
        elapsed = seconds - self._before[0] if self._before else seconds
        return number((value - before) / elapsed) if elapsed > 0 else "-"

    def _line(self, seconds: float, now: Snapshot) -> str:
        drops = " ".join(f"{r}={n}" for r, n in now.packets.items() if n and r not in PASSED_REASONS)
        limits = " ".join(f"{limit}={n}" for limit, n in sorted(now.refused_by_limit.items())) or "none"
        good = " ".join(
            f"{seen.name}={seen.success:.1%},p99={milliseconds(seen.latency_ms(0.99))}"
            for seen in now.clients
            if seen.name.startswith("good")
        )
        return (
            f"{seconds:5.0f} s  offered {number(sum(now.offered.values()))}  dropped {number(now.dropped())} ({drops})  "
            f"passed {number(now.packets.get('passed', 0))}  refused {limits}  bans {len(now.bans)}  {good}"
        )

    def _table(self, seconds: float, now: Snapshot) -> list[str]:
        before = self._before[1] if self._before else None
        lines = [f"{'PACKETS':28}{'per second':>14}{'in all':>16}"]
        for kind, value in now.offered.items():
            rate = self._rate(seconds, value, before.offered.get(kind, 0) if before else 0)
            lines.append(f"  offered by the {kind + ' flood':13}{rate:>14}{number(value):>16}")
        for reason, value in now.packets.items():
            if value:
                word = "" if reason in PASSED_REASONS else "dropped: "
                rate = self._rate(seconds, value, before.packets.get(reason, 0) if before else 0)
                lines.append(f"  {word + reason:26}{rate:>14}{number(value):>16}")
        lines += ["", f"{'REQUESTS':14}{'sent':>9}{'served':>9}{'429':>9}{'no answer':>11}{'reached app':>13}"
                      f"{'served %':>10}{'p50':>11}{'p99':>11}"]  # fmt: skip
        for seen in now.clients:
            lines.append(
                f"  {seen.name:12}{number(seen.sent):>9}{number(seen.served):>9}{number(seen.refused):>9}"
                f"{number(seen.unanswered):>11}{number(now.reached[seen.name]):>13}{seen.success:>10.1%}"
                f"{milliseconds(seen.latency_ms(0.5)):>11}{milliseconds(seen.latency_ms(0.99)):>11}"
            )
        limits = ", ".join(f"{limit} {number(n)}" for limit, n in sorted(now.refused_by_limit.items()))
        lines += ["", f"REFUSED BY LIMIT   {limits or 'none yet'}", "", "BANS"]
        for source, ban in sorted(now.bans.items()):
            lines.append(
                f"  {source:24}{ban['reason']:18}{ban['origin']:12}{ban['expires_in_s']:>6.0f} s left"
                f"{number(ban['packets']):>14} packets dropped"
            )
        if not now.bans:
            lines.append("  none yet")
        return lines
