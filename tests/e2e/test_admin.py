"""M25: who may see and who may change. The socket knows its peer, TCP wants a token, and a role is a ceiling."""

from __future__ import annotations

import os
import socket
import stat
import subprocess

import pytest
from lab.edge import ADMIN_PORT
from lab.process import wait_until
from raw import statuses

READS = ["/metrics", "/v1/status", "/v1/hosts", "/v1/top?by=requests&n=5", "/v1/bans", "/v1/quotas/ada", "/v1/policy",
         "/v1/policy/history", "/v1/explain?ip=203.0.113.1&method=GET&path=/api/items"]  # fmt: skip
BAN = {"source": "203.0.113.77", "for_s": 60, "reason": "drill"}
CHANGES = [
    ("POST", "/v1/bans", BAN, "operator"),
    ("DELETE", "/v1/bans/203.0.113.77", None, "operator"),
    ("PUT", "/v1/quotas/ada/ai", {"rate": "7/h"}, "operator"),
    ("DELETE", "/v1/quotas/ada/ai", None, "operator"),
    ("POST", "/v1/quotas/ada/reset", {}, "operator"),
    ("POST", "/v1/policy/apply", {"text": "", "name": "x"}, "admin"),
    ("POST", "/v1/policy/confirm", {}, "admin"),
    ("POST", "/v1/policy/rollback", {}, "admin"),
]
RANK = {"viewer": 0, "operator": 1, "admin": 2}


@pytest.fixture
def door(sluice, network, http):
    """The TCP door, asked with any headers."""
    return http(network.edge, address="127.0.0.1", port=ADMIN_PORT)


def bearer(credentials, role):
    return {"Authorization": f"Bearer {credentials.admin_tokens[role]}"}


def test_socket_mode_and_root(sluice):
    mode = os.stat(sluice.socket).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660
    for path in READS:
        assert sluice.admin.request("GET", path).status == 200, path


def test_tcp_without_a_token_is_401(door):
    for path in READS:
        answer = door.request("GET", path)
        assert answer.status == 401, path
        assert answer["WWW-Authenticate"]
        assert b"sluice_" not in answer.body and b"starguide" not in answer.body
    for method, path, body, _ in CHANGES:
        assert door.request(method, path, body).status == 401, path


@pytest.mark.parametrize("authorization", ["Bearer wrong", "Bearer ", "bearer", "Basic dmlld2VyOng=", "Bearer a b"])
def test_wrong_tokens_are_401(door, authorization):
    assert door.request("GET", "/v1/status", headers={"Authorization": authorization}).status == 401


@pytest.mark.parametrize("role", RANK)
def test_every_role_reads(door, credentials, role):
    for path in READS:
        assert door.request("GET", path, headers=bearer(credentials, role)).status == 200, path


@pytest.mark.parametrize("role", RANK)
def test_a_role_is_a_ceiling(door, credentials, role):
    for method, path, body, needed in CHANGES:
        answer = door.request(method, path, body, bearer(credentials, role))
        if RANK[role] < RANK[needed]:
            assert answer.status == 403, (role, path, answer.status)
        else:
            assert answer.status not in (401, 403), (role, path, answer.status)


def test_open_doors_say_little(sluice, door):
    live = door.request("GET", "/livez")
    assert live.status == 200 and live.body.split() == [b"ok"]
    health = door.request("GET", "/api/health")
    assert health.status in (200, 503)
    assert len(health.body.split()) == 1


def test_reading_never_changes(door, credentials):
    for _, path, _, _ in CHANGES:
        answer = door.request("GET", path, headers=bearer(credentials, "admin"))
        assert answer.status in (200, 404, 405), path


