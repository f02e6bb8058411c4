#!/usr/bin/python3
"""Benchmarks of packets: programs by test run, and a flood of real frames through veth against nftables.

Writes a list of {"suite","case","subject","metric","value","unit","runs","min","max","p10","p90"}; value is the median
of the runs. Needs root. Without nftables in the kernel the comparison is left out and said so.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNS = 21
CPU = min(os.sched_getaffinity(0))  # the flood's; a veth's other end works where the sender does


@dataclass(frozen=True)
class Flood:
    """Sources far over a limit of 6 packets a minute each."""

    case: str
    packets: int
    sources: int
    burst: int


FLOODS = (Flood("live_flood_1k_sources", 300_000, 1 << 10, 20), Flood("live_flood_64k_sources", 1_000_000, 1 << 16, 1))

# The same job as sluice's `packets: 6/m, burst N` per source, with room for as many sources as its table has; and what
# nftables costs with nothing to do but to drop.
NFT_TABLE = """
table netdev bench {
  set sources { type ipv4_addr; size 1048576; flags dynamic; }
  counter dropped { }
  chain ingress {
    type filter hook ingress device "in" priority 0; policy accept;
    RULE
  }
}
"""
NFT_METER = "update @sources { ip saddr limit rate over 6/minute burst BURST packets } counter name dropped drop"
NFT_DROP = "counter name dropped drop"
XDP_SUBJECTS = {"empty": "drop", "sluice": "sluice", "lru_hash": "lru"}
# What is taken off a subject's time for it to be the limiter's alone.
PLAIN_DROP = {"sluice": "empty", "lru_hash": "empty", "nftables": "nftables_drop"}


def enter(netns, *command):
    # `ip netns exec` would hide /sys/fs/bpf.
    return ["nsenter", f"--net=/run/netns/{netns}", *map(str, command)]


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


class Lab:
    """A namespace with a pair of interfaces: frames sent out of `out` arrive at `in`."""

    def __init__(self):
        self.name = f"slc-bench-{os.getpid()}"

    def __enter__(self):
        run("ip", "netns", "add", self.name)
        self.call("ip", "link", "add", "out", "type", "veth", "peer", "name", "in")
        self.call("ip", "link", "set", "out", "up")
        self.call("ip", "link", "set", "in", "up")
        return self

    def __exit__(self, *_):
        run("ip", "netns", "del", self.name)

    def call(self, *command, **options):
        return run(*enter(self.name, *command), **options)

    def ifindex(self, interface):
        return json.loads(self.call("ip", "-j", "link", "show", "dev", interface))[0]["ifindex"]

    def received(self):
        return json.loads(self.call("ip", "-s", "-j", "link", "show", "dev", "in"))[0]["stats64"]["rx"]["packets"]

    def napi(self, on):
        self.call("ethtool", "-K", "in", "gro", "on" if on else "off")


class Hold:
    """A program on `in` for as long as the block lasts; .dropped afterwards is what it counted, -1 if it counts none."""

    def __init__(self, lab, bench, subject, burst):
        self.command = enter(lab.name, bench, "hold", subject, "in", lab.ifindex("in"), burst)

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{' '.join(self.command)} did not get ready")
        return self

    def __exit__(self, *_):
        self.dropped = int(self.process.communicate("\n", timeout=30)[0])


class NftRule:
    """The same for a rule of nftables at the ingress hook. NAPI is on: a veth takes no frames without."""

    def __init__(self, lab, rule):
        self.lab = lab
        self.table = NFT_TABLE.replace("RULE", rule)

    def __enter__(self):
        self.lab.napi(True)
        self.lab.call("nft", "-f", "-", input=self.table)
        return self

    def __exit__(self, *_):
        counters = json.loads(self.lab.call("nft", "-j", "list", "counter", "netdev", "bench", "dropped"))["nftables"]
        self.dropped = next(item["counter"]["packets"] for item in counters if "counter" in item)
        self.lab.call("nft", "delete", "table", "netdev", "bench")
        self.lab.napi(False)


def has_nftables(lab):
    tried = subprocess.run(enter(lab.name, "nft", "-f", "-"), input=NFT_TABLE.replace("RULE", NFT_DROP), text=True,
                           stderr=subprocess.PIPE)
    if tried.returncode == 0:
        lab.call("nft", "delete", "table", "netdev", "bench")
    else:
        print(f"bench_packets: no comparison with nftables: {tried.stderr.strip()}", file=sys.stderr)
    return tried.returncode == 0


def measure_flood(bench, flood):
    """Interleaved runs of every subject; {subject: [nanoseconds a frame on one processor, both ends included]}."""
    samples = {}
    with Lab() as lab:
        lab.napi(False)
        subjects = {subject: lambda name=name: Hold(lab, bench, name, flood.burst)
                    for subject, name in XDP_SUBJECTS.items()}
        if has_nftables(lab):
            subjects["nftables"] = lambda: NftRule(lab, NFT_METER.replace("BURST", str(flood.burst)))
            subjects["nftables_drop"] = lambda: NftRule(lab, NFT_DROP)

        def send(subject):
            # When the machine is busy, the receiving end may fall behind and its ring overflow: then it counts for nothing.
            for _ in range(10):
                before = lab.received()
                ns = float(lab.call("taskset", "-c", CPU, bench, "flood", lab.ifindex("out"), flood.packets,
                                    flood.sources - 1))
                if subject == "generator" or lab.received() - before >= 0.99 * flood.packets:
                    return ns
            raise RuntimeError(f"{subject}: the receiving end never kept up; is something else running?")

        for _ in range(RUNS):
            # Without NAPI at the far end a veth takes no frames: what is left is the generator.
            samples.setdefault("generator", []).append(send("generator"))
            for subject, attach in subjects.items():
                with attach() as held:
                    samples.setdefault(subject, []).append(send(subject))
                if 0 <= held.dropped < 0.9 * flood.packets:
                    raise RuntimeError(f"{subject} dropped only {held.dropped} of {flood.packets} frames: the "
                                       "comparison means nothing")
    return samples


def row(flood, subject, metric, values):
    values = sorted(values)
    return {"suite": "packets", "case": flood.case, "subject": subject, "metric": metric,
            "value": statistics.median(values), "unit": "ns", "runs": len(values), "min": values[0], "max": values[-1],
            "p10": values[(len(values) - 1) // 10], "p90": values[(len(values) - 1) * 9 // 10]}


def rows_of(flood, samples):
    rows = []
    for subject, values in samples.items():
        if subject == "generator":
            rows.append(row(flood, subject, "ns_per_packet", values))
            continue
        rows.append(row(flood, subject, "ns_per_packet_over_generator",
                        [value - sent for value, sent in zip(values, samples["generator"])]))
        if subject in PLAIN_DROP:
            rows.append(row(flood, subject, "ns_per_packet_over_plain_drop",
                            [value - dropped for value, dropped in zip(values, samples[PLAIN_DROP[subject]])]))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, type=pathlib.Path, help="file for the results")
    parser.add_argument("--build", default=ROOT / "build/release", type=pathlib.Path, help="build directory")
    parser.add_argument("--only", choices=["programs", "flood"], help="one half only")
    arguments = parser.parse_args()
    bench = arguments.build.resolve() / "tests/bench/packets_bench"
    if not bench.exists():
        sys.exit(f"bench_packets: {bench} is missing: build the target packets_bench")

    rows = []
    if arguments.only != "flood":
        rows += json.loads(run(bench, "run"))
    if arguments.only != "programs":
        for flood in FLOODS:
            rows += rows_of(flood, measure_flood(bench, flood))
    for row in rows:
        print(f"{row['case']:36} {row['subject']:18} {row['value']:8.0f} {row['unit']}  "
              f"({row['p10']:.0f} to {row['p90']:.0f})  {row['metric']}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
