"""M1 to M5 and M7, to the exact request: the last one of a limit is admitted, the next is refused and never arrives."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

from calls import MODELS, PROBLEM_JSON, assessment, chat, counted, items, refused, send, spend, used, used_by_address, voice
from lab.netns import EDGE_IPV4, EDGE_IPV6


def test_m1_address_1000_an_hour(sluice, application, client, http):
    source = client.fresh_ipv4()
    before = application.reached("-", "/api/items")
    anonymous = http(source=source)
    spend(anonymous, 1000, items())
    for _ in range(5):
        refused(anonymous.request(*items()), "ip")
    assert application.reached("-", "/api/items") - before == 1000


def test_m1_ipv6_is_counted_by_its_64(sluice, application, client, http):
    client.ip("addr", "add", "fd00:77:aaaa::2/64", "dev", "eth0", "nodad")
    client.ip("addr", "add", "fd00:77:aaaa::3/64", "dev", "eth0", "nodad")
    first = http(address="fd00:77::1", source="fd00:77:aaaa::2")
    second = http(address="fd00:77::1", source="fd00:77:aaaa::3")
    spend(first, 500, items())
    spend(second, 500, items())
    refused(first.request(*items()), "ip")
    refused(second.request(*items()), "ip")


def test_m2_user_5000_an_hour(sluice, application, credentials, http, user):
    known = http(headers=credentials.bearer(user))
    spend(known, 5000, items())
    for _ in range(5):
        refused(known.request(*items()), "user")
    assert application.reached(user) == 5000


def test_m2_user_is_one_over_connections_addresses_and_tokens(sluice, application, credentials, client, http, user):
    first = http(headers=credentials.bearer(user))
    time.sleep(1.1)  # another second, another token
    second = http(source=client.fresh_ipv4(), headers=credentials.bearer(user))
    spend(first, 30, items())
    spend(second, 20, items())
    assert used(sluice, user)["user"] == 50


def test_m3_ai_100_an_hour_over_all_providers(sluice, application, credentials, http, user):
    known = http(headers=credentials.bearer(user))
    spend(known, 100, *(chat(provider) for provider in MODELS))
    for provider in MODELS:
        refused(known.request(*chat(provider)), "ai")
    assert application.reached(user, "/api/ai/") == 100
    assert counted(used(sluice, user), user=100, ai=100) is None
    assert known.request(*items()).status == 200  # nothing else is over


def test_m4_voice_50_an_hour(sluice, application, credentials, http, user):
    known = http(headers=credentials.bearer(user))
    spend(known, 50, voice())
    refused(known.request(*voice()), "voice")
    assert application.reached(user, "/api/voice/") == 50
    assert counted(used(sluice, user), user=50, voice=50) is None


def test_m5_assessments_200_an_hour(sluice, application, credentials, http, user):
    known = http(headers=credentials.bearer(user))
    spend(known, 200, assessment(1), assessment(2))
    refused(known.request(*assessment(3)), "assessment")
    assert application.reached(user, "/api/assessments/") == 200
    assert counted(used(sluice, user), user=200, assessment=200) is None


def test_tiers_are_counted_apart(sluice, application, credentials, http, user):
    known = http(headers=credentials.bearer(user))
    spend(known, 50, voice())
    spend(known, 100, chat("gemini"))
    refused(known.request(*voice()), "voice")
    refused(known.request(*chat("openai")), "ai")
    spend(known, 3, assessment())
    assert counted(used(sluice, user), user=153, ai=100, voice=50, assessment=3) is None


def test_refused_requests_consume_nothing(sluice, application, credentials, http, user):
    known = http(headers=credentials.bearer(user))
    spend(known, 50, voice())
    assert send(known, 60, voice()) == {429: 60}
    assert counted(used(sluice, user), user=50, voice=50) is None
    assert application.reached(user) == 50


def test_limit_is_exact_when_many_ask_at_once(sluice, application, credentials, client, other_client, http, user):
    """Twelve connections over two hosts and both families, so over every worker, for the last tokens at once."""
    connections = [
        http(host, address=address, headers=credentials.bearer(user))
        for host in (client, other_client)
        for address in (EDGE_IPV4, EDGE_IPV6)
        for _ in range(3)
    ]
    spend(connections[0], 60, chat())
    with ThreadPoolExecutor(len(connections)) as together:
        counts = list(together.map(lambda connection: send(connection, 8, chat("claude"), chat("gemini")), connections))
    assert sum(count[200] for count in counts) == 40
    assert sum(count[429] for count in counts) == 12 * 8 - 40
    assert application.reached(user, "/api/ai/") == 100
    assert counted(used(sluice, user), user=100, ai=100) is None


def test_one_user_does_not_pay_for_another(sluice, application, credentials, http, user):
    spend(http(headers=credentials.bearer(user)), 100, chat())
    refused(http(headers=credentials.bearer(user)).request(*chat()), "ai")
    assert http(headers=credentials.bearer(user + "-neighbour")).request(*chat()).status == 200


def test_anonymous_ai_request_is_counted_against_address_and_tier(sluice, application, client, http):
    anonymous = http(source=client.fresh_ipv4())
    spend(anonymous, 100, chat(), status=401)  # admitted; the application wants a user
    refused(anonymous.request(*chat()), "ai")
    assert used_by_address(sluice, anonymous.source) == 100


def test_invalid_credential_is_counted_against_the_address(sluice, application, client, credentials, http, user):
    source = client.fresh_ipv4()
    forged = {"Authorization": "Bearer " + credentials.token(user)[:-8] + "AAAAAAAA"}
    spend(http(source=source, headers=forged), 20, items())
    assert used_by_address(sluice, source) == 20
    assert used(sluice, user)["user"] == 0


def test_api_key_is_a_user(sluice, application, client, credentials, http):
    source = client.fresh_ipv4()
    device = http(source=source, headers={"X-API-Key": credentials.api_keys["device-1"]})
    before = used(sluice, "device-1")["user"]
    spend(device, 10, items())
    assert used(sluice, "device-1")["user"] - before == 10
    assert used_by_address(sluice, source) == 0


def test_every_method_counts(sluice, application, client, credentials, http, user):
    known = http(headers=credentials.bearer(user))
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"):
        known.request(method, "/api/items")
    assert used(sluice, user)["user"] == 6
    known.request("GET", "/api/ai/openai/chat", headers={"X-HTTP-Method-Override": "POST"})
    assert used(sluice, user)["ai"] == 1


def test_429_says_what_and_when(sluice, application, credentials, http, user):
    known = http(headers=credentials.bearer(user))
    spend(known, 50, voice())
    answer = known.request(*voice())
    refused(answer, "voice")
    assert answer["Content-Type"] == PROBLEM_JSON
    problem = answer.json()
    assert problem["status"] == 429 and problem["type"].startswith("https://iana.org/assignments/http-problem-types")
    assert problem["title"]
    wait = int(answer["Retry-After"])
    assert 3500 <= wait <= 3600
    assert answer["RateLimit-Policy"] == '"voice";q=50;w=3600'
    match = re.fullmatch(r'"voice";r=0;t=(\d+)', answer["RateLimit"])
    assert match and abs(int(match[1]) - wait) <= 1


def test_admitted_responses_tell_what_is_left(sluice, application, credentials, http, user):
    known = http(headers=credentials.bearer(user))
    for left in (99, 98):
        answer = known.request(*chat())
        policies = set(re.split(r",\s*", answer["RateLimit-Policy"]))
        assert policies == {'"user";q=5000;w=3600', '"ai";q=100;w=3600'}
        remaining = dict(re.findall(r'"(\w+)";r=(\d+)', answer["RateLimit"]))
        assert remaining == {"user": str(4900 + left), "ai": str(left)}
