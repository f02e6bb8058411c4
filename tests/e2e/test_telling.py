"""Metrics and logs: complete, well-formed, and silent about secrets. M14, M15, M17, M22, M24."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest
from calls import assessment, chat, items, send, spend, voice
from lab.edge import merged, starguide_policy
from lab.process import wait_until
from raw import exchange

METRICS = ["api_requests_total", "api_request_duration_seconds_bucket", "active_users_total", "ai_model_usage_total",
           "sluice_xdp_packets_total", "sluice_xdp_bytes_total", "sluice_decisions_total",
           "sluice_decision_duration_seconds_bucket", "sluice_added_latency_seconds_bucket", "sluice_bans_active",
           "sluice_bans_total", "sluice_bpf_map_entries", "sluice_bpf_map_capacity", "sluice_events_lost_total",
           "sluice_policy_info", "sluice_policy_applies_total", "sluice_ledger_up", "sluice_log_dropped_total",
           "sluice_build_info"]  # fmt: skip
CATEGORIES = {"auth", "ai", "assessment", "performance", "error", "decision", "ban", "audit"}


@pytest.fixture
def busy(start_sluice, application, credentials, client, attacker, flood, http, user):
    """A sluiced that has seen one of everything."""
    limits = [{**one, "rate": "5/h"} if one["name"] == "voice" else one for one in starguide_policy()["limits"]]
    sluice = start_sluice(merged(starguide_policy(), {"limits": limits}))
    known = http(headers=credentials.bearer(user))
    spend(known, 3, items())
    spend(known, 3, chat("openai"), chat("claude"), chat("gemini"))
    spend(known, 2, assessment())
    assert send(known, 7, voice()) == {200: 5, 429: 2}
    known.request("POST", "/api/auth/login", {"username": "ada", "password": "wrong"})
    known.request("GET", "/api/items", headers={"Authorization": "Bearer a.b.c"})
    exchange(client, b"GET /api%2fitems HTTP/1.1\r\nHost: edge\r\n\r\n")
    flood(attacker, "udp", 10_000, 20_000)
    wait_until(lambda: attacker.ipv4 in sluice.bans(), 5, "the flood's ban")
    assert sluice.ctl("ban", "lift", attacker.ipv4).returncode == 0
    return sluice


def test_metrics_are_complete_and_well_formed(busy, user):
    text = busy.metrics_text()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    # active_users_total is the mission's name for a gauge; the tool's advice on it is known.
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "active_users_total" not in line]
    assert complaints == [] and done.returncode in (0, 3), done.stdout + done.stderr
    for name in METRICS:
        assert re.search(rf"^{name}[{{ ]", text, re.M), f"{name} is missing"
    requests = busy.metrics("api_requests_total")
    assert requests[frozenset({("method", "POST"), ("endpoint", "voice"), ("status", "429")})] == 2
    assert requests[frozenset({("method", "POST"), ("endpoint", "voice"), ("status", "200")})] == 5
    assert requests[frozenset({("method", "POST"), ("endpoint", "ai_openai"), ("status", "200")})] == 1
    usage = busy.metrics("ai_model_usage_total")
    assert usage[frozenset({("provider", "claude"), ("model", "claude-3-5-haiku")})] == 1
    decisions = busy.metrics("sluice_decisions_total")
    assert decisions[frozenset({("limit", "voice"), ("verdict", "refused")})] == 2
    assert decisions[frozenset({("limit", "voice"), ("verdict", "admitted")})] == 5
    assert busy.metrics("active_users_total")[frozenset()] >= 1
    assert user not in text and "10.77." not in text and "/api/" not in text


def test_metrics_packets_are_those_of_the_status(busy):
    time.sleep(1.2)
    by_reason = {}
    for labels, value in busy.metrics("sluice_xdp_packets_total").items():
        by_reason[dict(labels)["reason"]] = by_reason.get(dict(labels)["reason"], 0) + value
    packets = busy.packets()
    assert by_reason["banned"] == packets["banned"]
    assert by_reason["limit_udp"] == packets["limit_udp"]


def test_logs_are_json_lines_by_category(busy, user, attacker, client):
    wait_until(lambda: busy.log("ban") and busy.log("decision") and busy.log("ai"), 5, "records are written")
    for category in CATEGORIES:
        for record in busy.log(category):
            assert record["event"]["dataset"] == f"sluice.{category}"
            assert {"@timestamp", "message", "log", "ecs"} <= set(record)
            datetime.fromisoformat(record["@timestamp"].replace("Z", "+00:00"))
            assert record["log"]["level"]
    refused = [r for r in busy.log("decision") if r.get("user", {}).get("id") == user]
    assert refused and refused[0]["http"]["response"]["status_code"] == 429
    assert refused[0]["client"]["ip"] == client.ipv4
    assert refused[0]["url"]["path"] == "/api/voice/transcribe"
    ai = [r for r in busy.log("ai") if r["user"]["id"] == user]
    assert len(ai) == 3
    assert all(record["event"]["duration"] > 0 for record in ai)
    assert "gpt-4o-mini" in json.dumps(ai) and "tokens" in json.dumps(ai)
    assert [r for r in busy.log("assessment") if r["user"]["id"] == user]
    auth = busy.log("auth")
    assert {r["event"]["outcome"] for r in auth} >= {"failure"}
    bans = busy.log("ban")
    assert any(attacker.ipv4 in json.dumps(r) for r in bans)
    assert busy.log("audit")


def test_secrets_never_reach_a_log(start_sluice, application, credentials, client, http, network, user):
    sluice = start_sluice()
    canary = "CANARY" + secrets.token_hex(12)
    token = credentials.token(user, canary=canary)
    known = http(headers={"Authorization": f"Bearer {token}"})
    card, mail = "4111111111111111", "ada.lovelace@example.org"
    for path in (f"/api/items?token={canary}&password={canary}&api_key={canary}&card={card}",
                 f"/api/items/{canary}?q={mail}"):  # fmt: skip
        known.request("GET", path, headers={"Cookie": f"session={canary}", "X-API-Key": canary, "Referer": canary,
                                            "User-Agent": f"agent Bearer {token}", "X-Request-ID": token})  # fmt: skip
    known.request(*chat(text=f"my secret is {canary}"))
    known.request("POST", "/api/auth/login", {"username": mail, "password": canary})
    known.request("GET", "/api/items", headers={"Authorization": f"Bearer {canary}.{canary}.{canary}"})
    known.request("GET", "/api/items", headers={"Authorization": f"Basic {canary}"})
    exchange(client, f"GET /api%2fitems?x={canary} HTTP/1.1\r\nHost: edge\r\nCookie: {canary}\r\n\r\n".encode())
    send(known, 55, voice())
    time.sleep(1.5)
    sluice.stop()
    found = []
    for file in [*Path(sluice.log_folder).rglob("*"), sluice.folder / "output.log"]:
        if file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            for name, secret in {"token": token, "signature": token.rsplit(".", 1)[1], "card": card}.items():
                if secret in text:
                    found.append((file.name, name))
            # A path segment is the application's own name for a thing and is logged; queries, fields, bodies are not.
            for line in text.splitlines():
                if canary in line.replace(f"/api/items/{canary}", ""):
                    found.append((file.name, line[:300]))
    assert found == []


def test_logs_rotate_and_keep_five(start_sluice, application, credentials, http, user):
    sluice = start_sluice(None, {"log": {"max_bytes": 8192, "files": 5}})
    for number in range(60):
        http(headers=credentials.bearer(f"{user}-{number}")).request(*chat())
    spend(http(headers=credentials.bearer(user)), 100, chat())
    time.sleep(1.5)
    files = sorted(sluice.log_folder.glob("ai*.log"))
    assert len(files) == 5, files
    assert all(file.stat().st_size <= 8192 for file in files)
    assert all(json.loads(line) for file in files for line in file.read_text().splitlines())


def test_full_disk_keeps_serving_and_loses_nothing_silently(start_sluice, application, credentials, http, user):
    """What can't be written waits, within bounds; when there is room again it is written, or was counted as dropped."""
    sluice = start_sluice.prepare()
    sluice.log_folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(sluice.log_folder)], check=True)
    try:
        sluice.start()
        for name in (user, user + "-b", user + "-c"):
            spend(http(headers=credentials.bearer(name)), 100, chat())
        time.sleep(1.5)
        assert http(headers=credentials.bearer(user)).request(*items()).status == 200
        assert len((sluice.log_folder / "ai.log").read_text().splitlines()) < 200, "the disk was not full"
        subprocess.run(["mount", "-o", "remount,size=4m", str(sluice.log_folder)], check=True)
        dropped = frozenset({("category", "ai")})
        wait_until(
            lambda: len(sluice.log("ai")) + sluice.metrics("sluice_log_dropped_total")[dropped] >= 300,
            10, "every record was written or counted as dropped",
        )  # fmt: skip
        sequence = [record["event"]["sequence"] for record in sluice.log("ai")]
        assert sequence == sorted(set(sequence))
    finally:
        sluice.stop()
        subprocess.run(["umount", str(sluice.log_folder)], check=False)
