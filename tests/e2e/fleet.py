"""Several daemons and one Redis on the edge: gateways without interfaces, each with a port and folders of its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from bisect import bisect_left, bisect_right, insort
from collections import deque
from pathlib import Path
from typing import Any, Optional

from lab.edge import PYTHON, Sluice
from lab.process import Process, wait_until

HERE = Path(__file__).resolve().parent
APPLICATION_PORT, REDIS_PORT, FIRST_PORT = 18000, 16379, 18080
TLS_OFFSET = 500  # of the port for TLS
REDIS = "/usr/bin/redis-server"


class Redis:
    """redis-server on the edge's loopback, in memory only unless `extra` says otherwise."""

    def __init__(self, network: Any, folder: Path, port: int = REDIS_PORT, extra: tuple[str, ...] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.network, self.folder, self.port, self.extra = network, folder, port, extra
        self.process: Optional[Process] = None
        self.start()

    def start(self) -> None:
        extra = [word.replace("{tls_port}", str(self.port + TLS_OFFSET)) for word in self.extra]
        command = [REDIS, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self.process = Process([*command, *extra], self.network.edge, self.folder / "redis.log")
        wait_until(lambda: self.command("PING") == "PONG", 10, "Redis answers")

    def command(self, *words: str) -> str:
        done = subprocess.run(
            self.network.edge.enter("redis-cli", "-p", str(self.port), *words),
            capture_output=True, text=True, timeout=10, check=False,
        )
        return done.stdout.strip()

    def commands(self) -> int:
        """Scripts run since it started."""
        for line in self.command("INFO", "commandstats").splitlines():
            if line.startswith("cmdstat_evalsha:"):
                return int(line.split("calls=")[1].split(",")[0])
        return 0

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()


def documented_rights(cluster: bool) -> list[str]:
    """What docs/operations.md says that a user of Redis needs."""
    text = (HERE.parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    single = re.search(r"The user needs (.*?); what is", text, re.DOTALL)
    more = re.search(r"The user also needs (`.*?`)", text)
    quoted = re.findall(r"`([^`]*)`", single.group(1) + (more.group(1) if cluster else ""))
    return [right for words in quoted for right in words.split()]


def behind_tls(folder: Path, cluster: bool = False) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Arguments of a Redis that speaks TLS on the port {tls_port} to a user with a password, and settings of a ledger there."""
    key, certificate, password = folder / "key.pem", folder / "certificate.pem", folder / "password"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate),
         "-days", "2", "-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    password.write_text("s3cret\n", encoding="utf-8")
    extra = ("--tls-port", "{tls_port}", "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
             "--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no",
             "--user", "sluice", "on", ">s3cret", *documented_rights(cluster))  # fmt: skip
    ledger = {"tls": True, "ca_file": str(certificate), "username": "sluice", "password_file": str(password)}
    return extra, ledger


class Fleet:
    def __init__(
        self, network: Any, credentials: Any, name: str, limits: list[dict], hosts: int, ledger: Optional[dict] = None,
        extra: tuple[str, ...] = (), redis: Optional[Redis] = None, settings: Optional[dict] = None,
    ) -> None:
        self.network, self.folder = network, network.folder / name
        self.redis = redis or Redis(network, self.folder / "redis", extra=extra)
        self.application = Process([PYTHON, str(HERE / "paced.py"), "serve", str(APPLICATION_PORT)], network.edge)
        routes = [{"name": limit["class"], "path": f"/{limit['class']}", "class": limit["class"]} for limit in limits]
        policy = {"name": "fleet", "routes": routes, "limits": limits}
        self.hosts = []
        for i in range(hosts):
            config = {
                "interfaces": [],
                "gateway": {"listen": [f"127.0.0.1:{FIRST_PORT + i}"], "upstream": [f"127.0.0.1:{APPLICATION_PORT}"],
                            "workers": 1},
                "admin": {"listen": None, "tokens": None},
                "ledger": {"kind": "redis", "nodes": [f"127.0.0.1:{REDIS_PORT}"], "host_name": f"host-{i}",
                           **(ledger or {})},
                **(settings or {}),
            }
            self.hosts.append(Sluice(network, credentials, policy, config, f"{name}-{i}"))
        for host in self.hosts:
            host.start()
        wait_until(lambda: all(host.status()["ledger"]["hosts"] == hosts for host in self.hosts), 10, "all are known")

    @property
    def ports(self) -> list[int]:
        return [FIRST_PORT + i for i in range(len(self.hosts))]

    def begin(self, seconds: float, kinds: list[str], seed: str = "1") -> subprocess.Popen:
        ports = ",".join(str(port) for port in self.ports)
        command = [PYTHON, str(HERE / "paced.py"), "load", str(seconds), seed, ports, *kinds]
        return subprocess.Popen(self.network.edge.enter(*command), stdout=subprocess.PIPE, text=True)

    @staticmethod
    def results(load: subprocess.Popen, timeout: float) -> dict[str, "Seen"]:
        output, _ = load.communicate(timeout=timeout)
        assert load.returncode == 0
        return {kind: Seen(requests) for kind, requests in json.loads(output).items()}

    def load(self, seconds: float, kinds: list[str]) -> dict[str, "Seen"]:
        return self.results(self.begin(seconds, kinds), seconds + 30)

    def ledger(self) -> list[dict[str, Any]]:
        return [host.status()["ledger"] for host in self.hosts]

    def stop(self) -> None:
        for host in self.hosts:
            if host.process is not None and host.process.running():
                host.stop()
        self.application.stop(number=signal.SIGKILL)
        self.redis.kill()


class Seen:
    """What clients saw of one key: when each request was sent, when answered, and with what."""

    def __init__(self, requests: list[list[float]]) -> None:
        self.requests = sorted(requests)

    def admitted(self) -> list[list[float]]:
        return [one for one in self.requests if one[2] == 200]

    def most(self, window: float) -> int:
        """Admissions that are certain to lie in one window, whenever between sending and answer each was decided."""
        admitted, most = self.admitted(), 0
        answered, earlier = sorted(one[1] for one in admitted), []
        for sent, ended, _ in admitted:
            # All that were answered before the window that begins with this one ended, but for those sent before it.
            most = max(most, bisect_left(answered, sent + window) - bisect_left(earlier, sent + window))
            insort(earlier, ended)
        return most

    def entitled(self, limit: int, window: float) -> int:
        """What one exact log would have admitted, had each request reached it when it was sent."""
        log: deque[float] = deque()
        count = 0
        for sent, _, _ in self.requests:
            while log and log[0] <= sent - window:
                log.popleft()
            if len(log) < limit:
                log.append(sent)
                count += 1
        return count

    def refused_for_nothing(self, limit: int, window: float) -> int:
        """Refusals that nothing admitted explains, whenever between sending and answer each request was decided."""
        admitted = self.admitted()
        sent, answered = sorted(one[0] for one in admitted), sorted(one[1] for one in admitted)
        count = 0
        for begun, ended, status in self.requests:
            if status == 429:
                # All that can have been in the window: sent before this was answered, and not answered before it began.
                in_window = bisect_right(sent, ended) - bisect_left(answered, begun - window)
                count += in_window < limit
        return count

    def missed(self, limit: int, window: float) -> int:
        """What an exact log would have admitted and was not. Requests that a stall held up are decided later than they
        were sent, so a log of sendings overstates that; it is never more than the refusals that nothing explains."""
        short = self.entitled(limit, window) - len(self.admitted())
        return max(0, min(short, self.refused_for_nothing(limit, window)))

    def slowest(self, status: int) -> float:
        return max((one[1] - one[0] for one in self.requests if one[2] == status), default=0.0)
