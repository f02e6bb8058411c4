"""The main job: who sends what to the edge, and what is seen of it.

Rates are chosen for two cores, which the generators share with what they attack.
"""

from __future__ import annotations

import collections
import json
import signal
import socket
import threading
from dataclasses import dataclass, field
from typing import Any, Optional

from .credentials import Credentials
from .edge import ADMIN_PORT, PYTHON, ROOT, Application, Sluice, binary, parse_metrics
from .web import GATEWAY_PORT
from .netns import EDGE_IPV4, EDGE_IPV6, Client, Network
from .process import Process

UDP_RATE, SYN_RATE = 20_000, 10_000   # packets a second
HTTP_FLOOD_RATE, GREEDY_RATE = 300, 20  # requests a second
GOOD_RATE, GOOD_USERS = 10, 10        # one request a second for each user: within M2's 5000 an hour for any length
FLOOD_SECONDS = 600                   # what the flood tool takes at most; started again when over
TOKEN_LIFETIME_S = 25 * 3600          # longer than the longest run
EXPECTED_REASONS = ("banned", "limit_packets", "limit_bytes", "limit_tcp_syn", "limit_udp", "limit_prefix", "syn_cookie")


class Flood:
    """A packet flood from one client; started again when the tool's own bound ends it."""

    def __init__(self, network: Network, client: Client, kind: str, family: int, rate: int) -> None:
        self.client, self.kind, self.family, self.rate = client, kind, family, rate
        self.source = client.address(family)
        self._command = [
            str(binary("flood")), "--interface", "eth0", "--kind", kind, "--from", self.source,
            "--to", EDGE_IPV4 if family == 4 else EDGE_IPV6, "--to-mac", network.edge_mac, "--port", str(GATEWAY_PORT),
            "--rate", str(rate), "--count", str(rate * FLOOD_SECONDS), "--duration", str(FLOOD_SECONDS),
        ]  # fmt: skip
        self._log = network.folder / f"flood-{kind}.log"
        self._process: Optional[Process] = None

    def keep_running(self) -> None:
        if self._process is None or not self._process.running():
            self._process = Process(self._command, self.client, self._log)

    def ask_to_stop(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        if self._process:
            self._process.stop(timeout=5)

    def offered(self) -> int:
        return transmitted(self.client)


class Clients:
    """A process of lab.traffic, and the sum of what it reported."""

    def __init__(self, network: Network, client: Client, name: str, spec: dict[str, Any], family: int) -> None:
        self.client, self.name = client, name
        self.source = client.address(family)
        spec_file = network.folder / f"{name}.json"
        spec_file.touch(mode=0o600)
        address = EDGE_IPV4 if family == 4 else EDGE_IPV6
        spec_file.write_text(json.dumps({**spec, "address": address, "port": GATEWAY_PORT}), encoding="utf-8")
        self.sent = self.connections = 0
        self.statuses: collections.Counter[str] = collections.Counter()
        self.latencies_ms: list[float] = []
        self._lock = threading.Lock()
        command = [PYTHON, "-m", "lab.traffic", str(spec_file)]
        environment = {"PYTHONPATH": str(ROOT / "scripts"), "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = Process(command, client, network.folder / f"{name}.log", environment, piped=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.process.stdout:
            report = json.loads(line)
            with self._lock:
                self.sent += report["sent"]
                self.connections += report["connections"]
                self.statuses.update(report["statuses"])
                self.latencies_ms += report["latencies_ms"]

    def seen(self) -> "Seen":
        with self._lock:
            ordered = sorted(self.latencies_ms)
            return Seen(self.name, self.source, self.sent, collections.Counter(self.statuses), ordered)

    def ask_to_stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        self._process.stop(timeout=5)
        self._reader.join(timeout=5)


@dataclass
class Seen:
    """What a client saw so far."""

    name: str
    source: str
    sent: int
    statuses: collections.Counter
    latencies_ms: list[float]  # of served requests, ascending

    @property
    def served(self) -> int:
        return self.statuses["200"]

    @property
    def refused(self) -> int:
        return self.statuses["429"]

    @property
    def unanswered(self) -> int:
        return sum(self.statuses.values()) - self.served - self.refused

    @property
    def success(self) -> float:
        answered = sum(self.statuses.values())
        return self.served / answered if answered else 0.0

    def latency_ms(self, quantile: float) -> Optional[float]:
        if not self.latencies_ms:
            return None
        return self.latencies_ms[min(int(quantile * len(self.latencies_ms)), len(self.latencies_ms) - 1)]


@dataclass
class Snapshot:
    """Everything at one moment; counts are since the start."""

    offered: dict[str, int]  # by flood's kind
    packets: dict[str, int]  # by the kernel's reason
    clients: list[Seen]
    reached: dict[str, int]  # requests that arrived at the application, by client
    refused_by_limit: dict[str, int]
    bans: dict[str, dict[str, Any]]
    ever_banned: set[str] = field(default_factory=set)

    def dropped(self) -> int:
        return sum(self.packets.get(reason, 0) for reason in EXPECTED_REASONS)

    def client(self, name: str) -> Seen:
        return next(seen for seen in self.clients if seen.name == name)


def transmitted(client: Client) -> int:
    with client.entered(), open("/proc/thread-self/net/dev", encoding="utf-8") as file:
        for line in file:
            if line.strip().startswith("eth0:"):
                return int(line.split(":")[1].split()[9])
    raise RuntimeError(f"no eth0 in {client.name}")


class Scenario:
    """The lab of scripts/run, from the first namespace to the last report."""

    def __init__(self, network: Network) -> None:
        self.network = network
        credentials = Credentials(network.folder / "credentials")
        self.credentials = credentials
        self.application = Application(network, credentials)
        self.sluice = Sluice(network, credentials).start()
        self._forward: Optional[Process] = None
        self._ever_banned: set[str] = set()
        self.floods: list[Flood] = []
        self.clients: list[Clients] = []

    def open_admin_door(self) -> str:
        """The admin API's address on this host: port 9900, or any free one if that is taken."""
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", ADMIN_PORT))
        except OSError:
            door.bind(("127.0.0.1", 0))
        door.listen(16)
        command = [PYTHON, "-m", "lab.forward", str(door.fileno()), "127.0.0.1", str(ADMIN_PORT)]
        environment = {"PYTHONPATH": str(ROOT / "scripts"), "PYTHONDONTWRITEBYTECODE": "1"}
        log = self.network.folder / "forward.log"
        self._forward = Process(command, self.network.edge, log, environment, pass_fds=(door.fileno(),))
        port = door.getsockname()[1]
        door.close()
        return f"http://127.0.0.1:{port}"

    def start_traffic(self) -> None:
        add, network = self.network.add_client, self.network
        self.floods = [
            Flood(network, add("udp"), "udp", 4, UDP_RATE),
            Flood(network, add("syn"), "syn", 6, SYN_RATE),
        ]
        for family in (4, 6):
            users = [self._bearer(f"student-{family}-{n}") for n in range(GOOD_USERS)]
            spec = {"role": "good", "rate": GOOD_RATE, "headers": users}
            self.clients.append(Clients(network, add(f"good{family}"), f"good-ipv{family}", spec, family))
        spec = {"role": "greedy", "rate": GREEDY_RATE, "headers": [self._bearer("greedy")]}
        self.clients.append(Clients(network, add("greedy"), "greedy-user", spec, 4))
        spec = {"role": "flood", "rate": HTTP_FLOOD_RATE, "headers": []}
        self.clients.append(Clients(network, add("http"), "http-flood", spec, 4))
        self.keep_floods_running()

    def _bearer(self, user: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.credentials.token(user, TOKEN_LIFETIME_S)}"}

    def keep_floods_running(self) -> None:
        for flood in self.floods:
            flood.keep_running()

    def stop_traffic(self) -> None:
        senders = [*self.floods, *self.clients]
        for sender in senders:  # all at once: some are in the middle of a request that will not be answered
            sender.ask_to_stop()
        for sender in senders:
            sender.stop()

    def snapshot(self) -> Snapshot:
        by_user = self.application.counts()["by_user_and_path"]
        good = {4: 0, 6: 0}
        for user, paths in by_user.items():
            if user.startswith("student-"):
                good[int(user.split("-")[1])] += sum(paths.values())
        reached = {
            "good-ipv4": good[4],
            "good-ipv6": good[6],
            "greedy-user": sum(by_user.get("greedy", {}).values()),
            "http-flood": by_user.get("-", {}).get("/api/items", 0),
        }
        refused: collections.Counter[str] = collections.Counter()
        for labels, value in parse_metrics(self.sluice.metrics_text(), "sluice_decisions_total").items():
            if ("verdict", "refused") in labels and value:
                refused[dict(labels)["limit"]] += int(value)
        bans = self.sluice.bans()
        self._ever_banned.update(bans)
        return Snapshot(
            offered={flood.kind: flood.offered() for flood in self.floods},
            packets=self.sluice.packets(),
            clients=[client.seen() for client in self.clients],
            reached=reached,
            refused_by_limit=dict(refused),
            bans=bans,
            ever_banned=set(self._ever_banned),
        )

    def close(self) -> None:
        self.stop_traffic()
        if self._forward:
            self._forward.stop(timeout=5)
        self.sluice.stop(timeout=10)
        self.application.stop()
