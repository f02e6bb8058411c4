#!/usr/bin/python3
"""Benchmarks of request limits: Sluice, and INCR with EXPIRE in a real Redis on loopback, in one run.

decisions   of one thread, on one hot key, a million and ten million keys; bytes a key (limits_bench.cpp)
operations  commands sent to Redis for a request, by load, limits of 10, 100 and 10 000 (lease_load.cpp)
latency     what a gateway adds with Redis near, slow, silent and dead (limits_latency.py)

Writes a list of {"suite","case","subject","metric","value","unit","runs","min","max"}; value is the median of the
runs. Some five minutes and 3 GB. Without redis-server the comparisons are left out, without nginx the latencies, and said so.
"""
import argparse
import json
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import limits_latency

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOSTS = (1, 3)
PARTS = ("decisions", "operations", "latency")


def measure(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def with_redis(command):
    """The samples of command(port, directory), run against a fresh Redis that stores nothing on disk."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        server = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--dir", directory], stdout=subprocess.DEVNULL)
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            else:
                raise RuntimeError(f"redis-server did not listen on port {port} within 5 s")
            return measure([str(word) for word in command(port, directory)])
        finally:
            server.terminate()
            server.wait(timeout=10)


def decisions(build, runs, redis):
    bench = build / "tests/bench/limits_bench"
    samples = []
    for _ in range(runs):  # turn by turn, so that a slow moment of the machine hits both
        samples += measure([bench]) + measure([bench, "--keys-10m"])
        if redis:
            samples += with_redis(lambda port, _: [bench, "--redis", port])
    return samples


def operations(build):
    bench = build / "tests/bench/lease_load"
    samples = with_redis(lambda port, _: [bench, f"127.0.0.1:{port}", "redis_incr"])
    for hosts in HOSTS:
        samples += with_redis(lambda port, directory: [bench, f"127.0.0.1:{port}", "sluice", directory, hosts])
    return samples


def latency(build, rounds):
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        return limits_latency.run(build, pathlib.Path(folder), rounds, questions=600)


def summarise(samples):
    """Rows of all runs, one for each (case, subject, metric), in the order they first came."""
    groups = {}
    for sample in samples:
        groups.setdefault((sample["case"], sample["subject"], sample["metric"], sample["unit"]), []).append(
            sample["value"])
    return [{"suite": "limits", "case": case, "subject": subject, "metric": metric,
             "value": statistics.median(values), "unit": unit, "runs": len(values), "min": min(values),
             "max": max(values)} for (case, subject, metric, unit), values in groups.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=pathlib.Path, help="where the results go (JSON)")
    parser.add_argument("--build", default=ROOT / "build/release", type=pathlib.Path, help="build directory")
    parser.add_argument("--runs", default=3, type=int, help="of decisions; latencies take one more round each")
    parser.add_argument("--only", choices=PARTS, help="this part alone")
    options = parser.parse_args()

    missing = [name for name in ("limits_bench", "lease_load", "redis_incr_gateway")
               if not (options.build / "tests/bench" / name).exists()]
    if missing:
        sys.exit(f"bench_limits: {options.build}/tests/bench has no {missing[0]}: build the target tests_bench")
    redis, nginx = (shutil.which(name) is not None for name in ("redis-server", "nginx"))
    if not redis or not nginx:
        print(f"bench_limits: {'redis-server' if not redis else 'nginx'} is not installed, its comparisons are left out",
              file=sys.stderr)

    samples = []
    for part in [options.only] if options.only else PARTS:
        if part == "decisions":
            samples += decisions(options.build, options.runs, redis)
        elif part == "operations" and redis:
            samples += operations(options.build)
        elif part == "latency" and redis and nginx:
            samples += latency(options.build, options.runs + 1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(summarise(samples), indent=1) + "\n")


if __name__ == "__main__":
    main()
