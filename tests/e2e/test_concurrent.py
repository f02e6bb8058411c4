"""Requests at once: who comes when the limit is in flight is refused, and every way a request may end frees its place."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterator

import pytest
from calls import quota, refused
from fleet import REDIS, REDIS_PORT, Redis
from lab.edge import merged, starguide_policy
from lab.netns import EDGE_IPV4
from lab.process import wait_until
from lab.web import GATEWAY_PORT
from raw import read_all, read_until, statuses
from upstreams import scripted

PORT = 8117
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: first\n\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n"


def policy(at_once: int = 2) -> dict[str, Any]:
    return merged(
        starguide_policy(),
        {
            "routes": [{"name": "slow", "path": "/slow/**", "class": "slow"}],
            "limits": [
                {"name": "streams", "per": "user", "class": "slow", "concurrent": at_once},
                {"name": "user", "per": "user", "when": "authenticated", "rate": "100/h"},
                {"name": "ip", "per": "ip", "when": "anonymous", "rate": "100/h"},
            ],
        },
    )


class Slow:
    """An application that answers when it is told to."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self.gates: dict[str, threading.Event] = {}
        self.heads: list[bytes] = []

    def act(self, connection: socket.socket, head: bytes) -> None:
        path = head.split()[1].decode()
        kind, gate = path.split("/")[2], self.gates.setdefault(path, threading.Event())
        if kind == "events":
            connection.sendall(EVENTS)
        if kind == "socket":
            connection.sendall(SWITCH)
            while data := connection.recv(4096):
                connection.sendall(data)
            return
        if kind == "now":
            gate.set()
        while not gate.wait(0.02):
            if select.select([connection], [], [], 0)[0]:
                return  # the gateway has hung up: nobody waits for an answer
        if kind in ("hold", "now"):
            connection.sendall(OK)

    def began(self, path: str) -> bool:
        return any(head.split()[1].decode() == path for head in self.heads)


@pytest.fixture
def slow(network) -> Iterator[Slow]:
    application = Slow(network)
    with scripted(network, PORT, application.act) as heads:
        application.heads = heads
        yield application
        for gate in application.gates.values():
            gate.set()


@pytest.fixture
def sluice(start_sluice, slow):
    return start_sluice(policy(), {"gateway": {"upstream": [f"127.0.0.1:{PORT}"]}})


@pytest.fixture
def begin(client, credentials, user, slow) -> Iterator[Callable[..., Any]]:
    """begin("hold", "a"): sends a request and comes back when the application has it."""
    connections = []

    def one(kind: str, name: str, fields: str = "") -> socket.socket:
        connection = client.connect(EDGE_IPV4, GATEWAY_PORT, timeout=10)
        connections.append(connection)
        path = f"/slow/{kind}/{name}"
        bearer = f"Authorization: Bearer {credentials.token(user)}\r\n"
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: edge\r\n{bearer}{fields}\r\n".encode())
        wait_until(lambda: slow.began(path), 10, f"{path} is in flight")
        return connection

    yield one
    for connection in connections:
        connection.close()


@pytest.fixture
def ask(http, credentials, user) -> Callable[[], Any]:
    """One more request, on a connection of its own, that the application answers at once."""

    def one() -> Any:
        return http(headers=credentials.bearer(user)).get("/slow/now/x")

    return one


def in_flight(sluice: Any, user: str) -> int:
    return quota(sluice, user)["streams"]["used"]


def test_the_next_is_refused_until_one_ends(sluice, slow, begin, ask, user, http, credentials):
    first, second = begin("hold", "a"), begin("hold", "b")
    assert in_flight(sluice, user) == 2
    answer = ask()
    refused(answer, "streams")
    assert answer["Retry-After"] == "1"
    assert answer["RateLimit-Policy"] == '"streams";q=2;qu="concurrent-requests"'
    assert answer["RateLimit"] == '"streams";r=0'
    assert quota(sluice, user)["user"]["used"] == 2  # the refused one is not charged
    assert http(headers=credentials.bearer(user + "-neighbour")).get("/slow/now/x").status == 200
    explained = sluice.admin.get(f"/v1/explain?ip=192.0.2.1&user={user}&method=GET&path=/slow/x")
    assert explained["verdict"] == "limited" and explained["reason"] == "streams"

    for number, (name, connection) in enumerate((("a", first), ("b", second))):
        slow.gates[f"/slow/hold/{name}"].set()
        assert statuses(read_until(connection, b"\r\n\r\nok")) == [200]
        # Whoever has the answer may ask again: the place is free already.
        assert in_flight(sluice, user) == 1 - number
        assert ask().status == 200
    assert sluice.metrics("sluice_limiter_slots") == {frozenset(): 0}
    verdicts = sluice.metrics("sluice_decisions_total")
    assert verdicts[frozenset({("limit", "streams"), ("verdict", "refused")})] == 1
    wait_until(lambda: any(record["rule"]["name"] == "streams" for record in sluice.log("decision")), 5, "it is logged")


def test_one_after_another_needs_one_place(sluice, ask, user):
    """Each on a connection of its own, so on any worker, as soon as the answer to the one before is there."""
    assert sluice.ctl("quota", "set", user, "streams", "1").returncode == 0
    assert {ask().status for _ in range(60)} == {200}


@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_client_that_leaves_frees_its_place(sluice, slow, begin, ask, user, how):
    begin("hold", "stays")
    leaving = begin("hold", "leaves")
    refused(ask(), "streams")
    if how == "resets":
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    leaving.close()
    wait_until(lambda: in_flight(sluice, user) == 1, 10, "the place is free")
    assert ask().status == 200


