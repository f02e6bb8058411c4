#!/usr/bin/python3
"""Benchmarks of admission decisions: Sluice's limiter, and INCR with EXPIRE in a real Redis on loopback.

Writes a list of {"suite","case","subject","metric","value","unit","runs","min","max"}; value is the median of the
runs. Without redis-server the comparison is left out and said so.
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

ROOT = pathlib.Path(__file__).resolve().parents[2]


def measure(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def measure_redis(bench):
    """One run against a fresh Redis that stores nothing on disk."""
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
            return measure([bench, "--redis", str(port)])
        finally:
            server.terminate()
            server.wait(timeout=10)


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
    parser.add_argument("--runs", default=5, type=int)
    parser.add_argument("--keys-10m", action="store_true", help="also with ten million keys: takes 2 GB")
    options = parser.parse_args()

    bench = options.build / "tests/bench/limits_bench"
    if not bench.exists():
        sys.exit(f"bench_limits: {bench} is missing: build the target limits_bench")
    with_redis = shutil.which("redis-server") is not None
    if not with_redis:
        print("bench_limits: redis-server is not installed, no comparison with redis_incr", file=sys.stderr)

    samples = []
    for _ in range(options.runs):  # turn by turn, so that a slow moment of the machine hits both
        samples += measure([bench])
        if options.keys_10m:
            samples += measure([bench, "--keys-10m"])
        if with_redis:
            samples += measure_redis(bench)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(summarise(samples), indent=1) + "\n")


if __name__ == "__main__":
    main()
