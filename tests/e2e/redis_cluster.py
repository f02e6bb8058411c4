"""A Redis Cluster on the edge's loopback: three masters, replicas if asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fleet import TLS_OFFSET, Redis
from lab.process import wait_until

FIRST_NODE_PORT = 17001
MASTERS = 3
SLOTS = 16384
FLEET_KEY = "sluice:1:{fleet}:head"


class Cluster:
    def __init__(self, network: Any, folder: Path, replicas: int = 0, extra: tuple[str, ...] = ()) -> None:
        self.nodes = []
        # Nodes that speak TLS among themselves know one another by those ports.
        self.offset = TLS_OFFSET if "--tls-cluster" in extra else 0
        for number in range(MASTERS + replicas):
            settings = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--appendonly", "no",
                        "--cluster-require-full-coverage", "no", *extra)  # fmt: skip
            self.nodes.append(Redis(network, folder / f"node{number}", FIRST_NODE_PORT + number, settings))
        self.masters, self.replicas = self.nodes[:MASTERS], self.nodes[MASTERS:]
        for number, node in enumerate(self.masters):
            first, last = SLOTS * number // MASTERS, SLOTS * (number + 1) // MASTERS - 1
            assert node.command("CLUSTER", "ADDSLOTSRANGE", str(first), str(last)) == "OK"
            node.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        for node in self.nodes[1:]:
            node.command("CLUSTER", "MEET", "127.0.0.1", str(FIRST_NODE_PORT + self.offset))
        everyone = f"cluster_known_nodes:{len(self.nodes)}"
        self.wait(lambda info: "cluster_state:ok" in info and everyone in info, "the nodes know one another")
        for number, node in enumerate(self.replicas):
            master = self.masters[number].command("CLUSTER", "MYID")
            wait_until(lambda: node.command("CLUSTER", "REPLICATE", master) == "OK", 10, "a replica is one")  # noqa: B023
            wait_until(lambda: "master_link_status:up" in node.command("INFO", "replication"), 20, "it follows")  # noqa: B023

    def wait(self, condition: Any, what: str) -> None:
        wait_until(lambda: all(condition(node.command("CLUSTER", "INFO")) for node in self.nodes), 20, what)

    @property
    def addresses(self) -> list[str]:
        return [f"127.0.0.1:{node.port}" for node in self.nodes]

    @property
    def ledger(self) -> dict[str, Any]:
        """Told of one node only: the others are found."""
        return {"nodes": self.addresses[1:2], "cluster": True}

    def counters(self, node: Redis) -> list[str]:
        """Names of the limits' counters that a node has, the most used first."""
        names = [name for name in node.command("--scan", "--pattern", "sluice:1:{*}").split() if len(name) == 43]
        return sorted(names, key=lambda name: -int(node.command("STRLEN", name) or 0))

    def slot(self, key: str) -> int:
        return int(self.nodes[0].command("CLUSTER", "KEYSLOT", key))

    def owner(self, slot: int) -> Redis:
        for line in self.nodes[0].command("CLUSTER", "NODES").splitlines():
            fields = line.split()
            for part in fields[8:]:
                first, _, last = part.partition("-")
                if "master" in fields[2] and first.isdigit() and int(first) <= slot <= int(last or first):
                    port = int(fields[1].split("@")[0].rsplit(":", 1)[1])
                    return next(node for node in self.nodes if port in (node.port, node.port + self.offset))
        raise LookupError(f"slot {slot} has no master")

    def begin_move(self, slot: int, origin: Redis, to: Redis) -> None:
        """Half way: keys that are gone from `origin` are answered with ASK."""
        assert to.command("CLUSTER", "SETSLOT", str(slot), "IMPORTING", origin.command("CLUSTER", "MYID")) == "OK"
        assert origin.command("CLUSTER", "SETSLOT", str(slot), "MIGRATING", to.command("CLUSTER", "MYID")) == "OK"

    def move_keys(self, slot: int, origin: Redis, to: Redis) -> list[str]:
        keys = origin.command("CLUSTER", "GETKEYSINSLOT", str(slot), "100").split()
        done = origin.command("MIGRATE", "127.0.0.1", str(to.port + self.offset), "", "0", "5000", "REPLACE", "KEYS", *keys)
        assert done in ("OK", "NOKEY"), done
        return keys

    def end_move(self, slot: int, to: Redis) -> None:
        for node in (to, *(one for one in self.masters if one is not to)):
            assert node.command("CLUSTER", "SETSLOT", str(slot), "NODE", to.command("CLUSTER", "MYID")) == "OK"

    def scripts(self) -> int:
        return sum(node.commands() for node in self.nodes)

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()
