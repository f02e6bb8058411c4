"""Through the gateway: nothing is buffered, nothing is lost, in either direction."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import ssl
import time

import pytest
import websockets
from calls import chat, items, spend, used
from lab.edge import merged, starguide_policy
from lab.netns import EDGE_IPV4, EDGE_IPV6
from lab.web import GATEWAY_PORT
from raw import exchange, read_until, statuses
from upstreams import scripted


def test_server_sent_events_arrive_as_they_are_made(sluice, application, credentials, client, user):
    body = json.dumps(chat(stream=True, text="one two three four five six seven eight nine ten")[2]).encode()
    request = f"POST /api/ai/openai/chat HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {credentials.token(user)}\r\n"
    request += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    arrivals = []
    with client.connect(EDGE_IPV4, GATEWAY_PORT, timeout=10) as connection:
        connection.sendall(request.encode() + body)
        received = b""
        while piece := connection.recv(65536):
            received += piece
            arrivals.append((time.monotonic(), received.count(b"data: ")))
    assert b"[DONE]" in received
    first = next(at for at, events in arrivals if events >= 1)
    half = next(at for at, events in arrivals if events >= 10)
    # 40 ms between events: a buffering proxy would deliver all of them at the end.
    assert half - first > 0.25
    assert arrivals[-1][0] - half > 0.25
    usage = sluice.metrics("ai_model_usage_total")
    assert usage[frozenset({("provider", "openai"), ("model", "gpt-4o-mini")})] >= 1


def test_chunked_upload_is_streamed(sluice, application, credentials, client, user):
    pieces = [os.urandom(20_000) for _ in range(5)]
    head = f"POST /api/voice/transcribe HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {credentials.token(user)}\r\n"
    head += "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    with client.connect(EDGE_IPV4, GATEWAY_PORT, timeout=10) as connection:
        connection.sendall(head.encode())
        for piece in pieces:
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            time.sleep(0.15)
        connection.sendall(b"0\r\n\r\n")
        received = b""
        while data := connection.recv(65536):
            received += data
    assert statuses(received) == [200]
    answer = json.loads(received[received.index(b"{") : received.rindex(b"}") + 1])
    assert answer["bytes"] == 100_000
    assert answer["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest()
    # The application had the first piece long before the last was sent.
    assert answer["last_piece_s"] - answer["first_piece_s"] > 0.5


def test_large_upload_arrives_whole(sluice, application, credentials, http, user):
    sound = os.urandom(8 << 20)
    answer = http(headers=credentials.bearer(user), timeout=30).request("POST", "/api/voice/transcribe", sound)
    assert answer.status == 200
    assert answer.json()["sha256"] == hashlib.sha256(sound).hexdigest()


def test_websocket_echo(sluice, application, credentials, client, user):
    async def talk():
        connection = client.connect(EDGE_IPV4, GATEWAY_PORT)
        connection.setblocking(False)
        uri = f"ws://{EDGE_IPV4}:{GATEWAY_PORT}/ws/echo"
        async with websockets.connect(uri, sock=connection, extra_headers=credentials.bearer(user)) as socket:
            for text in ("hello", "ünïcödé", "x" * 100_000):
                await socket.send(text)
                assert await asyncio.wait_for(socket.recv(), 5) == text
            data = os.urandom(50_000)
            await socket.send(data)
            assert await asyncio.wait_for(socket.recv(), 5) == data
            await socket.send("still there?")
            assert await asyncio.wait_for(socket.recv(), 5) == "still there?"

    asyncio.run(talk())
    assert used(sluice, user)["user"] == 1


def test_websocket_outlives_a_change_of_policy(start_sluice, application, credentials, client, user):
    sluice = start_sluice()

    async def talk():
        connection = client.connect(EDGE_IPV4, GATEWAY_PORT)
        connection.setblocking(False)
        uri = f"ws://{EDGE_IPV4}:{GATEWAY_PORT}/ws/echo"
        async with websockets.connect(uri, sock=connection, extra_headers=credentials.bearer(user)) as socket:
            for number in range(5):
                changed = merged(starguide_policy(), {"name": f"version_{number}"})
                sluice.write_policy(changed)
                assert sluice.ctl("policy", "apply", str(sluice.policy_file)).returncode == 0
                await socket.send(f"message {number}")
                assert await asyncio.wait_for(socket.recv(), 5) == f"message {number}"

    asyncio.run(talk())


def test_keep_alive_and_close(sluice, application, credentials, http, client, user):
    known = http(headers=credentials.bearer(user))
    socket = known.connect().sock
    spend(known, 50, items())
    assert known.connect().sock is socket
    closed = exchange(client, b"GET /health HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n", wait=3)
    assert statuses(closed) == [200]
    old = exchange(client, b"GET /health HTTP/1.0\r\nHost: edge\r\n\r\n", wait=3)
    assert statuses(old) == [200]


def test_pipelined_answers_keep_their_order(sluice, application, client, credentials, user):
    bearer = f"Authorization: Bearer {credentials.token(user)}\r\n"
    requests = ""
    for number in range(1, 11):
        body = json.dumps({"answers": [0]})
        requests += f"POST /api/assessments/{number}/submit HTTP/1.1\r\nHost: edge\r\n{bearer}"
        requests += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        requests += ("Connection: close\r\n" if number == 10 else "") + f"\r\n{body}"
    answer = exchange(client, requests.encode(), wait=5)
    assert statuses(answer) == [200] * 10
    order = [int(part.split(b'"')[0]) for part in answer.split(b'"assessment":"')[1:]]
    assert order == list(range(1, 11))


def test_expect_continue(sluice, application, credentials, client, user):
    head = f"POST /api/voice/transcribe HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {credentials.token(user)}\r\n"
    head += "Content-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with client.connect(EDGE_IPV4, GATEWAY_PORT, timeout=5) as connection:
        connection.sendall(head.encode())
        assert statuses(read_until(connection, b"\r\n\r\n"))[0] == 100
        connection.sendall(b"abcd")
        assert 200 in statuses(read_until(connection, b"transcript"))


def test_forwarded_fields_are_sluices_own(start_sluice, client, network):
    """What the application is told about the client is what Sluice saw, not what the client wrote: hop-by-hop fields go,
    X-Forwarded-For is the peer."""

    def answer(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    with scripted(network, 8111, answer) as heads:
        start_sluice(None, {"gateway": {"upstream": ["127.0.0.1:8111"]}})
        request = b"GET /api/items HTTP/1.1\r\nHost: edge\r\nX-Forwarded-For: 203.0.113.9\r\nX-Secret-Hop: 1\r\n"
        request += b"Connection: X-Secret-Hop, close\r\nProxy-Authorization: Basic x\r\n\r\n"
        assert statuses(exchange(client, request, wait=3)) == [200]
    head = heads[0].decode().lower()
    assert "x-secret-hop" not in head
    forwarded = [line for line in head.splitlines() if line.startswith("x-forwarded-for:")]
    assert len(forwarded) == 1 and forwarded[0].endswith(client.ipv4)
    assert "203.0.113.9" not in forwarded[0]  # a stranger's word is not passed on as if it were checked


@pytest.fixture
def with_tls(start_sluice, credentials, application):
    certificate, key = credentials.certificate(EDGE_IPV4, EDGE_IPV6)
    start_sluice(None, {"gateway": {"tls": {"certificate": str(certificate), "key": str(key)}}})
    return ssl.create_default_context(cafile=str(certificate))


def test_tls_termination(with_tls, application, credentials, client, http, user):
    for address in (EDGE_IPV4, EDGE_IPV6):
        known = http(address=address, tls=with_tls, headers=credentials.bearer(user))
        spend(known, 20, items())
    assert application.reached(user) == 40
    plain = exchange(client, b"GET /health HTTP/1.1\r\nHost: edge\r\n\r\n", wait=2)
    assert 200 not in statuses(plain)


def test_proxy_header_before_tls(start_sluice, credentials, client):
    """A trusted proxy that passes TLS through says first who it speaks for; the limit is that client's."""
    certificate, key = credentials.certificate(EDGE_IPV4, EDGE_IPV6)
    limits = [{"name": "ip", "per": "ip", "when": "anonymous", "rate": "3/h"}]
    policy = merged(starguide_policy(), {"limits": limits, "trusted_proxies": [f"{client.ipv4}/32"]})
    start_sluice(policy, {"gateway": {"tls": {"certificate": str(certificate), "key": str(key)}}})
    trust = ssl.create_default_context(cafile=str(certificate))

    def ask(header: bytes) -> int:
        connection = client.connect(EDGE_IPV4, GATEWAY_PORT, timeout=5)
        connection.sendall(header)
        with trust.wrap_socket(connection, server_hostname=EDGE_IPV4) as secure:
            secure.sendall(b"GET /api/items HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n")
            return int(read_until(secure, b"\r\n\r\n").split()[1])

    first = b"PROXY TCP4 203.0.113.7 10.77.0.1 4444 8080\r\n"
    second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([203, 0, 113, 8, 10, 77, 0, 1, 0x11, 0x5C, 0x1F, 0x90])
    assert [ask(first) for _ in range(4)] == [200, 200, 200, 429]
    assert ask(second) == 200
    assert ask(b"") == 200  # the proxy itself, which need not send one


def test_old_tls_is_refused(with_tls, client):
    old = ssl.create_default_context()
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    connection = client.connect(EDGE_IPV4, GATEWAY_PORT, timeout=3)
    with pytest.raises((ssl.SSLError, OSError)):
        old.wrap_socket(connection)
