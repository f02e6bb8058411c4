"""Network namespaces that clean up after themselves.

A Network is one bridge ("wire") with the protected host ("edge") and any number of clients on it:

    edge  10.77.0.1/16, fd00:77::1          client N  10.77.N.2, fd00:77:N::2

Every client has a /24 and a /64 of its own, because that is what Sluice takes for one neighbourhood and for one source.

How nothing is left behind: names carry the run's id, and the run holds a lock on a file of that id for as long as it
lives. A lock that can be taken belongs to a dead run, and the next run removes what it left. Processes are started with
PDEATHSIG, so that they die with the run even if it is killed. BPF pins go to a bpffs that only this run's mount
namespace sees; the kernel drops it with the last process.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, Optional

RUNS = Path("/run/sluice-lab")
NETNS = Path("/run/netns")
PREFIX = "slc"
EDGE_IPV4, EDGE_IPV6 = "10.77.0.1", "fd00:77::1"
GATEWAY_IPV4 = "10.77.255.254"

LOCKS = Path("/run/sluice")  # where sluiced keeps a lock file for each network namespace, by the kernel's cookie of it
SO_NETNS_COOKIE = 71  # asm-generic/socket.h; since Linux 5.14

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
_libc = ctypes.CDLL(None, use_errno=True)


def _system_call(result: int, what: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def ip(*arguments: str, namespace: Optional[str] = None, check: bool = True) -> subprocess.CompletedProcess:
    where = ["-n", namespace] if namespace else []
    done = subprocess.run(["ip", *where, *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"ip {' '.join([*where, *arguments])}: {done.stderr.strip()}")
    return done


@contextlib.contextmanager
def _entered(path: Path) -> Iterator[None]:
    with open("/proc/thread-self/ns/net", "rb") as home, open(path, "rb") as there:
        _system_call(_libc.setns(there.fileno(), CLONE_NEWNET), f"setns {path}")
        try:
            yield
        finally:
            _system_call(_libc.setns(home.fileno(), CLONE_NEWNET), "setns back")


class Namespace:
    def __init__(self, name: str) -> None:
        self.name = name
        self.path = NETNS / name
        ip("netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        return ip(*arguments, namespace=self.name, check=check)

    def sysctl(self, name: str, value: str) -> None:
        self.run("sh", "-c", f'printf %s "$1" > /proc/sys/{name}', "sh", value)

    def enter(self, *command: str) -> list[str]:
        """The command line that runs `command` in here. Not `ip netns exec`: that mounts a fresh /sys over bpffs."""
        return ["nsenter", f"--net={self.path}", "--", *command]

    def run(self, *command: str, timeout: float = 30, check: bool = True, **more) -> subprocess.CompletedProcess:
        done = subprocess.run(
            self.enter(*command), capture_output=True, text=True, timeout=timeout, check=False, **more
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} in {self.name}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def entered(self) -> contextlib.AbstractContextManager[None]:
        """This thread, and only this thread, is in the namespace: a socket made meanwhile stays there for good."""
        return _entered(self.path)

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        with self.entered():
            return socket.socket(family, kind)

    def connect(
        self, address: str, port: int, source: Optional[str] = None, timeout: float = 10, receive_buffer: int = 0
    ) -> socket.socket:
        made = self.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            made.settimeout(timeout)
            if receive_buffer:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source:
                made.bind((source, 0))
            made.connect((address, port))
        except OSError:
            made.close()
            raise
        return made

    def delete(self) -> None:
        _delete_namespace(self.name)


class Client(Namespace):
    """One host on the wire. `number` is the N of its addresses."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(name)
        self.number = number
        self.ipv4, self.ipv6 = f"10.77.{number}.2", f"fd00:77:{number:x}::2"
        self._extra = 2

    def address(self, family: int) -> str:
        return self.ipv4 if family == 4 else self.ipv6

    def fresh_ipv4(self) -> str:
        """One more address of this client, which Sluice has not seen yet."""
        self._extra += 1
        fresh = f"10.77.{self.number}.{self._extra}"
        self.ip("addr", "add", f"{fresh}/16", "dev", "eth0")
        return fresh


