"""What an operator reads of a user on any host is what all hosts together admitted, and says so when it is not."""

from __future__ import annotations

import os
from typing import Any

import pytest
from calls import quota, refused
from fleet import FIRST_PORT, REDIS, REDIS_PORT, Redis
from lab.edge import Sluice, merged, starguide_policy
from lab.process import wait_until
from lab.web import Http

pytestmark = pytest.mark.skipif(not os.access(REDIS, os.X_OK), reason="no redis-server: apt-get install redis-server")

POLICY = {
    "limits": [
        {"name": "calls", "per": "user", "when": "authenticated", "rate": "10/h"},
        {"name": "streams", "per": "user", "when": "authenticated", "concurrent": 5},
    ]
}
USER = "ada"


class Fleet:
    def __init__(self, network: Any, credentials: Any, name: str) -> None:
        self.redis = Redis(network, network.folder / f"{name}-redis")
        self.hosts = []
        for i in range(3):
            config = {
                "interfaces": [],
                "gateway": {"listen": [f"127.0.0.1:{FIRST_PORT + i}"], "workers": 1},
                "admin": {"listen": None, "tokens": None},
                # Patient: how fast this machine is is not what is tested.
                "ledger": {"kind": "redis", "nodes": [f"127.0.0.1:{REDIS_PORT}"], "deadline": "500ms"},
            }
            policy = merged(starguide_policy(), POLICY)
            self.hosts.append(Sluice(network, credentials, policy, config, f"{name}-{i}"))
            self.hosts[i].start()
        wait_until(lambda: all(one.status()["ledger"]["hosts"] == 3 for one in self.hosts), 10, "all are known")
        self.clients = [
            Http(network.edge, "127.0.0.1", FIRST_PORT + i, headers=credentials.bearer(USER)) for i in range(3)
        ]

    def ask(self, host: int) -> Any:
        return self.clients[host].request("GET", "/api/items")

    def all_tell(self, used: int) -> None:
        """Tokens on lease are used or come back; then every host knows the same."""
        for host in self.hosts:
            wait_until(lambda: quota(host, USER)["calls"]["leased"] == 0, 5, "no lease is out", every=0.1)
            calls = quota(host, USER)["calls"]
            assert (calls["used"], calls["remaining"], calls["counted"]) == (used, 10 - used, "fleet"), calls
            assert 0 < calls["reset_s"] <= 3600

    def stop(self) -> None:
        for host in self.hosts:
            host.stop()
        self.redis.kill()


@pytest.fixture
def fleet(network, credentials, application, request):
    made = Fleet(network, credentials, request.node.name[:40])
    yield made
    made.stop()


def explain(host: Sluice) -> dict[str, Any]:
    answer = host.admin.get(f"/v1/explain?ip=127.0.0.1&user={USER}&method=GET&path=/api/items")
    return {**answer, "charges": {charge["limit"]: charge for charge in answer["charges"]}}


def test_every_host_tells_what_all_of_them_admitted(fleet):
    # Two of three hosts see the user; the third has never heard of her.
    assert [fleet.ask(number % 2).status for number in range(9)] == [200] * 9
    fleet.all_tell(9)
    for host in fleet.hosts:
        told = explain(host)
        assert told["verdict"] == "admitted"
        assert (told["charges"]["calls"]["used"], told["charges"]["calls"]["counted"]) == (9, "fleet")
        assert told["charges"]["streams"]["counted"] == quota(host, USER)["streams"]["counted"] == "host"
    fleet.all_tell(9)  # explain counts nothing
    assert fleet.ask(2).status == 200
    fleet.all_tell(10)
    for number, host in enumerate(fleet.hosts):
        told = explain(host)
        assert (told["verdict"], told["reason"]) == ("limited", "calls")
        answer = fleet.ask(number)
        refused(answer, "calls")
        # As long as the client is told to wait.
        assert abs(told["retry_after_s"] - int(answer.headers["Retry-After"])) <= 5
    assert "all hosts" in fleet.hosts[2].ctl("quota", "show", USER).stdout

    assert fleet.hosts[2].ctl("quota", "reset", USER).returncode == 0
    for host in fleet.hosts:
        assert quota(host, USER)["calls"]["used"] == 0 and explain(host)["verdict"] == "admitted"


def test_without_redis_a_host_tells_its_own_and_says_so(fleet):
    assert [fleet.ask(0).status for _ in range(6)] == [200] * 6
    fleet.all_tell(6)
    fleet.redis.kill()
    for number, host in enumerate(fleet.hosts):
        wait_until(lambda: not host.status()["ledger"]["up"], 10, "Redis is missed")
        calls = quota(host, USER)["calls"]
        assert (calls["used"], calls["counted"]) == (6 if number == 0 else 0, "host_ledger_away")
        # Each has a share of three.
        assert explain(host)["verdict"] == ("limited" if number == 0 else "admitted")
        assert "as Redis is away" in host.ctl("quota", "show", USER).stdout
    assert fleet.ask(0).status == 429 and fleet.ask(1).status == 200