def test_unknown_paths_and_bad_bodies(sluice, door, credentials):
    admin = bearer(credentials, "admin")
    assert door.request("GET", "/v1/nothing", headers=admin).status == 404
    for body in (b"", b"{", b"[]", b'{"source": 7}', b'{"source": "203.0.113.1"}', b'{"sauce": "x"}', b"\xff\xfe"):
        answer = door.request("POST", "/v1/bans", body, {**admin, "Content-Type": "application/json"})
        assert answer.status == 400, (body, answer.status, answer.body)
        assert answer["Content-Type"] == "application/problem+json"
    huge = door.request("POST", "/v1/policy/check", b"x" * (8 << 20), admin)
    assert huge.status == 413
    assert "203.0.113.1" not in sluice.bans()


def test_socket_is_closed_to_other_users(sluice):
    """uid 65534 (nobody): the file's mode keeps it out; were the mode opened, its credentials still would."""
    script = (
        "import os,socket,sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "try:\n    s.connect(sys.argv[1])\nexcept PermissionError:\n    sys.exit(40)\n"
        "s.sendall(b'POST /v1/bans HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{}')\n"
        "print(s.recv(4096).decode())\n"
    )
    command = ["/usr/bin/python3", "-c", script, str(sluice.socket)]
    assert subprocess.run(command, check=False).returncode == 40
    os.chmod(sluice.socket, 0o666)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert statuses(done.stdout.encode())[0] in (401, 403), done.stdout + done.stderr
    finally:
        os.chmod(sluice.socket, 0o660)


def test_changes_are_audited(sluice, door, credentials):
    door.request("POST", "/v1/bans", {**BAN, "source": "203.0.113.78"}, bearer(credentials, "operator"))
    door.request("DELETE", "/v1/bans/203.0.113.78", None, bearer(credentials, "operator"))
    door.request("POST", "/v1/bans", BAN, bearer(credentials, "viewer"))

    def told(text, outcome):
        return [r for r in sluice.log("audit") if text in str(r) and r["event"]["outcome"] == outcome]

    wait_until(lambda: told("203.0.113.78", "success"), 3, "the ban is in the audit log")
    wait_until(lambda: told("lab-viewer", "failure"), 3, "the viewer's attempt is in the audit log")
    records = sluice.log("audit")
    for token in credentials.admin_tokens.values():
        assert token not in str(records)


def test_events_stream_tells_at_once(sluice, http, client):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(str(sluice.socket))
    with connection:
        connection.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        head = connection.recv(4096)
        assert statuses(head) == [200] and b"text/event-stream" in head
        sluice.ctl("ban", "add", "203.0.113.79", "--for", "60s", "--reason", "drill-event")
        received = head
        while b"203.0.113.79" not in received:
            received += connection.recv(65536)
    assert b"data: " in received
    assert sluice.ctl("ban", "lift", "203.0.113.79").returncode == 0


def test_health_tells_its_services(start_sluice, network):
    sluice = start_sluice(None, {"health": {"database": "tcp://127.0.0.1:8000", "ai_providers": {
        "openai": "http://127.0.0.1:8000/health", "claude": "http://127.0.0.1:9/"}}})  # fmt: skip
    health = sluice.admin.request("GET", "/api/health").json()
    assert {"status", "timestamp", "services"} <= set(health)
    assert {"database", "redis", "ai_providers"} <= set(health["services"])
    assert health["timestamp"].endswith("Z") and "T" in health["timestamp"]
    assert {"openai", "claude"} <= set(str(health["services"]["ai_providers"]).replace("'", " ").split())
    done = sluice.ctl("health")
    assert done.returncode in (0, 1) and done.stdout.strip()


def test_guessing_tokens_is_slowed(start_sluice, network, http, credentials):
    sluice = start_sluice()
    door = http(network.edge, address="127.0.0.1", port=ADMIN_PORT)
    statuses_seen = [
        door.request("GET", "/v1/status", headers={"Authorization": f"Bearer guess-{number}"}).status for number in range(8)
    ]
    assert statuses_seen[:5] == [401] * 5 and 429 in statuses_seen[5:]
    assert sluice.admin.request("GET", "/v1/status").status == 200  # the socket is not affected
