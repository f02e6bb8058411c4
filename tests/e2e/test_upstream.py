"""When the application is down, slow or broken, and when Sluice itself is asked to stop."""

from __future__ import annotations

import json
import threading
import time

import pytest
from calls import PROBLEM_JSON, chat, items, used
from lab.netns import EDGE_IPV4
from lab.web import GATEWAY_PORT
from raw import read_all, statuses
from upstreams import scripted


def problem(answer, status):
    assert answer.status == status
    assert answer["Content-Type"] == PROBLEM_JSON
    body = answer.json()
    assert body["status"] == status and body["title"]


def test_application_down_is_502(start_sluice, http, credentials, user):
    sluice = start_sluice(None, {"gateway": {"upstream": ["127.0.0.1:8113"]}})
    known = http(headers=credentials.bearer(user))
    for _ in range(3):
        problem(known.request(*items()), 502)
    errors = sluice.metrics("api_requests_total")
    assert sum(value for labels, value in errors.items() if ("status", "502") in labels) == 3


def test_application_slow_is_504(start_sluice, network, http, credentials, user):
    def silent(_, __):
        time.sleep(3)

    with scripted(network, 8113, silent):
        start_sluice(None, {"gateway": {"upstream": ["127.0.0.1:8113"], "upstream_deadline_ms": 700}})
        known = http(headers=credentials.bearer(user))
        answer = known.request(*items())
        problem(answer, 504)
        assert 0.6 < answer.seconds < 2


BROKEN = {
    "closes at once": b"",
    "garbage": b"\x16\x03\x01 this is not HTTP\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "bad status": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000,
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_application_is_502(start_sluice, network, http, credentials, user, case):
    with scripted(network, 8113, lambda connection, _: connection.sendall(BROKEN[case])):
        start_sluice(None, {"gateway": {"upstream": ["127.0.0.1:8113"]}})
        problem(http(headers=credentials.bearer(user)).request(*items()), 502)


def test_answer_cut_off_is_not_passed_off_as_whole(start_sluice, network, client):
    def cut(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")

    with scripted(network, 8113, cut):
        start_sluice(None, {"gateway": {"upstream": ["127.0.0.1:8113"]}})
        with client.connect(EDGE_IPV4, GATEWAY_PORT, timeout=3) as connection:
            connection.sendall(b"GET /api/items HTTP/1.1\r\nHost: edge\r\n\r\n")
            received = read_all(connection)
    assert b"0\r\n\r\n" not in received


def test_requests_come_back_when_the_application_does(start_sluice, network, http, credentials, user):
    start_sluice(None, {"gateway": {"upstream": ["127.0.0.1:8113"]}})
    known = http(headers=credentials.bearer(user))
    problem(known.request(*items()), 502)

    def fine(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    with scripted(network, 8113, fine):
        assert known.request(*items()).status == 200


def test_second_application_is_used_when_the_first_is_down(start_sluice, application, http, credentials, user):
    start_sluice(None, {"gateway": {"upstream": ["127.0.0.1:8113", "127.0.0.1:8000"]}})
    known = http(headers=credentials.bearer(user))
    assert [known.request(*items()).status for _ in range(6)] == [200] * 6


def test_sigterm_finishes_what_is_in_flight(start_sluice, application, credentials, client, http, user):
    sluice = start_sluice()
    idle = http(headers=credentials.bearer(user))
    assert idle.request(*items()).status == 200
    body = json.dumps(chat(stream=True, text="one two three four five six seven eight nine ten")[2]).encode()
    request = f"POST /api/ai/openai/chat HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {credentials.token(user)}\r\n"
    request += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    exit_code = []
    with client.connect(EDGE_IPV4, GATEWAY_PORT, timeout=10) as connection:
        connection.sendall(request.encode() + body)
        received = connection.recv(65536)
        stopping = threading.Thread(target=lambda: exit_code.append(sluice.stop(timeout=20)))
        stopping.start()
        time.sleep(0.2)
        with pytest.raises(OSError):  # nothing new is taken
            client.connect(EDGE_IPV4, GATEWAY_PORT, timeout=1)
        received += read_all(connection)
    assert statuses(received) == [200]
    assert b"[DONE]" in received and received.endswith(b"0\r\n\r\n")
    stopping.join()
    assert exit_code == [0]
    sluice.start()
    assert used(sluice, user) == {"user": 2, "ai": 1, "voice": 0, "assessment": 0}


def test_sigterm_does_not_wait_for_ever(start_sluice, network, client, credentials):
    def never(_, __):
        time.sleep(8)

    with scripted(network, 8113, never):
        gateway = {"upstream": ["127.0.0.1:8113"], "drain_deadline_ms": 1000}
        sluice = start_sluice(None, {"gateway": gateway})
        with client.connect(EDGE_IPV4, GATEWAY_PORT, timeout=10) as connection:
            connection.sendall(b"GET /api/items HTTP/1.1\r\nHost: edge\r\n\r\n")
            time.sleep(0.3)
            started = time.monotonic()
            assert sluice.stop(timeout=10) == 0
            assert time.monotonic() - started < 4