class Network:
    """The namespaces of one run. Use it as a context manager."""

    def __init__(self, tag: str) -> None:
        if os.geteuid() != 0:
            raise PermissionError("the lab makes network namespaces and attaches XDP programs: run it as root")
        self.id = f"{tag}-{secrets.token_hex(3)}"
        self.folder = RUNS / self.id
        with _one_at_a_time():
            remove_leftovers()
            self._lock = _take_lock(RUNS / f"{self.id}.lock")
            self.folder.mkdir()
        self._namespaces: list[Namespace] = []
        self._clients = 0
        try:
            self.wire = self._add(Namespace(self._name("wire")))
            self.wire.ip("link", "add", "br0", "type", "bridge", "forward_delay", "0")
            self.wire.ip("link", "set", "br0", "up")
            isolate_bpffs()
            self.edge = self._add(Namespace(self._name("edge")))
            self._plug(self.edge, "edge", [f"{EDGE_IPV4}/16", f"{EDGE_IPV6}/64"])
            # Answers to forged sources go to a gateway that forwards nothing, not to a search for each of them.
            gateway = self.wire.ip("-o", "link", "show", "br0").stdout.split("link/ether ")[1].split()[0]
            self.edge.ip("neigh", "add", GATEWAY_IPV4, "lladdr", gateway, "dev", "eth0", "nud", "permanent")
            self.edge.ip("route", "add", "default", "via", GATEWAY_IPV4)
            self.edge.ip("-6", "route", "add", "fd00:77::/32", "dev", "eth0")
            self.edge_mac = self.edge.ip("-o", "link", "show", "eth0").stdout.split("link/ether ")[1].split()[0]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _name(self, what: str) -> str:
        return f"{PREFIX}-{self.id}-{what}"

    def _add(self, namespace):
        self._namespaces.append(namespace)
        return namespace

    def _plug(self, namespace: Namespace, port: str, addresses: list[str]) -> None:
        """A cable from eth0 of the namespace to a port of the bridge."""
        port = f"p-{port}"[:15]
        namespace.ip("link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", self.wire.name)
        self.wire.ip("link", "set", port, "master", "br0")
        # Without NAPI on the far end, what XDP sends back (XDP_TX) is dropped by veth; GRO turns NAPI on.
        self.wire.run("ethtool", "-K", port, "gro", "on")
        self.wire.ip("link", "set", port, "up")
        for address in addresses:
            namespace.ip("addr", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
        namespace.ip("link", "set", "eth0", "up")

    def add_client(self, name: str) -> Client:
        self._clients += 1
        client = self._add(Client(self._name(name), self._clients))
        self._plug(client, name, [f"{client.ipv4}/16", f"{client.ipv6}/64"])
        client.ip("-6", "route", "add", "fd00:77::/32", "dev", "eth0")
        return client

    def close(self) -> None:
        for namespace in reversed(self._namespaces):
            namespace.delete()
        self._namespaces.clear()
        with _one_at_a_time():
            shutil.rmtree(self.folder, ignore_errors=True)
            (RUNS / f"{self.id}.lock").unlink(missing_ok=True)
            self._lock.close()
            with contextlib.suppress(OSError):
                RUNS.rmdir()  # only the last run can


def isolate_bpffs() -> None:
    """Gives this process a /sys/fs/bpf of its own, with everything else of the file system as it was.

    /run/netns stays shared with the rest of the host, which `ip netns add` has seen to before: others can enter the
    lab's namespaces by name.
    """
    _system_call(_libc.unshare(CLONE_NEWNS), "unshare mount namespace")
    _system_call(_libc.mount(b"none", b"/sys", None, MS_REC | MS_PRIVATE, None), "make /sys private")
    _system_call(_libc.mount(b"bpf", b"/sys/fs/bpf", b"bpf", 0, b"mode=0700"), "mount bpffs")


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """So that no run takes another that is just beginning for a dead one."""
    RUNS.mkdir(parents=True, exist_ok=True)
    folder = os.open(RUNS, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        RUNS.mkdir(parents=True, exist_ok=True)  # the last run may have removed it while this one waited
        yield
    finally:
        os.close(folder)


def _take_lock(path: Path):
    file = open(path, "w", encoding="utf-8")  # held open: the lock lasts as long as the file object
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _delete_namespace(name: str) -> None:
    for _ in range(50):
        pids = ip("netns", "pids", name, check=False).stdout.split()
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.02)
    with contextlib.suppress(OSError):
        with _entered(NETNS / name), socket.socket() as inside:
            cookie = int.from_bytes(inside.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), sys.byteorder)
        (LOCKS / f"net-{cookie}.lock").unlink(missing_ok=True)
        LOCKS.rmdir()  # if nothing else is in it
    ip("netns", "del", name, check=False)
    (NETNS / name).unlink(missing_ok=True)


def remove_leftovers() -> None:
    """Removes what dead runs left. A run that lives holds its lock and is not touched."""
    for lock_path in RUNS.glob("*.lock"):
        lock = _take_lock(lock_path)
        if lock is None:
            continue
        run_id = lock_path.stem
        for namespace in NETNS.glob(f"{PREFIX}-{run_id}-*"):
            _delete_namespace(namespace.name)
        shutil.rmtree(RUNS / run_id, ignore_errors=True)
        lock_path.unlink(missing_ok=True)
        lock.close()
