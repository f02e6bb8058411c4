"""What runs on the protected host: the example application on loopback, and sluiced in front of it."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Optional, Union

import yaml

from .credentials import AUDIENCE, ISSUER, KEY_ID, Credentials
from .web import GATEWAY_PORT, Admin, Http
from .netns import EDGE_IPV4, EDGE_IPV6, Namespace, Network
from .process import Process, wait_until

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"  # Debian's own, with Debian's modules; "python3" in PATH may be another
APPLICATION_PORT = 8000
ADMIN_PORT = 9900


def binary(name: str) -> Path:
    """A program of the release build."""
    path = ROOT / os.environ.get("SLUICE_BUILD", "build/release") / ("tests/support/flood" if name == "flood" else name)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run scripts/build {name}")
    return path


class Application:
    """examples/fastapi on uvicorn, on the edge's loopback."""

    def __init__(self, network: Network, credentials: Credentials) -> None:
        self.namespace: Namespace = network.edge
        environment = {
            "STARGUIDE_JWT_KEY": str(credentials.signing_key_file),
            "STARGUIDE_JWT_KEY_ID": KEY_ID,
            "STARGUIDE_USERS": str(credentials.users_file),
            "STARGUIDE_API_KEYS": str(credentials.api_keys_file),
            "STARGUIDE_ISSUER": ISSUER,
            "STARGUIDE_AUDIENCE": AUDIENCE,
            "STARGUIDE_COUNTS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [PYTHON, "-m", "uvicorn", "--app-dir", str(ROOT / "examples" / "fastapi"), "app:app"]
        command += ["--host", "127.0.0.1", "--port", str(APPLICATION_PORT), "--no-access-log", "--log-level", "warning"]
        self.process = Process(command, network.edge, network.folder / "application.log", environment)
        self._http = Http(network.edge, "127.0.0.1", APPLICATION_PORT, timeout=30)
        wait_until(self._answers, 20, "the application answers on its own port")

    def _answers(self) -> bool:
        if not self.process.running():
            raise RuntimeError(f"the application ended: {self.process.output()[-2000:]}")
        try:
            return self._http.get("/health").status == 200
        except OSError:
            return False

    def counts(self) -> dict[str, Any]:
        """What reached it: {total, by_path, by_user, by_user_and_path}."""
        try:
            return self._http.get("/__counts").json()
        except (OSError, EOFError, ValueError):
            return self._http.get("/__counts").json()  # uvicorn closed the idle connection

    def reached(self, user: str = "-", path_prefix: str = "/") -> int:
        """Requests of a user ("-": anonymous) that arrived at paths with this prefix."""
        paths = self.counts()["by_user_and_path"].get(user, {})
        return sum(number for path, number in paths.items() if path.startswith(path_prefix))

    def stop(self) -> None:
        self._http.close()
        self.process.stop(timeout=5)


def starguide_policy() -> dict[str, Any]:
    """policies/starguide.yaml with the lab's issuer, keys and addresses; every limit as the mission has it."""
    policy = yaml.safe_load((ROOT / "policies" / "starguide.yaml").read_text(encoding="utf-8"))
    policy["trusted_proxies"] = ["127.0.0.0/8", "::1/128"]
    policy["identity"] = {
        "jwt": {"keys": "jwks.json", "algorithms": ["RS256"], "issuer": ISSUER, "audience": AUDIENCE, "user": "sub"},
        "api_keys": {"header": "X-API-Key", "file": "keys.yaml"},
    }
    policy["kernel"]["ports"] = [GATEWAY_PORT]
    policy["kernel"]["allow"] = []
    policy["kernel"]["deny"] = []
    return policy


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it; None removes a key."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


class Sluice:
    """One sluiced on the edge, with folders of its own: start, stop, kill and start again keep its state."""

    def __init__(
        self,
        network: Network,
        credentials: Credentials,
        policy: Union[dict[str, Any], str, None] = None,
        config: Optional[dict[str, Any]] = None,
        name: str = "sluice",
    ) -> None:
        self.network = network
        self.folder = network.folder / name
        self.policy_folder = self.folder / "policy"
        self.policy_folder.mkdir(parents=True)
        for file in (credentials.jwks, credentials.api_keys_file, credentials.admin_tokens_file):
            shutil.copy(file, self.policy_folder)
        self.policy_file = self.policy_folder / "policy.yaml"
        self.write_policy(starguide_policy() if policy is None else policy)
        self.log_folder = self.folder / "log"
        self.socket = self.folder / "admin.sock"
        self.config = merged(
            {
                "interfaces": ["eth0"],
                "policy": str(self.policy_file),
                "gateway": {
                    "listen": [f"{EDGE_IPV4}:{GATEWAY_PORT}", f"[{EDGE_IPV6}]:{GATEWAY_PORT}"],
                    "upstream": [f"127.0.0.1:{APPLICATION_PORT}"],
                },
                "admin": {
                    "socket": str(self.socket),
                    "listen": f"127.0.0.1:{ADMIN_PORT}",
                    "tokens": str(self.policy_folder / "tokens.yaml"),
                },
                "ledger": {"kind": "embedded", "path": str(self.folder / "state")},
                "log": {"directory": str(self.log_folder)},
            },
            config or {},
        )
        self.config_file = self.folder / "sluiced.yaml"
        self.write_config()
        self.admin = Admin(self.socket)
        self.process: Optional[Process] = None

    def write_config(self) -> None:
        self.config_file.write_text(yaml.safe_dump(self.config, sort_keys=False), encoding="utf-8")

    def write_policy(self, policy: Union[dict[str, Any], str]) -> None:
        text = policy if isinstance(policy, str) else yaml.safe_dump(policy, sort_keys=False)
        self.policy_file.write_text(text, encoding="utf-8")

    def start(self, timeout: float = 15) -> "Sluice":
        assert self.process is None or not self.process.running()
        command = [str(binary("sluiced")), "--config", str(self.config_file)]
        self.process = Process(command, self.network.edge, self.folder / "output.log")
        try:
            wait_until(self._ready, timeout, "sluiced is ready")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; it said: {self.process.output()[-2000:]}") from None
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        if not self.process.running():
            raise RuntimeError(f"sluiced ended with {self.process.wait()}: {self.process.output()[-2000:]}")
        try:
            return self.admin.request("GET", "/livez").status == 200 and bool(self.status())
        except (OSError, RuntimeError, ValueError):
            return False

    def stop(self, timeout: float = 40) -> int:
        """SIGTERM: drains and ends. The exit code."""
        return self.process.stop(timeout) if self.process else 0

    def kill(self) -> None:
        """kill -9: nothing is written, nothing detached."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def output(self) -> str:
        return self.process.output() if self.process else ""

    def ctl(self, *arguments: str, timeout: float = 30, standard_input: str = "") -> subprocess.CompletedProcess:
        """sluicectl on the edge, by this instance's socket."""
        command = [str(binary("sluicectl")), "--socket", str(self.socket), *arguments]
        return subprocess.run(
            self.network.edge.enter(*command),
            capture_output=True,
            text=True,
            timeout=timeout,
            input=standard_input,
            check=False,
        )

    def ctl_json(self, *arguments: str) -> Any:
        done = self.ctl(*arguments, "-o", "json")
        if done.returncode != 0:
            raise RuntimeError(f"sluicectl {' '.join(arguments)}: {done.returncode} {done.stderr.strip()}")
        return json.loads(done.stdout)

    def status(self) -> dict[str, Any]:
        return self.admin.get("/v1/status")

    def packets(self) -> dict[str, int]:
        """Packets of eth0 by reason."""
        for interface in self.status()["interfaces"]:
            if interface["name"] == "eth0":
                return interface["packets"]
        return {}

    def bans(self) -> dict[str, dict[str, Any]]:
        return {ban["source"]: ban for ban in self.admin.get("/v1/bans")["bans"]}

    def metrics_text(self) -> str:
        answer = self.admin.request("GET", "/metrics")
        if answer.status != 200:
            raise RuntimeError(f"GET /metrics: {answer.status}")
        return answer.body.decode()

    def metrics(self, name: str) -> dict[frozenset, float]:
        """Samples of one metric, by their labels as a frozenset of (name, value)."""
        return parse_metrics(self.metrics_text(), name)

    def log(self, category: str) -> list[dict[str, Any]]:
        """Records of one category, oldest first, rotated files included."""
        files = sorted(self.log_folder.glob(f"{category}.*.log"), key=_rotation, reverse=True)
        records = []
        for file in [*files, self.log_folder / f"{category}.log"]:
            if file.exists():
                records += [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return records


def _rotation(file: Path) -> int:
    """ "ai.2.log" → 2: the larger, the older."""
    number = file.name.split(".")[-2]
    return int(number) if number.isdigit() else 0


def parse_metrics(text: str, name: str) -> dict[frozenset, float]:
    samples = {}
    for line in text.splitlines():
        if not line.startswith(name) or line[len(name) : len(name) + 1] not in ("{", " "):
            continue
        labels, value = {}, line[len(name) :]
        if value.startswith("{"):
            inside, value = value[1:].rsplit("} ", 1)
            for pair in inside.split('",'):
                if pair:
                    key, _, content = pair.partition('="')
                    labels[key] = content.rstrip('"')
        samples[frozenset(labels.items())] = float(value)
    return samples
