#!/usr/bin/python3
"""Benchmarks of packets: programs by test run, and a flood of real frames through veth against nftables.

Writes a list of {"suite","case","subject","metric","value","unit","runs","min","max"}; value is the median of the runs.
Needs root. Without nftables in the kernel the comparison is left out and said so.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNS = 5
PACKETS = 1_000_000
SOURCES = 1024  # each far over the limit of 10 packets a second

# The same job as sluice's `packets: 10/s, burst 20` per source. The set holds as many addresses as there are sources.
NFT_METER = """
table netdev bench {
  set sources { type ipv4_addr; size 65536; flags dynamic; }
  counter dropped { }
  chain ingress {
    type filter hook ingress device "in" priority 0; policy accept;
    update @sources { ip saddr limit rate over 10/second burst 20 packets } counter name dropped drop
  }
}
"""


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

    def napi(self, on):
        self.call("ethtool", "-K", "in", "gro", "on" if on else "off")


class Hold:
    """A program on `in` for as long as the block lasts; .dropped afterwards is what it counted, -1 if it counts none."""

    def __init__(self, lab, bench, subject):
        self.command = enter(lab.name, bench, "hold", subject, "in", lab.ifindex("in"))

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{' '.join(self.command)} did not get ready")
        return self

    def __exit__(self, *_):
        self.dropped = int(self.process.communicate("\n", timeout=30)[0])


def flood(lab, bench):
    """Nanoseconds a frame on one processor, the receiving end's softirqs included."""
    return float(lab.call(bench, "flood", lab.ifindex("out"), PACKETS, SOURCES - 1))


def nft_dropped(lab):
    counters = json.loads(lab.call("nft", "-j", "list", "counter", "netdev", "bench", "dropped"))["nftables"]
    return next(item["counter"]["packets"] for item in counters if "counter" in item)


def measure_flood(bench):
    """Interleaved runs of every subject; {subject: [nanoseconds a frame]}."""
    samples = {"generator": [], "empty": [], "sluice": [], "nftables": []}
    with Lab() as lab:
        tried = subprocess.run(enter(lab.name, "nft", "-f", "-"), input=NFT_METER, text=True, stderr=subprocess.PIPE)
        has_nft = tried.returncode == 0
        if has_nft:
            lab.call("nft", "delete", "table", "netdev", "bench")
        else:
            print(f"bench_packets: no comparison with nftables: {tried.stderr.strip()}", file=sys.stderr)
            del samples["nftables"]
        for _ in range(RUNS):
            # Without NAPI at the far end a veth takes no frames: what is left is the generator.
            lab.napi(False)
            samples["generator"].append(flood(lab, bench))
            with Hold(lab, bench, "drop"):
                samples["empty"].append(flood(lab, bench))
            with Hold(lab, bench, "sluice") as held:
                samples["sluice"].append(flood(lab, bench))
            expect_dropped("sluice", held.dropped)
            if has_nft:
                lab.napi(True)
                lab.call("nft", "-f", "-", input=NFT_METER)
                samples["nftables"].append(flood(lab, bench))
                expect_dropped("nftables", nft_dropped(lab))
                lab.call("nft", "delete", "table", "netdev", "bench")
    return samples


def expect_dropped(subject, dropped):
    if dropped < 0.9 * PACKETS:
        raise RuntimeError(f"{subject} dropped only {dropped} of {PACKETS} frames: the comparison means nothing")


def rows_of(samples):
    generator = statistics.median(samples["generator"])
    rows = []
    for subject, values in samples.items():
        if subject == "generator":
            continue
        over = [value - generator for value in values]
        rows.append({"suite": "packets", "case": "live_flood_veth", "subject": subject,
                     "metric": "ns_per_packet_over_generator", "value": statistics.median(over), "unit": "ns",
                     "runs": len(over), "min": min(over), "max": max(over)})
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
        rows += rows_of(measure_flood(bench))
    for row in rows:
        print(f"{row['case']:28} {row['subject']:10} {row['value']:8.0f} {row['unit']}  "
              f"({row['min']:.0f} to {row['max']:.0f})  {row['metric']}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
