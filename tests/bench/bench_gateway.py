"""The gateway against its peers, on this machine, in this run.

    bench_gateway.py --out FILE [--rounds N] [--seconds S] [--sluiced FILE] [--load FILE]

refuse_429     one worker refusing everything; nginx limit_req does the same
proxy_small    one worker in front of a small static answer; haproxy with one thread does the same; direct: nobody
added_latency  a FastAPI application on uvicorn, asked through sluiced and directly, in turn

The subject "sluice" is the real daemon with policies that use identity, routes, limits, ledger and logs. Rounds are
interleaved, values are medians of the rounds. One CPU is the subject's, another drives and serves.
"""

import argparse
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 64
SUBJECT_CPU, DRIVER_CPU = sorted(os.sched_getaffinity(0))[:2] if len(os.sched_getaffinity(0)) > 1 else (0, 0)

REFUSING_POLICY = """\
name: bench-refuse
limits:
  - {name: ip, per: ip, rate: 1/d}
"""
ADMITTING_POLICY = """\
name: bench-admit
routes:
  - {name: ai, path: "/api/ai/**", class: ai}
limits:
  - {name: ip, per: ip, when: anonymous, rate: 1000000000/h}
  - {name: ai, per: user, class: ai, rate: 1000000000/h}
"""
SMALL_ANSWER = "0123456789abcdef" * 8
APPLICATION = """\
from fastapi import FastAPI

app = FastAPI()


@app.get("/api/items")
async def items():
    return {"items": [1, 2, 3]}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port: int, process: subprocess.Popen, what: str) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended with exit code {process.returncode}")
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{what} does not listen on port {port}")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children so far."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # has ended meanwhile
        if int(stat.parent.name) == pid or int(fields[1]) == pid:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


class Bench:
    """Starts subjects, ends them all at exit, and keeps their files in one folder."""

    def __init__(self, stack: ExitStack, folder: Path, sluiced: Path) -> None:
        self.stack = stack
        self.daemon = sluiced
        self.folder = folder
        self.pids: dict[int, int] = {}  # of the process that listens on a port

    def start(self, what: str, cpu: int, port: int, command: list[str]) -> int:
        log = (self.folder / f"{what}.log").open("wb")
        process = subprocess.Popen(["taskset", "-c", str(cpu), *command], stdout=log, stderr=log, cwd=self.folder)
        self.stack.callback(self.stop, process)
        try:
            wait_for_port(port, process, what)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {(self.folder / f'{what}.log').read_text(errors='replace')[-500:]}") from None
        self.pids[port] = process.pid
        return port

    @staticmethod
    def stop(process: subprocess.Popen) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def sluiced(self, name: str, policy: str, upstream: int) -> int:
        port = free_port()
        folder = self.folder / name
        for part in ("ledger", "log"):
            (folder / part).mkdir(parents=True)
        (folder / "policy.yaml").write_text(policy)
        (folder / "sluiced.yaml").write_text(f"""\
interfaces: []
policy: {folder}/policy.yaml
gateway: {{listen: ["127.0.0.1:{port}"], upstream: ["127.0.0.1:{upstream}"], workers: 1}}
admin: {{socket: {folder}/admin.sock}}
ledger: {{kind: embedded, path: {folder}/ledger}}
log: {{directory: {folder}/log}}
""")
        return self.start(name, SUBJECT_CPU, port, [str(self.daemon), "--config", str(folder / "sluiced.yaml")])

    def nginx(self, name: str, cpu: int, http: str, location: str) -> int:
        port = free_port()
        config = self.folder / f"{name}.conf"
        config.write_text(f"""\
worker_processes 1; daemon off; pid {self.folder}/{name}.pid; error_log /dev/null crit;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; {http}
  server {{ listen 127.0.0.1:{port} reuseport; location / {{ {location} }} }} }}
""")
        return self.start(name, cpu, port, ["nginx", "-c", str(config)])

    def haproxy(self, name: str, upstream: int) -> int:
        port = free_port()
        config = self.folder / f"{name}.cfg"
        config.write_text(f"""\
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 3s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s 127.0.0.1:{upstream}
""")
        return self.start(name, SUBJECT_CPU, port, ["haproxy", "-db", "-f", str(config)])

    def uvicorn(self, name: str) -> int:
        port = free_port()
        (self.folder / "bench_app.py").write_text(APPLICATION)
        return self.start(name, DRIVER_CPU, port, ["/usr/bin/python3", "-m", "uvicorn", "bench_app:app", "--host",
                                                   "127.0.0.1", "--port", str(port), "--no-access-log"])


class Load:
    """The load generator (http_load.cpp), driven from a CPU of its own."""

    def __init__(self, binary: Path) -> None:
        if not binary.is_file():
            raise RuntimeError(f"{binary} is missing: build the target http_load")
        self.binary = binary

    def run(self, port: int, seconds: float) -> dict[str, float]:
        """Requests a second, p99 in µs, and how many requests got which kind of answer."""
        command = ["taskset", "-c", str(DRIVER_CPU), str(self.binary), "127.0.0.1", str(port), str(CONNECTIONS),
                   str(seconds), "/api/ai/x"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if out["other"]:
            raise RuntimeError(f"port {port}: {out['other']} answers were neither 2xx nor 429")
        return {"requests": out["requests"] / out["seconds"], "p99": out["p99_us"], "refused": out["refused"],
                "total": out["requests"], "driver": spent / out["seconds"]}


class Asker:
    """One keep-alive connection that asks the same question again and again."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = b"GET /api/items HTTP/1.1\r\nHost: bench\r\n\r\n"

    def ask_us(self) -> float:
        start = time.perf_counter_ns()
        self.socket.sendall(self.request)
        answer = b""
        while not answer.endswith(b"]}"):
            more = self.socket.recv(65536)
            if not more:
                raise RuntimeError(f"connection closed after {answer!r}")
            answer += more
        elapsed = (time.perf_counter_ns() - start) / 1e3
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"unexpected answer {answer!r}")
        return elapsed