def test_events_hold_a_place_until_their_stream_ends(sluice, slow, begin, ask):
    first, second = begin("events", "a"), begin("events", "b")
    for connection in (first, second):
        assert b"data: first" in read_until(connection, b"first\n\n")
    refused(ask(), "streams")
    slow.gates["/slow/events/a"].set()
    assert read_until(first, b"0\r\n\r\n").endswith(b"0\r\n\r\n")
    assert ask().status == 200


def test_a_websocket_holds_a_place_until_it_is_closed(sluice, slow, begin, ask, user):
    connections = [begin("socket", name, UPGRADE) for name in "ab"]
    for connection in connections:
        assert b" 101 " in read_until(connection, b"\r\n\r\n")
        connection.sendall(b"frame")
        assert read_until(connection, b"frame") == b"frame"
    refused(ask(), "streams")
    connections[0].close()
    wait_until(lambda: in_flight(sluice, user) == 1, 10, "the place is free")
    assert ask().status == 200


def test_an_application_that_dies_frees_its_places(sluice, slow, begin, ask):
    first, second = begin("die", "a"), begin("events", "b")
    refused(ask(), "streams")
    slow.gates["/slow/die/a"].set()
    assert statuses(read_until(first, b"}")) == [502]
    assert ask().status == 200
    slow.gates["/slow/events/b"].set()
    read_until(second, b"0\r\n\r\n")
    assert ask().status == 200


def test_a_change_of_policy_keeps_what_is_in_flight(sluice, slow, begin, ask):
    def change(at_once: int) -> None:
        sluice.write_policy(policy(at_once))
        assert sluice.ctl("policy", "apply", str(sluice.policy_file)).returncode == 0

    def end(name: str, connection: Any) -> None:
        slow.gates[f"/slow/hold/{name}"].set()
        assert statuses(read_until(connection, b"\r\n\r\nok")) == [200]

    first, second = begin("hold", "a"), begin("hold", "b")
    change(3)
    third = begin("hold", "c")
    refused(ask(), "streams")
    change(1)
    end("a", first)
    refused(ask(), "streams")
    end("b", second)
    refused(ask(), "streams")
    end("c", third)
    assert ask().status == 200


def test_a_user_may_have_another_number(sluice, begin, ask, user):
    begin("hold", "a"), begin("hold", "b")
    refused(ask(), "streams")
    assert sluice.ctl("quota", "set", user, "streams", "3", "--for", "1h").returncode == 0
    assert ask().status == 200
    shown = quota(sluice, user)["streams"]
    assert (shown["rate"], shown["used"], shown["remaining"]) == ("3 concurrent", 2, 1)
    assert shown["override"]["policy_rate"] == "2 concurrent"
    wrong = sluice.ctl("quota", "set", user, "streams", "3/h")
    assert wrong.returncode == 7 and "a number" in wrong.stderr
    wrong = sluice.ctl("quota", "set", user, "user", "3")
    assert wrong.returncode == 7 and "a rate such as" in wrong.stderr
    assert sluice.ctl("quota", "unset", user, "streams").returncode == 0
    refused(ask(), "streams")


def test_exact_when_many_ask_at_once(sluice, slow, client, credentials, user):
    """Twelve connections over all workers: two are admitted, and no third reaches the application."""
    bearer = f"Authorization: Bearer {credentials.token(user)}\r\n"

    def hold(number: int) -> bytes:
        connection = client.connect(EDGE_IPV4, GATEWAY_PORT, timeout=10)
        with connection:
            request = f"GET /slow/hold/{number} HTTP/1.1\r\nHost: edge\r\n{bearer}Connection: close\r\n\r\n"
            connection.sendall(request.encode())
            return read_all(connection)

    with ThreadPoolExecutor(12) as together:
        answers = [together.submit(hold, number) for number in range(12)]
        wait_until(lambda: sum(answer.done() for answer in answers) == 10, 15, "ten are refused")
        assert in_flight(sluice, user) == 2
        for gate in slow.gates.values():
            gate.set()
    assert sorted(status for answer in answers for status in statuses(answer.result())) == [200] * 2 + [429] * 10
    assert len(slow.heads) == 2


@pytest.mark.skipif(not os.access(REDIS, os.X_OK), reason="no redis-server: apt-get install redis-server")
def test_beside_rates_that_hosts_share(network, start_sluice, slow, begin, ask, user):
    """Requests that wait for Redis before they are decided hold nothing meanwhile."""
    redis = Redis(network, network.folder / "redis-concurrent")
    try:
        ledger = {"kind": "redis", "nodes": [f"127.0.0.1:{REDIS_PORT}"]}
        sluice = start_sluice(policy(), {"gateway": {"upstream": [f"127.0.0.1:{PORT}"]}, "ledger": ledger})
        first = begin("hold", "a")
        begin("hold", "b")
        refused(ask(), "streams")
        assert in_flight(sluice, user) == 2
        slow.gates["/slow/hold/a"].set()
        assert statuses(read_until(first, b"\r\n\r\nok")) == [200]
        assert ask().status == 200
        assert in_flight(sluice, user) == 1
    finally:
        redis.kill()


def test_a_crash_ends_what_was_in_flight(sluice, begin, ask, user):
    begin("hold", "a"), begin("hold", "b")
    sluice.kill()
    sluice.start()
    assert in_flight(sluice, user) == 0
    assert ask().status == 200
