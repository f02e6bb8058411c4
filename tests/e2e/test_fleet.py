"""Three hosts with a kernel enforcer each, and one Redis: what one of them decides, all of them enforce."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import threading
import time
from datetime import datetime

import pytest
from fleet import REDIS, REDIS_PORT, Redis
from lab.edge import Sluice, binary, merged, starguide_policy
from lab.netns import EDGE_IPV4
from lab.process import wait_until

pytestmark = pytest.mark.skipif(not os.access(REDIS, os.X_OK), reason="no redis-server: apt-get install redis-server")

KERNEL = {
    "ports": None,
    "limits": [{"name": "udp", "count": "udp", "rate": "1/s", "burst": 5}],
    "ban": {"after": 10, "within": "10s", "for": "60s"},
    "syn_cookies": "off",
}
ALLOWED = "192.0.2.66"
HOSTS = 3
PROMISED_S = 2.0  # docs/operations.md; the median is reported, and far below


class Place:
    """A host of its own: what Sluice takes for the edge is this client of the wire."""

    def __init__(self, network, namespace) -> None:
        self.folder, self.edge = network.folder, namespace


class Hosts:
    def __init__(self, network, credentials, redis: Redis) -> None:
        self.redis, self.all = redis, []
        for i in range(HOSTS):
            place = Place(network, network.add_client(f"host{i}"))
            # One of them must never ban an address that the others know nothing about.
            policy = merged(starguide_policy(), {"kernel": {**KERNEL, "allow": [ALLOWED] if i == 2 else []}})
            config = {
                "gateway": {"listen": [], "upstream": []},
                "admin": {"listen": None, "tokens": None},
                "ledger": {"kind": "redis", "nodes": [f"{EDGE_IPV4}:{REDIS_PORT}"], "host_name": f"host-{i}"},
            }
            self.all.append(Sluice(place, credentials, policy, config, f"fleet-host-{i}"))
        for host in self.all:
            host.start()
        wait_until(lambda: all(len(self.up(host)) == HOSTS for host in self.all), 10, "all see one another")

    @staticmethod
    def up(host: Sluice) -> list[str]:
        return [one["host"] for one in host.ctl_json("hosts")["hosts"] if one["state"] == "up"]

    def banned(self, source: str) -> list[bool]:
        return [source in host.bans() for host in self.all]

    def everywhere(self, source: str, wanted: bool = True) -> None:
        wait_until(lambda: self.banned(source) == [wanted] * HOSTS, 5, f"{source} banned everywhere: {wanted}", every=0.02)

    def flood(self, attacker, host: Sluice, source: str, count: int = 1000, rate: int = 20_000) -> None:
        place = host.network.edge
        mac = place.ip("-o", "link", "show", "eth0").stdout.split("link/ether ")[1].split()[0]
        command = [
            str(binary("flood")), "--interface", "eth0", "--kind", "udp", "--from", source, "--to", place.ipv4,
            "--to-mac", mac, "--port", "9999", "--rate", str(rate), "--count", str(count), "--duration", "20", "--payload", "18",
        ]  # fmt: skip
        done = subprocess.run(attacker.enter(*command), capture_output=True, text=True, timeout=40, check=False)
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        for host in self.all:
            host.stop()
        self.redis.kill()


@pytest.fixture(scope="module")
def hosts(network, credentials):
    redis = Redis(network, network.folder / "fleet-redis", extra=("--bind", "127.0.0.1", EDGE_IPV4, "--protected-mode", "no"))
    made = Hosts(network, credentials, redis)
    yield made
    made.stop()


def began(host: Sluice, source: str) -> list[datetime]:
    return [
        datetime.fromisoformat(record["@timestamp"].replace("Z", "+00:00"))
        for record in host.log("ban")
        if record["event"]["action"] == "ban-began" and record["sluice"]["ban"]["source"] == source
    ]


def ban(host: Sluice, source: str, lasts: str = "10m") -> None:
    done = host.ctl("ban", "add", source, "--for", lasts, "--reason", "drill")
    assert done.returncode == 0, done.stderr


def answers(attacker, host: Sluice) -> bool:
    return attacker.run("ping", "-c1", "-W1", host.network.edge.ipv4, check=False).returncode == 0


def test_a_conviction_is_enforced_by_every_kernel(hosts, network):
    attacker = network.add_client("convict")
    a, b, c = hosts.all
    by_hand = [f"198.51.100.{i}" for i in range(1, 11)]
    by_kernel = [f"10.77.{attacker.number}.{i}" for i in range(101, 107)]
    for source in by_hand:
        ban(a, source)
        hosts.everywhere(source)
    for source in by_kernel:
        hosts.flood(attacker, b, source)
        hosts.everywhere(source)
    taken = []
    for sources, origin, others in ((by_hand, a, (b, c)), (by_kernel, b, (a, c))):
        for source in sources:
            for other in others:
                wait_until(lambda host=other, of=source: began(host, of), 5, "it is in the log")
                taken.append((began(other, source)[0] - began(origin, source)[0]).total_seconds())
    print(f"{len(taken)} convictions on other hosts: median {statistics.median(taken) * 1000:.0f} ms, "
          f"most {max(taken) * 1000:.0f} ms")  # fmt: skip
    assert statistics.median(taken) < PROMISED_S
    seen = c.bans()[by_kernel[0]]
    assert (seen["origin"], seen["reason"], seen["host"]) == ("peer", "limit_udp", "host-1")
    assert 40 < seen["expires_in_s"] <= 60
    assert b.bans()[by_kernel[0]]["origin"] == "kernel"
    seen = b.bans()[by_hand[0]]
    assert (seen["origin"], seen["reason"], seen["host"]) == ("peer", "drill", "host-0")
    assert a.bans()[by_hand[0]]["origin"] == "operator"
    # Nothing comes back as an echo: each host told what it decided, and no more.
    told = [host.metrics("sluice_fleet_facts_total")[frozenset({("outcome", "sent")})] for host in hosts.all]
    assert told == [len(by_hand), len(by_kernel), 0]


def test_packets_are_dropped_by_a_host_that_was_only_told_and_pass_after_a_lift_elsewhere(hosts, network):
    attacker = network.add_client("told")
    a, b, c = hosts.all
    assert answers(attacker, c)
    ban(a, attacker.ipv4)
    hosts.everywhere(attacker.ipv4)
    assert not answers(attacker, c)
    assert c.bans()[attacker.ipv4]["packets"] > 0
    assert b.ctl("ban", "lift", attacker.ipv4).returncode == 0
    hosts.everywhere(attacker.ipv4, False)
    assert answers(attacker, c)
    assert answers(attacker, a)


def test_a_receivers_own_policy_decides_for_it(hosts):
    ban(hosts.all[0], ALLOWED)
    wait_until(lambda: hosts.banned(ALLOWED) == [True, True, False], 5, "two of them ban it")

    def refused():
        return [r for r in hosts.all[2].log("ban") if r["event"]["action"] == "ban-suppressed"
                and r["sluice"]["ban"]["source"] == ALLOWED]  # fmt: skip

    wait_until(refused, 5, "the third says that it does not")
    assert refused()[0]["sluice"]["ban"]["host"] == "host-0"
    assert hosts.all[2].metrics("sluice_fleet_facts_total")[frozenset({("outcome", "refused")})] >= 1
    assert hosts.banned(ALLOWED) == [True, True, False]


def test_overrides_travel_and_go(hosts):
    a, b, c = hosts.all

    def override(host):
        limits = host.ctl_json("quota", "show", "ada")["limits"]
        return next(limit for limit in limits if limit["name"] == "ai")["override"]

    assert a.ctl("quota", "set", "ada", "ai", "7/h", "--for", "1h").returncode == 0
    for host in (b, c):
        wait_until(lambda of=host: override(of), 5, "the override is there")
        assert override(host)["rate"] == "7/h"
        assert 3500 < override(host)["expires_in_s"] <= 3600
    assert b.ctl("quota", "unset", "ada", "ai").returncode == 0
    for host in (a, c):
        wait_until(lambda of=host: override(of) is None, 5, "it is gone")
    assert a.ctl("quota", "reset", "ada").returncode == 0


def test_hosts_see_one_another_and_a_killed_one_learns_what_stands(hosts):
    a, b, c = hosts.all
    listed = a.ctl_json("hosts")["hosts"]
    assert [(one["host"], one["state"], one["self"]) for one in listed] == [
        ("host-0", "up", True), ("host-1", "up", False), ("host-2", "up", False)]  # fmt: skip
    assert listed[1]["policy"]["hash"] == b.status()["policy"]["hash"]
    assert "host-1" in a.ctl("hosts").stdout
    ban(a, "203.0.113.1")
    hosts.everywhere("203.0.113.1")
    c.stop()
    wait_until(lambda: len(a.ctl_json("hosts")["hosts"]) == 2, 5, "a host that stops says so")
    ban(a, "203.0.113.2")
    assert a.ctl("ban", "lift", "203.0.113.1").returncode == 0
    c.start()
    hosts.everywhere("203.0.113.2")
    hosts.everywhere("203.0.113.1", False)
    b.kill()
    ban(a, "203.0.113.3")
    wait_until(lambda: "host-1" not in Hosts.up(a), 10, "a host that is killed is late, then gone")
    b.start()
    hosts.everywhere("203.0.113.3")
    wait_until(lambda: Hosts.up(a) == ["host-0", "host-1", "host-2"], 10, "and back, once")
    assert len(a.ctl_json("hosts")["hosts"]) == 3


def test_without_redis_each_says_that_it_is_alone_and_what_was_decided_arrives_after(hosts):
    a, b, c = hosts.all
    hosts.redis.kill()
    for host in hosts.all:
        wait_until(lambda of=host: of.ctl_json("hosts").get("alone_s", 0) > 0, 10, "it knows")
        assert host.status()["ledger"]["alone_s"] >= 0
        assert any("alone since" in trouble for trouble in host.status()["troubles"])
        assert "alone_s" in host.admin.get("/api/health")["services"]["redis"]
    assert "alone" in a.ctl("hosts").stdout
    ban(a, "203.0.113.11")
    ban(b, "203.0.113.12")
    time.sleep(1)
    assert hosts.banned("203.0.113.11") == [True, False, False]
    hosts.redis.start()  # empty
    for source in ("203.0.113.11", "203.0.113.12"):
        hosts.everywhere(source)
    assert a.ctl("ban", "lift", "203.0.113.12").returncode == 0
    hosts.everywhere("203.0.113.12", False)
    assert all("alone_s" not in host.ctl_json("hosts") for host in (a, b, c))
    assert json.loads(a.admin.request("GET", "/v1/status").body)["ledger"]["up"]


def test_thousands_of_convictions_arrive_and_hold_nobody_up(hosts, network):
    attacker = network.add_client("many")
    a, b, c = hosts.all
    slowest, stop = [0.0], threading.Event()

    def ask():
        while not stop.wait(0.05):
            begun = time.monotonic()
            c.admin.get("/v1/hosts")
            slowest[0] = max(slowest[0], time.monotonic() - begun)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        begun = time.monotonic()
        hosts.flood(attacker, a, "10.88.0.0/20", count=120_000, rate=60_000)
        flooded = time.monotonic() - begun
        mine = {source for source, one in a.bans().items() if one["origin"] == "kernel"}
        assert len(mine) > 3000
        for host in (b, c):
            wait_until(lambda of=host: mine <= set(of.bans()), 20, "all of them are there", every=0.2)
        taken = time.monotonic() - begun
    finally:
        stop.set()
        asking.join()
    print(f"{len(mine)} convictions by one host in {flooded:.1f} s: on the others after {taken:.1f} s; "
          f"the slowest answer of the admin API meanwhile took {slowest[0] * 1000:.0f} ms")  # fmt: skip
    facts = a.metrics("sluice_fleet_facts_total")
    assert facts[frozenset({("outcome", "lost")})] == facts[frozenset({("outcome", "full")})] == 0
    assert slowest[0] < PROMISED_S