def row(case: str, subject: str, metric: str, unit: str, values: list[float]) -> dict:
    return {"suite": "gateway", "case": case, "subject": subject, "metric": metric,
            "value": round(statistics.median(values), 1), "unit": unit, "runs": len(values),
            "min": round(min(values), 1), "max": round(max(values), 1)}


def throughput(case: str, bench: Bench, load: Load, ports: dict[str, int], rounds: int, seconds: float,
               expect_refused: bool) -> list[dict]:
    seen: dict[str, list[dict[str, float]]] = {subject: [] for subject in ports}
    for port in ports.values():
        load.run(port, 0.5)  # warm
    for _ in range(rounds):
        for subject, port in ports.items():
            spent = cpu_seconds(bench.pids[port])
            result = load.run(port, seconds)
            result["cpu"] = (cpu_seconds(bench.pids[port]) - spent) / result["total"] * 1e6
            wrong = result["total"] - result["refused"] if expect_refused else result["refused"]
            if wrong > 2:  # nginx's limit lets one request a minute through
                raise RuntimeError(f"{case}: {subject} gave {wrong} wrong answers of {result['total']}")
            seen[subject].append(result)
    rows = []
    for subject, results in seen.items():
        rows.append(row(case, subject, "requests_per_second", "1/s", [r["requests"] for r in results]))
        rows.append(row(case, subject, "latency_p99", "us", [r["p99"] for r in results]))
        # Of the subject alone: holds on a busy machine too.
        rows.append(row(case, subject, "cpu_per_request", "us", [r["cpu"] for r in results]))
    return rows


def added_latency(ports: dict[str, int], rounds: int, questions: int) -> list[dict]:
    askers = {subject: Asker(port) for subject, port in ports.items()}
    medians: dict[str, list[float]] = {subject: [] for subject in ports}
    p99s: dict[str, list[float]] = {subject: [] for subject in ports}
    for asker in askers.values():
        for _ in range(100):
            asker.ask_us()
    for _ in range(rounds):
        times: dict[str, list[float]] = {subject: [] for subject in ports}
        for _ in range(questions):
            for subject, asker in askers.items():
                times[subject].append(asker.ask_us())
        for subject, values in times.items():
            medians[subject].append(statistics.median(values))
            p99s[subject].append(statistics.quantiles(values, n=100)[98])
    rows = []
    for subject in ports:
        rows.append(row("added_latency", subject, "latency_median", "us", medians[subject]))
        rows.append(row("added_latency", subject, "latency_p99", "us", p99s[subject]))
    for metric, per_subject in (("added_median", medians), ("added_p99", p99s)):
        added = [through - direct for through, direct in zip(per_subject["sluice"], per_subject["direct"])]
        rows.append(row("added_latency", "sluice", metric, "us", added))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the rows go")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=1, help="of each measurement")
    parser.add_argument("--sluiced", type=Path, default=ROOT / "build" / "release" / "sluiced")
    parser.add_argument("--load", type=Path, default=ROOT / "build" / "release" / "tests" / "bench" / "http_load")
    arguments = parser.parse_args()
    load = Load(arguments.load.resolve())
    os.sched_setaffinity(0, {DRIVER_CPU})
    rows = []
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder, ExitStack() as stack:
        bench = Bench(stack, Path(folder), arguments.sluiced.resolve())
        small = bench.nginx("small", DRIVER_CPU, "", f'return 200 "{SMALL_ANSWER}";')
        with ExitStack() as refusing:
            peers = Bench(refusing, Path(folder), bench.daemon)
            zone = "limit_req_zone $binary_remote_addr zone=z:10m rate=1r/m; limit_req_status 429;"
            limited = f"limit_req zone=z; proxy_pass http://127.0.0.1:{small};"
            rows += throughput("refuse_429", peers, load, {
                "sluice": peers.sluiced("sluice-refuse", REFUSING_POLICY, small),
                "nginx": peers.nginx("nginx-refuse", SUBJECT_CPU, zone, limited),
            }, arguments.rounds, arguments.seconds, expect_refused=True)
        rows += throughput("proxy_small", bench, load, {
            "sluice": bench.sluiced("sluice-proxy", ADMITTING_POLICY, small),
            "haproxy": bench.haproxy("haproxy", small),
            "direct": small,
        }, arguments.rounds, arguments.seconds, expect_refused=False)
        application = bench.uvicorn("uvicorn")
        protected = bench.sluiced("sluice-app", ADMITTING_POLICY, application)
        rows += added_latency({"direct": application, "sluice": protected}, arguments.rounds, questions=1000)
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n")
    for line in rows:
        print(f"{line['case']:14} {line['subject']:8} {line['metric']:20} {line['value']:>10} {line['unit']:4}"
              f" ({line['min']} … {line['max']})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
