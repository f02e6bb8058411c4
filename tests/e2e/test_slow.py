"""Slow clients hold a connection, not the gateway: deadlines end them, and nobody else waits meanwhile."""

from __future__ import annotations

import resource
import time

import pytest
from calls import items
from lab.edge import merged, starguide_policy
from lab.netns import EDGE_IPV4
from lab.web import GATEWAY_PORT
from raw import exchange, read_all, statuses
from upstreams import scripted

DEADLINES = {"header_deadline_ms": 1000, "body_deadline_ms": 1000, "idle_deadline_ms": 1500}


@pytest.fixture
def impatient(start_sluice):
    return start_sluice(None, {"gateway": DEADLINES})


def all_served(http, credentials, user, seconds=1.5):
    """Polite requests keep being answered quickly."""
    known = http(headers=credentials.bearer(user))
    end, worst = time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        answer = known.request(*items())
        assert answer.status == 200
        worst = max(worst, answer.seconds)
    assert worst < 0.5


def test_slowloris_headers(impatient, attacker, http, credentials, user):
    connections = [attacker.connect(EDGE_IPV4, GATEWAY_PORT, timeout=5) for _ in range(100)]
    started = time.monotonic()
    for connection in connections:
        connection.sendall(b"GET /api/items HTTP/1.1\r\nHost: edge\r\nX-A: ")
    all_served(http, credentials, user, 0.8)
    for connection in connections[:10]:  # a byte now and then does not buy more time
        connection.sendall(b"a")
    for connection in connections:
        assert statuses(read_all(connection)) in ([408], [])
        connection.close()
    assert time.monotonic() - started < 4


def test_body_that_stops(impatient, attacker, http, credentials, user):
    head = f"POST /api/voice/transcribe HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {credentials.token(user)}\r\n"
    with attacker.connect(EDGE_IPV4, GATEWAY_PORT, timeout=6) as connection:
        connection.sendall(head.encode() + b"Content-Length: 1000\r\n\r\nabc")
        all_served(http, credentials, user, 0.5)
        started = time.monotonic()
        assert statuses(read_all(connection)) in ([408], [])
        assert time.monotonic() - started < 3


def test_idle_connection_is_closed(impatient, attacker):
    with attacker.connect(EDGE_IPV4, GATEWAY_PORT, timeout=6) as connection:
        started = time.monotonic()
        assert statuses(read_all(connection)) in ([], [408])
        assert time.monotonic() - started < 4


def test_slow_reader(start_sluice, network, attacker, http, credentials, user):
    """One who does not read a long answer is given up; the others' answers do not wait for it."""

    def endless(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        for _ in range(3000):
            connection.sendall(b"x" * 65536)

    gateway = {"upstream": ["127.0.0.1:8112"], **DEADLINES}
    with scripted(network, 8112, endless):
        sluice = start_sluice(None, {"gateway": gateway})
        held = [attacker.connect(EDGE_IPV4, GATEWAY_PORT, receive_buffer=4096, timeout=10) for _ in range(4)]
        for connection in held:
            connection.sendall(b"GET /api/items HTTP/1.1\r\nHost: edge\r\n\r\n")
        time.sleep(1)
        resident = sluice.metrics("process_resident_memory_bytes")[frozenset()]
        assert resident < 300e6, "a slow reader's answer is not piled up"
        for connection in held:
            connection.close()


def test_many_idle_connections_cost_others_nothing(impatient, attacker, http, credentials, user):
    idle = [attacker.connect(EDGE_IPV4, GATEWAY_PORT, timeout=5) for _ in range(150)]
    all_served(http, credentials, user)
    for connection in idle:
        connection.close()


def test_thousands_of_connections_are_held(start_sluice, attacker, http, credentials, user):
    """More than the usual 1024 descriptors of a process; from one host, which for this must be on the allow list."""
    allowed = merged(starguide_policy(), {"kernel": {"allow": [attacker.ipv4]}})
    start_sluice(allowed, {"gateway": {"idle_deadline_ms": 30_000, "header_deadline_ms": 30_000}})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
    held = []
    try:
        while len(held) < 3000:
            held.append(attacker.connect(EDGE_IPV4, GATEWAY_PORT, timeout=10))
        all_served(http, credentials, user, 1)
        held[0].sendall(b"GET /health HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n")
        assert statuses(read_all(held[0])) == [200]
    finally:
        for connection in held:
            connection.close()


def test_connection_limit_answers_503(start_sluice, attacker):
    """Each worker has its share of the limit, and the kernel deals connections out by a hash: enough to fill them all."""
    start_sluice(None, {"gateway": {"max_connections": 16}})
    request = b"GET /health HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n"
    held = [attacker.connect(EDGE_IPV4, GATEWAY_PORT, timeout=3) for _ in range(80)]
    time.sleep(0.3)
    answer = exchange(attacker, request, wait=2)
    assert statuses(answer) in ([503], []), "the 81st of 16"
    served = 0
    for connection in held:
        with connection:
            try:
                connection.sendall(request)
            except OSError:
                continue
            served += statuses(read_all(connection)) == [200]
    assert 1 <= served <= 16
    assert statuses(exchange(attacker, request, wait=2)) == [200]
