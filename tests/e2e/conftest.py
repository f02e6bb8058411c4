"""End to end: real packets and requests through sluiced in the lab of scripts/lab.

One lab a session; one sluiced at a time. Tests that take `sluice` share one with the mission's policy; a test that needs
a policy or a configuration of its own takes `start_sluice`. Users and addresses are cheap and fresh in each test, so that
no test spends what another counts on.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

TOOLS = ("ip", "nsenter", "setpriv", "ethtool", "ping", "promtool", "socat")


def missing() -> str:
    """Why the suite can't run here; empty if it can. Programs of ours that are missing are a failure, not a reason."""
    if os.geteuid() != 0:
        return "the lab makes network namespaces and attaches XDP programs: root is needed"
    path = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", "")
    gone = [tool for tool in TOOLS if not shutil.which(tool, path=path)]
    for module in ("fastapi", "jwt", "cryptography", "websockets", "yaml"):
        try:
            __import__(module)
        except ImportError:
            gone.append(f"python module {module}")
    return f"scripts/setup lab test installs what is missing: {', '.join(gone)}" if gone else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = missing()
    if reason:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


if not missing():
    from lab.credentials import Credentials
    from lab.edge import Application, Sluice, binary
    from lab.netns import EDGE_IPV4, EDGE_IPV6, Client, Network
    from lab.process import Process
    from lab.web import GATEWAY_PORT, Http


@pytest.fixture(scope="session")
def network() -> Iterator["Network"]:
    with Network("e2e") as made:
        yield made


@pytest.fixture(scope="session")
def credentials(network: "Network") -> "Credentials":
    return Credentials(network.folder / "credentials")


@pytest.fixture(scope="session")
def application(network: "Network", credentials: "Credentials") -> Iterator["Application"]:
    made = Application(network, credentials)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def client(network: "Network") -> "Client":
    """A well-behaved host."""
    return network.add_client("good")


@pytest.fixture(scope="session")
def other_client(network: "Network") -> "Client":
    return network.add_client("other")


@pytest.fixture(scope="session")
def _client_numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def attacker(network: "Network", _client_numbers: Iterator[int]) -> Iterator["Client"]:
    """A host that no Sluice has seen yet: its bans are of no consequence to other tests."""
    yield network.add_client(f"bad{next(_client_numbers)}")


@pytest.fixture(scope="session")
def _user_numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def user(_user_numbers: Iterator[int]) -> str:
    return f"user-{next(_user_numbers)}"


class Starter:
    """Starts sluiced, and ends the one before it, whatever state that was left in."""

    def __init__(self, network: "Network", credentials: "Credentials") -> None:
        self.network, self.credentials = network, credentials
        self.current: Optional["Sluice"] = None
        self._shared = ""
        self._numbers = itertools.count(1)

    def prepare(self, policy: Any = None, config: Optional[dict[str, Any]] = None) -> "Sluice":
        """With its folders, not yet started."""
        self.end()
        self.current = Sluice(self.network, self.credentials, policy, config, f"sluice-{next(self._numbers)}")
        return self.current

    def __call__(self, policy: Any = None, config: Optional[dict[str, Any]] = None) -> "Sluice":
        return self.prepare(policy, config).start()

    def shared(self, name: str, policy: Any = None) -> "Sluice":
        """The one of this name if it still runs, else a new one."""
        if self._shared != name or self.current is None or not self.current.process.running():
            self(policy)
            self._shared = name
        return self.current

    def end(self) -> None:
        self._shared = ""
        if self.current is None:
            return
        ended, self.current = self.current, None
        if ended.process is None:
            return
        ended.stop(timeout=10)
        # What a crash, or on_exit: keep, leaves attached is not for the next test.
        for pin in sorted(Path("/sys/fs/bpf").rglob("*"), reverse=True):
            if pin.is_dir():
                pin.rmdir()
            elif not pin.name.endswith(".debug"):
                pin.unlink()
        for mode in ("xdp", "xdpgeneric"):
            self.network.edge.ip("link", "set", "eth0", mode, "off", check=False)


@pytest.fixture(scope="session")
def _starter(network: "Network", credentials: "Credentials") -> Iterator[Starter]:
    starter = Starter(network, credentials)
    yield starter
    starter.end()


@pytest.fixture
def start_sluice(_starter: Starter, application: "Application") -> Iterator[Starter]:
    yield _starter
    _starter.end()


@pytest.fixture
def sluice(_starter: Starter, application: "Application") -> "Sluice":
    """The mission's policy, shared by all tests that take it."""
    return _starter.shared("mission")


@pytest.fixture
def http(client: "Client") -> Iterator[Callable[..., "Http"]]:
    """http(namespace=client, **of Http): a connection that is closed after the test."""
    opened: list[Http] = []

    def connect(namespace: Optional["Client"] = None, **options: Any) -> "Http":
        made = Http(namespace or client, **options)
        opened.append(made)
        return made

    yield connect
    for one in opened:
        one.close()


@pytest.fixture
def flood(network: "Network") -> Iterator[Callable[..., Any]]:
    """flood(client, kind, count, rate, …): sends and returns what was sent; with background=True a Process."""
    running: list[Process] = []

    def run(
        sender: "Client",
        kind: str,
        count: int,
        rate: int = 40_000,
        family: int = 4,
        source: Optional[str] = None,
        vlans: tuple[int, ...] = (),
        port: Optional[int] = None,
        duration: float = 20,
        background: bool = False,
        payload: int = 18,
    ) -> Any:
        command = [
            str(binary("flood")), "--interface", "eth0", "--kind", kind, "--from", source or sender.address(family),
            "--to", EDGE_IPV4 if family == 4 else EDGE_IPV6, "--to-mac", network.edge_mac,
            "--port", str(port or GATEWAY_PORT), "--rate", str(rate), "--count", str(count),
            "--duration", str(duration), "--payload", str(payload),
        ]  # fmt: skip
        for vlan in vlans:
            command += ["--vlan", str(vlan)]
        if background:
            running.append(Process(command, sender))
            return running[-1]
        done = subprocess.run(
            sender.enter(*command), capture_output=True, text=True, timeout=duration + 10, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    yield run
    for process in running:
        process.stop(timeout=5)
