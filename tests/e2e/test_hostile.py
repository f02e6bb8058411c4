"""M23: requests made to slip past the limits. None of them reaches the application uncounted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
from calls import chat, items, refused, send, spend, used, used_by_address
from cryptography.hazmat.primitives.asymmetric import rsa
from lab.credentials import AUDIENCE, ISSUER, KEY_ID
from lab.edge import merged, starguide_policy
from lab.process import wait_until
from raw import exchange, statuses

HOST = b"Host: edge\r\n"

# What must be answered 400 and never forwarded.
MALFORMED = {
    "two lengths": b"POST /api/items HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    "length list": b"POST /api/items HTTP/1.1\r\n" + HOST + b"Content-Length: 3, 5\r\n\r\nabcde",
    "length and chunked": b"POST /api/items HTTP/1.1\r\n" + HOST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": b"POST /api/items HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "length +5": b"POST /api/items HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\nabcde",
    "length 0x5": b"POST /api/items HTTP/1.1\r\n" + HOST + b"Content-Length: 0x5\r\n\r\nabcde",
    "length -1": b"POST /api/items HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
    "length overflow": b"POST /api/items HTTP/1.1\r\n" + HOST + b"Content-Length: 18446744073709551621\r\n\r\nabcde",
    "encoding xchunked": b"POST /api/items HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "encoding chunked, identity": b"POST /api/items HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "encoding twice": b"POST /api/items HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "space before colon": b"POST /api/items HTTP/1.1\r\n" + HOST + b"Content-Length : 5\r\n\r\nabcde",
    "folded field": b"GET /api/items HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n b\r\n\r\n",
    "field without colon": b"GET /api/items HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n",
    "empty field name": b"GET /api/items HTTP/1.1\r\n" + HOST + b": x\r\n\r\n",
    "NUL in value": b"GET /api/items HTTP/1.1\r\n" + HOST + b"X-A: a\0b\r\n\r\n",
    "CR in value": b"GET /api/items HTTP/1.1\r\n" + HOST + b"X-A: a\rb\r\n\r\n",
    "no host": b"GET /api/items HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /api/items HTTP/1.1\r\n" + HOST + b"Host: other\r\n\r\n",
    "host with path": b"GET /api/items HTTP/1.1\r\nHost: edge/api\r\n\r\n",
    "space in target": b"GET /api/items x HTTP/1.1\r\n" + HOST + b"\r\n",
    "control in target": b"GET /api/\x01items HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL encoded": b"GET /api/items%00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "slash encoded": b"GET /api%2Fitems HTTP/1.1\r\n" + HOST + b"\r\n",
    "bad escape": b"GET /api/items%zz HTTP/1.1\r\n" + HOST + b"\r\n",
    "bad UTF-8": b"GET /api/%ff%fe HTTP/1.1\r\n" + HOST + b"\r\n",
    "overlong UTF-8": b"GET /api/%c0%ae%c0%ae/items HTTP/1.1\r\n" + HOST + b"\r\n",
    "fragment": b"GET /api/items#x HTTP/1.1\r\n" + HOST + b"\r\n",
    "no version": b"GET /api/items\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "PROXY header": b"PROXY TCP4 203.0.113.7 10.77.0.1 4444 8080\r\nGET /api/items HTTP/1.1\r\n" + HOST + b"\r\n",
    "PROXY v2 header": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x0a\x4d\0\x01\x11\x5c\x1f\x90"
    b"GET /api/items HTTP/1.1\r\n" + HOST + b"\r\n",
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_request_is_refused(sluice, application, client, case):
    before = application.counts()["total"]
    answer = exchange(client, MALFORMED[case] + b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n", source=client.fresh_ipv4())
    assert statuses(answer)[:1] == [400], answer[:300]
    assert statuses(answer) == [400], "what follows a malformed request is never read as another"
    assert b"application/problem+json" in answer
    assert application.counts()["total"] == before


@pytest.mark.parametrize("size, status", [(12_000, 200), (40_000, 431)])
def test_header_size_is_bounded(sluice, client, size, status):
    request = b"GET /health HTTP/1.1\r\n" + HOST + b"X-Padding: " + b"a" * size + b"\r\nConnection: close\r\n\r\n"
    assert statuses(exchange(client, request)) == [status]


def test_chunk_that_is_no_chunk(sluice, application, client, credentials, user):
    head = b"POST /api/voice/transcribe HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n"
    head += f"Authorization: Bearer {credentials.token(user)}\r\n\r\n".encode()
    for body in (b"zz\r\nabc\r\n0\r\n\r\n", b"-1\r\n\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"fffffffffffffffff\r\nabc"):
        answer = exchange(client, head + body + b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n")
        assert statuses(answer) in ([400], []), (body, answer[:200])
    assert application.reached("-", "/smuggled") == 0


# The way to the AI route in other words. Each is refused as malformed, counted as AI, or leads somewhere else.
AI_TRICKS = [
    "//api/ai/openai/chat", "/api//ai/openai/chat", "/./api/ai/openai/chat", "/api/./ai/openai/chat",
    "/api/items/../ai/openai/chat", "/api/ai/../ai/openai/chat", "/api/ai/openai/chat/", "/api/ai/openai/chat//",
    "/%61pi/ai/openai/chat", "/api/%61i/openai/chat", "/api/ai/openai/ch%61t", "/api%2fai/openai/chat",
    "/api/ai%2Fopenai/chat", "/api/items/%2e%2e/ai/openai/chat", "/api/items/.%2e/ai/openai/chat",
    "/api/items/%252e%252e/ai/openai/chat", "/API/AI/OPENAI/CHAT", "/api/ai;x=1/openai/chat",
    "/api/ai/openai/chat;x", "/api\\ai\\openai\\chat", "/api/ai/openai/chat?x=/api/items", "/api/ai/openai/chat%20",
    "http://edge/api/ai/openai/chat", "http://edge//api/ai/openai/chat", "/api/items/..;/ai/openai/chat",
    "/..//api/ai/openai/chat", "/../api/ai/openai/chat",
]  # fmt: skip


def test_no_spelling_of_the_ai_path_escapes_its_limit(sluice, application, credentials, client, http, user):
    spend(http(headers=credentials.bearer(user)), 100, chat())
    body = json.dumps(chat()[2]).encode()
    for target in AI_TRICKS:
        request = f"POST {target} HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {credentials.token(user)}\r\n"
        request += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        answer = exchange(client, request.encode() + body, wait=3)
        assert len(statuses(answer)) == 1, (target, answer[:200])
        assert statuses(answer)[0] in (400, 404, 405, 429), (target, answer[:200])
    paths = application.counts()["by_user_and_path"][user]
    reached = sum(number for path, number in paths.items() if "/ai/" in path.lower() and path != "/API/AI/OPENAI/CHAT"
                  and "%2e" not in path and ";" not in path)  # fmt: skip
    assert reached == 100, paths


def forged_tokens(credentials, user):
    now = int(time.time())
    claims = {"sub": user, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600}
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    def by_hand(header, secret=None):
        signed = f"{part(header)}.{part(claims)}"
        tag = hmac.new(secret, signed.encode(), hashlib.sha256).digest() if secret else b""
        return f"{signed}.{base64.urlsafe_b64encode(tag).rstrip(b'=').decode()}"

    good = credentials.token(user)
    return {
        "alg none": by_hand({"alg": "none", "typ": "JWT"}),
        "alg None": by_hand({"alg": "None", "kid": KEY_ID}),
        "HS256 with the public key": by_hand({"alg": "HS256", "kid": KEY_ID}, credentials.public_pem),
        "another key": jwt.encode(claims, stranger, algorithm="RS256", headers={"kid": KEY_ID}),
        "unknown kid": jwt.encode(claims, credentials.key, algorithm="RS256", headers={"kid": "../../etc/passwd"}),
        "own jwk": jwt.encode(claims, stranger, algorithm="RS256", headers={"jwk": {"kty": "RSA", "n": "AQ", "e": "AQAB"}}),
        "jku": jwt.encode(claims, stranger, algorithm="RS256", headers={"kid": KEY_ID, "jku": "http://10.77.0.1/k"}),
        "expired": credentials.token(user, lifetime_s=-120),
        "not yet valid": credentials.token(user, nbf=now + 600),
        "wrong issuer": credentials.token(user, iss="elsewhere"),
        "wrong audience": credentials.token(user, aud="elsewhere"),
        "no expiry": credentials.token(user, exp=None),
        "no subject": credentials.token(user, sub=None),
        "signature cut": good[:-10],
        "signature of another": good.rsplit(".", 1)[0] + "." + credentials.token("x").rsplit(".", 1)[1],
        "crit": jwt.encode(claims, credentials.key, algorithm="RS256", headers={"kid": KEY_ID, "crit": ["x"], "x": 1}),
        "garbage": "a.b.c",
        "empty": "",
        "huge": "a" * 9000,
    }  # fmt: skip


def test_forged_tokens_are_nobody(sluice, application, credentials, client, http, user):
    source = client.fresh_ipv4()
    forged = forged_tokens(credentials, user)
    connection = http(source=source)
    for number, (case, token) in enumerate(forged.items(), 1):
        answer = connection.request("GET", "/api/items", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 200 and answer.json()["user"] is None, case
        assert used_by_address(sluice, source) == number, f"{case}: counted against the address"
    assert set(used(sluice, user).values()) == {0}
    assert application.reached(user) == 0
    wait_until(
        lambda: [r for r in sluice.log("auth") if r["event"]["outcome"] == "failure" and r["client"]["ip"] == source],
        3, "rejected tokens are in the authentication log",
    )  # fmt: skip


def test_two_credentials_are_ambiguous(sluice, application, credentials, client, user):
    before = application.counts()["total"]
    request = b"GET /api/items HTTP/1.1\r\n" + HOST + b"Connection: close\r\n"
    for name in (user, user + "-b"):
        request += f"Authorization: Bearer {credentials.token(name)}\r\n".encode()
    assert statuses(exchange(client, request + b"\r\n")) == [400]
    assert application.counts()["total"] == before


SPOOFED_FIELDS = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP")


def test_forged_forwarding_fields_of_strangers_are_ignored(start_sluice, application, client, http):
    limits = [{"name": "ip", "per": "ip", "when": "anonymous", "rate": "30/h"}]
    sluice = start_sluice(merged(starguide_policy(), {"limits": limits}))
    source = client.fresh_ipv4()
    connection = http(source=source)
    for number in range(30):
        name = SPOOFED_FIELDS[number % len(SPOOFED_FIELDS)]
        value = f"for=203.0.113.{number}" if name == "Forwarded" else f"203.0.113.{number}"
        assert connection.request("GET", "/api/items", headers={name: value}).status == 200
    refused(connection.request("GET", "/api/items", headers={"X-Forwarded-For": "203.0.113.99"}), "ip")
    assert used_by_address(sluice, source) == 30
    assert used_by_address(sluice, "203.0.113.0") == 0


def test_trusted_proxy_is_believed_from_the_right(start_sluice, application, attacker, http):
    limits = [{"name": "ip", "per": "ip", "when": "anonymous", "rate": "10/h"}]
    changes = {"limits": limits, "trusted_proxies": [f"{attacker.ipv4}/32", "192.0.2.0/24"]}
    sluice = start_sluice(merged(starguide_policy(), changes))
    proxy = http(attacker)
    for number in range(10):  # the client may write what it likes to the left
        chain = f"198.51.100.{number}, 203.0.113.5, 192.0.2.9"
        assert proxy.request("GET", "/api/items", headers={"X-Forwarded-For": chain}).status == 200
    refused(proxy.request("GET", "/api/items", headers={"X-Forwarded-For": "1.1.1.1, 203.0.113.5"}), "ip")
    assert proxy.request("GET", "/api/items", headers={"X-Forwarded-For": "203.0.113.6"}).status == 200
    mapped = {"X-Forwarded-For": "::ffff:203.0.113.5"}
    refused(proxy.request("GET", "/api/items", headers=mapped), "ip")  # another notation of the same address
    assert used_by_address(sluice, attacker.ipv4) == 0


def test_pipelined_requests_are_each_counted(sluice, application, client, credentials, user):
    request = f"GET /api/items HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {credentials.token(user)}\r\n\r\n".encode()
    last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer = exchange(client, request * 19 + last, wait=5)
    assert statuses(answer) == [200] * 20
    assert used(sluice, user)["user"] == 20
    assert application.reached(user) == 20


def test_application_counts_are_out_of_reach(sluice, client, http):
    assert http().request("GET", "/__counts").status == 404


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_methods_that_are_not_for_gateways(sluice, application, client, method):
    before = application.counts()["total"]
    target = b"edge:80" if method == "CONNECT" else b"/api/items"
    answer = exchange(client, method.encode() + b" " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert statuses(answer) == [405]
    assert application.counts()["total"] == before


def test_login_guessing_is_slowed(sluice, application, client, http):
    anonymous = http(source=client.fresh_ipv4())
    guess = ("POST", "/api/auth/login", {"username": "ada", "password": "guess"})
    spend(anonymous, 20, guess, status=401)
    refused(anonymous.request(*guess), "login")
    wait_until(
        lambda: [r for r in sluice.log("auth") if r["event"]["action"] == "login" and r["event"]["outcome"] == "failure"],
        3, "failed logins are in the authentication log",
    )  # fmt: skip
    assert send(anonymous, 1, items()) == {200: 1}
