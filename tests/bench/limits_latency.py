"""What a limit that hosts share adds to a request: Sluice beside redis_incr_gateway, with Redis near, slow, silent and dead.

    limits_latency.py proxy PORT TARGET_PORT MS      passes bytes on after MS milliseconds each way

One connection asks each gateway in turn, and the upstream directly; what is added is a round's quantile less that of
asking directly. A hot key is one address, a new key an address never seen before.
"""
from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench_gateway import DRIVER_CPU, SMALL_ANSWER, SUBJECT_CPU, Bench, free_port

SLOW_MS = 5  # each way
LIMIT, WINDOW_S = 1_000_000, 10
POLICY = f"""\
name: bench-shared
trusted_proxies: [127.0.0.0/8]
limits:
  - {{name: ip, per: ip, rate: {LIMIT}/{WINDOW_S}s}}
"""


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            loop.call_later(seconds, writer.write, data)
    loop.call_later(seconds, writer.close)


async def proxy(port: int, target: int, seconds: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        for one in (writer, far_writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(pass_on(reader, far_writer, seconds), pass_on(far_reader, writer, seconds))

    await (await asyncio.start_server(connected, "127.0.0.1", port)).serve_forever()


class Asker:
    """One keep-alive connection; each request says whom it is for."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask_us(self, client: str) -> float:
        request = f"GET /x HTTP/1.1\r\nHost: bench\r\nX-Forwarded-For: {client}\r\n\r\n".encode()
        start = time.perf_counter_ns()
        self.socket.sendall(request)
        answer = b""
        while not answer.endswith(SMALL_ANSWER.encode()):
            more = self.socket.recv(65536)
            if not more or b"HTTP/1.1 200" not in answer + more:
                raise RuntimeError(f"no admission: {answer + more!r}")
            answer += more
        return (time.perf_counter_ns() - start) / 1e3


def sluiced(bench: Bench, name: str, upstream: int, redis: int) -> int:
    port, folder = free_port(), bench.folder / name
    (folder / "log").mkdir(parents=True)
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "sluiced.yaml").write_text(f"""\
interfaces: []
policy: {folder}/policy.yaml
gateway: {{listen: ["127.0.0.1:{port}"], upstream: ["127.0.0.1:{upstream}"], workers: 1}}
admin: {{socket: {folder}/admin.sock}}
ledger: {{kind: redis, nodes: ["127.0.0.1:{redis}"], path: {folder}/ledger}}
log: {{directory: {folder}/log}}
""")
    return bench.start(name, SUBJECT_CPU, port, [str(bench.daemon), "--config", str(folder / "sluiced.yaml")])


def redis_incr(bench: Bench, name: str, upstream: int, redis: int, binary: Path) -> int:
    port = free_port()
    addresses = [f"127.0.0.1:{one}" for one in (port, upstream, redis)]
    return bench.start(name, SUBJECT_CPU, port, [str(binary), *addresses, str(LIMIT), str(WINDOW_S)])


def measure(case: str, askers: dict[str, Asker], rounds: int, questions: int, clients: itertools.count) -> list[dict]:
    """Samples: of each round, each subject's median and p99 over asking directly, and what asking directly takes."""
    def address(number: int) -> str:
        return f"100.{64 + (number >> 16 & 63)}.{number >> 8 & 255}.{number & 255}"

    samples = []
    for key in ("hot_key", "new_key"):
        for asker in askers.values():
            for _ in range(100):
                asker.ask_us("192.0.2.1" if key == "hot_key" else address(next(clients)))
        for _ in range(rounds):
            times: dict[str, list[float]] = {subject: [] for subject in askers}
            for _ in range(questions):
                for subject, asker in askers.items():
                    times[subject].append(asker.ask_us("192.0.2.1" if key == "hot_key" else address(next(clients))))
            quantiles = {subject: (statistics.median(of), statistics.quantiles(of, n=100)[98])
                         for subject, of in times.items()}
            for subject, values in quantiles.items():
                for metric, value, without in zip(("median", "p99"), values, quantiles["direct"]):
                    added = subject != "direct"
                    samples.append({"case": f"latency_{key}_{case}", "subject": subject,
                                    "metric": f"{'added' if added else 'latency'}_{metric}",
                                    "value": round(value - without if added else value, 1), "unit": "us"})
    return samples


def run(build: Path, folder: Path, rounds: int, questions: int) -> list[dict]:
    samples: list[dict] = []
    clients = itertools.count()
    with ExitStack() as stack:
        bench = Bench(stack, folder, build.resolve() / "sluiced")
        binary = build.resolve() / "tests/bench/redis_incr_gateway"
        small = bench.nginx("small", DRIVER_CPU, "", f'return 200 "{SMALL_ANSWER}";')
        redis = bench.start("redis", DRIVER_CPU, port := free_port(), [
            "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)])
        slow = bench.start("proxy", DRIVER_CPU, port := free_port(), [
            sys.executable, str(Path(__file__).resolve()), "proxy", str(port), str(redis), str(SLOW_MS)])
        near = {"direct": Asker(small), "sluice": Asker(sluiced(bench, "near", small, redis)),
                "redis_incr": Asker(redis_incr(bench, "incr-near", small, redis, binary))}
        far = {"direct": Asker(small), "sluice": Asker(sluiced(bench, "far", small, slow)),
               "redis_incr": Asker(redis_incr(bench, "incr-far", small, slow, binary))}
        time.sleep(1)  # every connection to Redis stands
        samples += measure("near", near, rounds, questions, clients)
        samples += measure("slow", far, rounds, questions // 3, clients)
        server = bench.pids[redis]
        for number, case in ((signal.SIGSTOP, "silent"), (signal.SIGKILL, "dead")):
            subprocess.run(["kill", f"-{number.value}", str(server)], check=True)
            time.sleep(0.2)
            samples += measure(case, near, rounds, questions, clients)
    return samples


if __name__ == "__main__":
    asyncio.run(proxy(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]) / 1000))
