"""Hosts that share their policy: what is settled on one is in force on all that opted in, and on no other."""

from __future__ import annotations

import os
import threading

import pytest
from fleet import FIRST_PORT, REDIS, REDIS_PORT, Redis
from lab.edge import Sluice
from lab.process import wait_until

pytestmark = pytest.mark.skipif(not os.access(REDIS, os.X_OK), reason="no redis-server: apt-get install redis-server")


def text(rate: str, allow: str = "") -> str:
    kernel = f"kernel: {{deny: [{{file: {allow}}}]}}\n" if allow else ""
    return f"name: shared\n{kernel}limits:\n  - {{name: ip, per: ip, rate: {rate}}}\n"


class Sharing:
    """Two hosts that opted in, and one that did not."""

    def __init__(self, network, credentials, name: str) -> None:
        self.redis = Redis(network, network.folder / f"{name}-redis")
        self.all = []
        for i in range(3):
            config = {
                "interfaces": [],
                "gateway": {"listen": [f"127.0.0.1:{FIRST_PORT + i}"], "upstream": ["127.0.0.1:18000"], "workers": 1},
                "admin": {"listen": None, "tokens": None},
                "ledger": {"kind": "redis", "nodes": [f"127.0.0.1:{REDIS_PORT}"], "host_name": f"host-{i}"},
                "fleet": {"policies": i < 2},
            }
            self.all.append(Sluice(network, credentials, text("10/h"), config, f"{name}-{i}"))
            self.all[i].start()

    def stop(self) -> None:
        for host in self.all:
            if host.process is not None and host.process.running():
                host.stop()
        self.redis.kill()


@pytest.fixture
def hosts(network, credentials, request):
    made = Sharing(network, credentials, request.node.name[:40])
    yield made
    made.stop()


def apply(host: Sluice, policy: str, *options: str) -> None:
    path = host.policy_folder / "candidate.yaml"
    path.write_text(policy, encoding="utf-8")
    done = host.ctl("policy", "apply", str(path), *options)
    assert done.returncode == 0, done.stderr


def in_force(host: Sluice) -> str:
    return host.admin.get("/v1/policy")["text"]


def both(hosts: Sharing, policy: str) -> None:
    wait_until(lambda: [in_force(host) for host in hosts.all[:2]] == [policy] * 2, 10, "both have it")


def of_fleet(host: Sluice) -> dict[str, str]:
    return {one["host"]: one["policy"]["fleet"] for one in host.ctl_json("hosts")["hosts"]}


def test_what_is_settled_on_one_is_in_force_on_all_that_opted_in(hosts):
    a, b, alone = hosts.all
    apply(a, text("20/h"), "--reason", "incident")
    both(hosts, text("20/h"))
    policy = b.admin.get("/v1/policy")
    assert policy["origin"] == "fleet" and policy["by"].endswith("on host-0") and policy["reason"] == "incident"
    apply(b, text("30/h"), "--confirm-within", "60s")
    assert in_force(a) == text("20/h")
    apply_while_pending = text("40/h")
    apply(a, apply_while_pending)
    wait_until(lambda: of_fleet(a).get("host-1") == "waits", 10, "it waits for the confirmation")
    assert in_force(b) == text("30/h")
    assert b.ctl("policy", "confirm").returncode == 0
    both(hosts, text("30/h"))
    assert a.ctl("policy", "rollback").returncode == 0
    both(hosts, apply_while_pending)
    assert in_force(alone) == text("10/h")
    wait_until(lambda: of_fleet(a) == {"host-0": "follows", "host-1": "follows", "host-2": ""}, 10, "hosts say so")
    # Nor does what it decides reach the others.
    apply(alone, text("50/h"))
    apply(b, text("60/h"))
    both(hosts, text("60/h"))
    assert in_force(alone) == text("50/h")
    assert not alone.metrics("sluice_fleet_policies_total")


def test_a_host_that_can_not_take_it_keeps_its_own_and_says_so(hosts):
    a, b, _ = hosts.all
    (a.policy_folder / "denied.txt").write_text("198.51.100.0/24\n", encoding="utf-8")
    apply(a, text("20/h", "denied.txt"))
    wait_until(lambda: of_fleet(a).get("host-1") == "refuses", 10, "the other lacks the file")
    assert in_force(b) == text("10/h")
    assert "denied.txt" in b.admin.get("/v1/policy")["fleet_problem"]
    assert b.metrics("sluice_fleet_policies_total")[frozenset({("result", "refused")})] == 1
    apply(a, text("30/h"))
    both(hosts, text("30/h"))
    wait_until(lambda: of_fleet(a).get("host-1") == "follows", 10, "it does again")


def test_applies_at_once_end_with_one(hosts):
    pair = hosts.all[:2]
    for round_ in range(5):
        threads = [threading.Thread(target=apply, args=(host, text(f"{100 + 2 * round_ + i}/h"))) for i, host in enumerate(pair)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        told = 2 * (round_ + 1)

        def settled(told=told):
            counts = [host.metrics("sluice_fleet_policies_total") for host in pair]
            done = sum(one[frozenset({("result", name)})] for one in counts for name in ("told", "superseded"))
            return done >= told and in_force(pair[0]) == in_force(pair[1])

        wait_until(settled, 10, "one of them stands on both")


def test_without_redis_it_travels_after_and_a_restart_changes_nothing(hosts):
    a, b, _ = hosts.all
    apply(a, text("20/h"))
    both(hosts, text("20/h"))
    hosts.redis.kill()
    wait_until(lambda: "alone_s" in a.ctl_json("hosts"), 10, "Redis is away")
    apply(a, text("30/h"))
    assert in_force(b) == text("20/h")
    hosts.redis.start()  # empty
    both(hosts, text("30/h"))
    # A file changed later is that host's word, and a start does not take the fleet's again.
    b.write_policy(text("40/h"))
    wait_until(lambda: in_force(b) == text("40/h"), 10, "the file is followed")
    b.stop()
    b.start()
    wait_until(lambda: of_fleet(a).get("host-1") == "follows", 10, "it is there")
    assert in_force(b) == text("40/h")
    b.stop()
    apply(a, text("50/h"))
    b.start()
    both(hosts, text("50/h"))
    b.kill()
    b.start()
    both(hosts, text("50/h"))
