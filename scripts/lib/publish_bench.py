"""What docs/benchmarks.md shows of packets, goodput and limits: charts and tables made from docs/benchmarks/*.json.

    publish_bench.py publish   takes what scripts/bench measured last (build/bench), then draws
    publish_bench.py draw      charts and tables anew from the committed results
    publish_bench.py check     exits 1 if they are not those of the committed results
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import publish_limits
import svg_chart
from bench_tables import Rows, ratio, table
from svg_chart import Bar, Group, Line

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ROOT / "build/bench"
DOCS = ROOT / "docs"
KEPT = DOCS / "benchmarks"
SUITES = ("packets", "goodput", "limits")
PAGE = DOCS / "benchmarks.md"

OVER_EMPTY = "ns_per_packet_over_empty"
WHOLE, OWN = "ns_per_packet_over_generator", "ns_per_packet_over_plain_drop"
NAMES = {
    "sluice": "Sluice", "lru_hash": "LRU hash", "lru_hash_percpu": "LRU hash, value a CPU",
    "lru_hash_own_lists": "LRU hash, list a CPU", "lru_token_bucket": "token bucket, LRU hash",
    "nftables": "nftables meter", "nftables_drop": "nftables, plain drop", "empty": "XDP, plain drop",
    "direct": "nothing",
}
RIVALS = ("sluice", "lru_hash", "lru_hash_own_lists", "lru_hash_percpu", "lru_token_bucket")
CASES = {  # in the order of the table
    "innocent_hot": "one source, over and over",
    "innocent_hot, stage 1: count": "… only counted",
    "innocent_hot, stage 2: parse": "… and parsed",
    "innocent_hot, stage 3: lists, clock": "… and looked up in lists and bans that are empty, time read",
    "innocent_hot_capture_armed": "the same while a capture of somebody else runs",
    "innocent_64k": "64 thousand sources at random",
    "innocent_1m": "a million sources at random",
    "innocent_1m_two_limits": "… two limits that count it",
    "innocent_1m_prefix_tier": "… a limit of its /24 as well",
    "innocent_1m_100k_denied": "… 100 thousand prefixes denied, none of them its",
    "innocent_1m_beside_a_ban": "… one source banned, not this",
    "innocent_1m_beside_100k_bans": "… 100 thousand sources banned, not these",
    "forged_never_seen": "forged: no source twice",
    "over_its_limit": "one source over its limit, dropped",
    "banned_alone": "the only banned source, dropped",
    "banned_of_100k": "a banned source of 100 thousand, over and over, dropped",
    "banned_any_of_100k": "any of 64 thousand banned sources of 100 thousand, dropped",
    "denied_of_1k": "any source of a thousand denied prefixes, dropped",
    "denied_of_100k": "any source of 100 thousand denied prefixes, dropped",
    "syn_passed_1m": "a SYN of a million sources, passed",
    "syn_answered_1m": "the same, answered with a cookie",
}
FLOODS = {"live_flood_1k_sources": "a thousand sources", "live_flood_64k_sources": "64 thousand sources"}


def spread(row: dict | None) -> str:
    return f"{row['value']:.0f} ({row['p10']:.0f} to {row['p90']:.0f})" if row else "not measured"


def targets(rows: Rows) -> str:
    body = []
    for what, case, most in (("one innocent source", "innocent_hot", 40), ("a million random sources", "innocent_1m", 80),
                             ("forged sources, never seen before", "forged_never_seen", 120),
                             ("a banned source, 100 thousand bans standing", "banned_of_100k", 60)):
        row = rows.get(case, "sluice", OVER_EMPTY)
        body.append([what, f"at most {most} ns", f"{spread(row)} ns",
                     "not measured" if row is None else "yes" if row["value"] <= most else "no"])
    rival = ratio(rows.value("innocent_1m", "lru_hash", OVER_EMPTY), rows.value("innocent_1m", "sluice", OVER_EMPTY))
    comparisons = [("the same walk with an LRU hash, a million sources", 8, rival)]
    for case, words in FLOODS.items():
        for metric, which in ((WHOLE, "all it costs the receiver"), (OWN, "the limiter alone")):
            comparisons.append((f"the nftables meter on live packets, {words}, {which}", 10,
                                ratio(rows.value(case, "nftables", metric), rows.value(case, "sluice", metric))))
    for what, least, times in comparisons:
        body.append([f"cheaper than {what}", f"{least} times", "not measured" if times is None else f"{times:.1f} times",
                     "not measured" if times is None else "yes" if times >= least else "no"])
    return table(["", "wanted", "measured", "reached"], body, {2})


def packet_cases(rows: Rows) -> str:
    body = []
    for case, words in CASES.items():
        row = rows.get(case, "sluice", OVER_EMPTY)
        if row:
            body.append([words, f"{row['value']:.0f}", f"{row['p10']:.0f} to {row['p90']:.0f}",
                         f"{row['min']:.0f} to {row['max']:.0f}"])
    return table(["a packet of", "median, ns", "10th to 90th percentile", "least to most"], body, {1, 2, 3})


def rivals(rows: Rows) -> str:
    cases = ("innocent_hot", "innocent_64k", "innocent_1m", "forged_never_seen", "over_its_limit")
    body = [[NAMES[subject], *(spread(row) if (row := rows.get(case, subject, OVER_EMPTY)) else "" for case in cases)]
            for subject in RIVALS]
    return table(["ns over the empty program", *(CASES[case] for case in cases)], body, set(range(1, 6)))


def live(rows: Rows) -> str:
    body = []
    for subject in ("sluice", "lru_hash", "nftables", "empty", "nftables_drop"):
        cells = [NAMES[subject]]
        for case in FLOODS:
            cells += [spread(rows.get(case, subject, WHOLE)),
                      spread(own) if (own := rows.get(case, subject, OWN)) else ""]
        body.append(cells)
    head = ["ns a frame"]
    for words in FLOODS.values():
        head += [f"{words}: over the generator", "over a plain drop of the same kind"]
    return table(head, body, set(range(1, 5)))


def packets_chart(rows: Rows) -> str:
    def bar(subject: str, case: str, metric: str) -> Bar | None:
        row = rows.get(case, subject, metric)
        colour = {"sluice": 0, "nftables": 1}.get(subject, 2 if subject != "lru_token_bucket" else 3)
        return row and Bar(NAMES[subject], colour, row["value"], row["p10"], row["p90"])

    groups = [Group(f"{CASES[case]} (over the empty program)", [one for subject in RIVALS
                                                                if (one := bar(subject, case, OVER_EMPTY))])
              for case in ("innocent_hot", "innocent_64k", "innocent_1m", "forged_never_seen")]
    for case, words in FLOODS.items():
        for metric, which in ((WHOLE, "over the generator"), (OWN, "over a plain drop")):
            groups.append(Group(f"live flood of {words} ({which})",
                                [one for subject in ("sluice", "lru_hash", "nftables")
                                 if (one := bar(subject, case, metric))]))
    return svg_chart.bars("What a packet costs", [group for group in groups if group.bars], "ns")


def goodput_steps(rows: Rows) -> list[str]:
    order = {case: row["value"] for (case, subject, metric), row in rows.rows.items()
             if subject == "sluice" and metric == "flood_sent"}
    return sorted(order, key=order.__getitem__)


def goodput_table(rows: Rows) -> str:
    subjects = ("sluice", "nftables", "direct")
    head = ["flood wanted"]
    for subject in subjects:
        head += [f"{NAMES[subject]}: sent", "transactions/s", "p99"]
    body = []
    for case in goodput_steps(rows):
        asked = case.removeprefix("flood_")
        cells = [{"0k": "none", "all": "all there is"}.get(asked, f"{int(asked[:-1]) / 1000:g} M/s" if asked != "all" else "")]
        for subject in subjects:
            cells += [f"{rows.value(case, subject, 'flood_sent') / 1e6:.2f} M/s",
                      f"{rows.value(case, subject, 'transactions_per_s'):,.0f}",
                      f"{rows.value(case, subject, 'p99'):.1f} ms"]
        body.append(cells)
    return table(head, body, set(range(1, 10)))


def goodput_chart(rows: Rows) -> str:
    def line(subject: str, colour: int, metric: str) -> Line:
        points = []
        for case in goodput_steps(rows):
            row = rows.get(case, subject, metric)
            points.append((rows.value(case, subject, "flood_sent"), row["value"], row["min"], row["max"]))
        return Line(NAMES[subject], colour, sorted(points))

    return svg_chart.lines("Good clients while a flood grows", [
        (name, [line("sluice", 0, metric), line("nftables", 1, metric), line("direct", 4, metric)], logarithmic)
        for name, metric, logarithmic in (("transactions a second", "transactions_per_s", False),
                                          ("99th percentile, ms (logarithmic)", "p99", True))],
        "frames a second that the flood sent")


def machine_table(machine: dict) -> str:
    return table(["", ""], [[name, value] for name, value in machine.items()], set())


def command(*words: str) -> str:
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout.strip()


def this_machine() -> dict[str, str]:
    facts = dict(line.split(":", 1) for line in command("lscpu").splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "processor": f"{facts.get('Model name', '?')}, {len(os.sched_getaffinity(0))} processors",
        "caches": ", ".join(f"{name[:-6]} {facts[name]}" for name in ("L1d cache", "L2 cache", "L3 cache") if name in facts),
        "virtual": f"{facts.get('Hypervisor vendor', 'no')} ({facts.get('Virtualization type', 'bare metal')})",
        "memory": f"{int(memory.split()[1]) / 2**20:.0f} GiB",
        "kernel": f"Linux {platform.release()}",
        "compiler of the programs": command("clang-14", "--version").splitlines()[0],
        "nftables": command("nft", "--version"),
        "date": datetime.date.today().isoformat(),
    }


def published() -> dict[Path, str]:
    """Every file that is made from the committed results, and what it has to say."""
    results = {suite: json.loads((KEPT / f"{suite}.json").read_text()) for suite in SUITES}
    packets, goodput, limits = (Rows(results[suite]["rows"]) for suite in SUITES)
    made = {KEPT / "packets.svg": packets_chart(packets), KEPT / "goodput.svg": goodput_chart(goodput)}
    page = PAGE.read_text()
    for name, content in (("machine", machine_table(results["packets"]["machine"])), ("targets", targets(packets)),
                          ("packets", packet_cases(packets)), ("rivals", rivals(packets)), ("live", live(packets)),
                          ("goodput", goodput_table(goodput)), *publish_limits.sections(limits)):
        begin, end = f"<!-- {name}: made by scripts/bench publish -->\n", f"\n<!-- end of {name} -->"
        head, found, rest = page.partition(begin)
        _, closed, tail = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{PAGE.relative_to(ROOT)} has no place for {name}: {begin.strip()} … {end.strip()}")
        page = head + begin + content + end + tail
    made[PAGE] = page
    return made


def main() -> int:
    verb = sys.argv[1] if len(sys.argv) == 2 else ""
    if verb not in ("publish", "draw", "check"):
        print(__doc__, file=sys.stderr)
        return 2
    if verb == "publish":
        for suite in SUITES:
            fresh = MEASURED / f"{suite}.json"
            if fresh.exists():
                rows = json.loads(fresh.read_text())
                (KEPT / f"{suite}.json").write_text(json.dumps({"machine": this_machine(), "rows": rows}, indent=1) + "\n")
                print(f"took {fresh.relative_to(ROOT)}")
    stale = [path for path, content in published().items() if not path.exists() or path.read_text() != content]
    if verb == "check":
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what docs/benchmarks/*.json say; run: "
                  "/usr/bin/python3 scripts/lib/publish_bench.py draw")
        return 1 if stale else 0
    made = published()
    for path in stale:
        path.write_text(made[path])
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
