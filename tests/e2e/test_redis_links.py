"""Ways to Redis: encrypted with a password, and by way of a sentinel that fails over."""

from __future__ import annotations

import os

import pytest
from fleet import REDIS, REDIS_PORT, TLS_OFFSET, Fleet, Redis, behind_tls
from lab.process import Process, wait_until

pytestmark = pytest.mark.skipif(not os.access(REDIS, os.X_OK), reason="no redis-server: apt-get install redis-server")

REPLICA_PORT, SENTINEL_PORT = 16381, 26379
LIMITS = [{"name": "few", "per": "ip", "class": "few", "rate": "5/h"}]


@pytest.fixture
def folder(network, request):
    made = network.folder / request.node.name
    made.mkdir()
    return made


def spend(fleet: Fleet, source: str) -> int:
    """Ten requests from one address, by way of all gateways; how many were admitted."""
    seen = fleet.load(2, [f"/few=5@{source}"])[f"/few@{source}"]
    assert {request[2] for request in seen.requests} <= {200, 429}
    assert len(seen.requests) > 5 or len(seen.admitted()) == len(seen.requests)
    return len(seen.admitted())


def test_tls_and_a_user_with_a_password(network, credentials, start_sluice, folder):
    extra, ledger = behind_tls(folder)
    ledger["nodes"] = [f"127.0.0.1:{REDIS_PORT + TLS_OFFSET}"]
    fleet = Fleet(network, credentials, "tls", LIMITS, 2, ledger, extra)
    try:
        assert spend(fleet, "127.0.3.1") == 5
        stranger = fleet.hosts[0]
        stranger.stop()
        # A certificate that is not trusted is not spoken to.
        stranger.config["ledger"].pop("ca_file")
        stranger.config["ledger"]["path"] = str(folder / "new")
        stranger.write_config()
        with pytest.raises((RuntimeError, TimeoutError), match="certificate verify failed"):
            stranger.start(timeout=5)
    finally:
        fleet.stop()


def test_a_sentinel_fails_over(network, credentials, start_sluice, folder):
    replica = sentinel = fleet = None
    configuration = folder / "sentinel.conf"
    configuration.write_text(
        f"port {SENTINEL_PORT}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor limits 127.0.0.1 {REDIS_PORT} 1\nsentinel down-after-milliseconds limits 500\n"
        "sentinel failover-timeout limits 2000\n",
        encoding="utf-8",
    )
    master = Redis(network, folder / "master")
    try:
        replica = Redis(network, folder / "replica", REPLICA_PORT, ("--replicaof", "127.0.0.1", str(REDIS_PORT)))
        wait_until(lambda: "master_link_status:up" in replica.command("INFO", "replication"), 20, "the replica follows")
        sentinel = Process([REDIS, str(configuration), "--sentinel"], network.edge, folder / "sentinel.log")
        wait_until(lambda: master.command("INFO", "clients"), 5, "the master answers")
        ledger = {"nodes": [f"127.0.0.1:{SENTINEL_PORT}"], "sentinel": "limits"}
        fleet = Fleet(network, credentials, "sentinel", LIMITS, 2, ledger, redis=master)
        assert {state["node"] for state in fleet.ledger()} == {f"127.0.0.1:{REDIS_PORT}"}
        assert spend(fleet, "127.0.3.2") == 5
        wait_until(lambda: "slave0" in master.command("INFO", "replication"), 5, "the replica is known")
        master.kill()
        node = f"127.0.0.1:{REPLICA_PORT}"
        wait_until(lambda: all(s["up"] and s["node"] == node for s in fleet.ledger()), 30, "the replica has taken over")
        assert spend(fleet, "127.0.3.2") == 0  # what was spent before is known there
        assert spend(fleet, "127.0.3.3") == 5
    finally:
        for one in (fleet, sentinel, replica, master):
            if isinstance(one, Process):
                one.kill()
            elif isinstance(one, Fleet):
                one.stop()
            elif one is not None:
                one.kill()
