"""Bans: placed by the kernel at a flood, by escalation after refusals, by hand; visible, explained, lifted for good."""

from __future__ import annotations

import json
import time

import pytest
from calls import items, refused, send, spend
from lab.edge import merged, starguide_policy
from lab.process import wait_until

KERNEL = {
    "limits": [{"name": "udp", "count": "udp", "rate": "100/s", "burst": 100}],
    "ban": {"after": 1000, "within": "10s", "for": "60s"},
    "syn_cookies": "off",
}
REQUESTS = [{"name": "ip", "per": "ip", "when": "anonymous", "rate": "10/h"}]
ESCALATION = {"after": 20, "within": "60s", "for": "600s"}


def policy(**changes):
    base = {"kernel": KERNEL, "limits": REQUESTS, "escalation": ESCALATION}
    return merged(merged(starguide_policy(), base), changes)


@pytest.fixture
def sluice(start_sluice):
    return start_sluice(policy())


def source_of(client, family):
    return client.ipv4 if family == 4 else f"fd00:77:{client.number:x}::/64"


def blocked(http_connection):
    """Nothing comes back: not a refusal, not even a handshake."""
    http_connection.close()
    try:
        http_connection.request(*items())
    except OSError:
        return True
    return False


def ban_of(sluice, source):
    return wait_until(lambda: sluice.bans().get(source), 3, f"ban of {source} in {sorted(sluice.bans())}")


@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_kernel_bans_at_a_flood(sluice, attacker, client, flood, http, family):
    before = sluice.packets()
    flood(attacker, "udp", 20_000, 20_000, family=family)
    ban = ban_of(sluice, source_of(attacker, family))
    assert ban["origin"] == "kernel"
    assert ban["reason"] == "limit_udp"
    assert 30 < ban["expires_in_s"] <= 60
    wait_until(lambda: sluice.packets()["banned"] - before.get("banned", 0) > 15_000, 3, "packets counted as banned")
    address = "10.77.0.1" if family == 4 else "fd00:77::1"
    assert blocked(http(attacker, address=address, timeout=1))
    assert http(client, address=address).request(*items()).status == 200


def test_lift_is_confirmed_and_works_at_once(sluice, attacker, flood, http):
    flood(attacker, "udp", 5_000, 20_000)
    ban_of(sluice, attacker.ipv4)
    connection = http(attacker, timeout=1)
    assert blocked(connection)
    done = sluice.ctl("ban", "lift", attacker.ipv4)
    assert done.returncode == 0, done.stderr
    assert attacker.ipv4 not in sluice.bans()
    connection.timeout = 5
    assert connection.request(*items()).status == 200
    again = sluice.ctl("ban", "lift", attacker.ipv4)
    assert again.returncode == 3, again.stderr  # not found


def abuse(connection):
    """Goes on after its 429s until nothing comes back any more; how many 429s there were."""
    statuses = send(connection, 10, items())
    assert statuses == {200: 10}
    denials = 0
    for _ in range(200):
        try:
            answer = connection.request(*items())
        except OSError:
            return denials
        assert answer.status == 429
        denials += 1
    return denials


@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_http_abuser_is_banned_in_the_kernel(sluice, application, attacker, client, http, family):
    address = "10.77.0.1" if family == 4 else "fd00:77::1"
    connection = http(attacker, address=address, timeout=1.5)
    denials = abuse(connection)
    assert 20 <= denials < 200
    source = source_of(attacker, family)
    ban = ban_of(sluice, source)
    assert ban["origin"] == "escalation"
    assert 500 < ban["expires_in_s"] <= 600
    listed = {entry["source"]: entry for entry in sluice.ctl_json("ban", "list")["bans"]}
    assert listed[source]["origin"] == "escalation"
    table = sluice.ctl("ban", "list", "--no-color").stdout
    assert source in table
    before = sluice.packets().get("banned", 0)
    assert blocked(http(attacker, address=address, timeout=1))
    wait_until(lambda: sluice.packets()["banned"] > before, 3, "dropped in the kernel")
    assert http(client, address=address).request(*items()).status == 200

    assert sluice.ctl("ban", "lift", source).returncode == 0
    assert source not in sluice.bans()
    answer = http(attacker, address=address).request(*items())
    refused(answer, "ip")  # its window is as full as it was: answered again, by the limit


def test_explain_says_that_a_source_is_banned(sluice, attacker):
    assert sluice.ctl("ban", "add", attacker.ipv4, "--for", "10m", "--reason", "drill").returncode == 0
    done = sluice.ctl("explain", "--ip", attacker.ipv4, "-o", "json")
    assert done.returncode == 0, done.stderr
    explained = json.loads(done.stdout)
    assert explained["reason"] == "banned" and explained["verdict"] != "admitted"


def test_ban_by_hand_and_its_expiry(sluice, attacker, http):
    connection = http(attacker, timeout=1)
    assert connection.request(*items()).status == 200
    done = sluice.ctl("ban", "add", attacker.ipv4, "--for", "3s", "--reason", "drill")
    assert done.returncode == 0, done.stderr
    ban = sluice.bans()[attacker.ipv4]
    assert ban["reason"] == "drill" and ban["origin"] == "operator" and ban["expires_in_s"] <= 3
    assert blocked(connection)
    time.sleep(3)
    connection.timeout = 5
    assert connection.request(*items()).status == 200
    wait_until(lambda: attacker.ipv4 not in sluice.bans(), 3, "an expired ban is not listed")


def test_ban_survives_a_restart(sluice, attacker, http):
    assert sluice.ctl("ban", "add", attacker.ipv4, "--for", "10m", "--reason", "drill").returncode == 0
    time.sleep(1.2)
    sluice.kill()
    sluice.start()
    assert attacker.ipv4 in sluice.bans()
    assert blocked(http(attacker, timeout=1))
    assert sluice.stop() == 0
    sluice.start()
    assert attacker.ipv4 in sluice.bans()
    assert blocked(http(attacker, timeout=1))


def test_trusted_proxy_is_never_banned(start_sluice, attacker, http):
    proxy, client_behind = attacker.ipv4, "203.0.113.7"
    sluice = start_sluice(policy(trusted_proxies=["127.0.0.0/8", f"{proxy}/32"]))
    behind = http(attacker, headers={"X-Forwarded-For": client_behind})
    spend(behind, 10, items())
    assert send(behind, 120, items()) == {429: 120}
    assert proxy not in sluice.bans()
    # Its own requests are its own, and as abusive; it stays all the same.
    own = http(attacker)
    spend(own, 10, items())
    assert send(own, 120, items()) == {429: 120}
    assert proxy not in sluice.bans()
    done = sluice.ctl("ban", "add", proxy, "--for", "1m", "--reason", "drill")
    assert done.returncode == 6, (done.returncode, done.stderr)


def test_trusted_proxy_is_not_banned_by_the_kernel(start_sluice, attacker, flood, http):
    sluice = start_sluice(policy(trusted_proxies=["127.0.0.0/8", f"{attacker.ipv4}/32"]))
    flood(attacker, "udp", 10_000, 20_000)
    time.sleep(1)
    assert attacker.ipv4 not in sluice.bans()
    assert http(attacker).request(*items()).status == 200


def test_allowed_source_is_never_banned(start_sluice, attacker, flood, http):
    sluice = start_sluice(policy(kernel={"allow": [attacker.ipv4]}))
    connection = http(attacker)
    spend(connection, 10, items())
    assert send(connection, 120, items()) == {429: 120}  # still limited, never banned
    flood(attacker, "udp", 10_000, 20_000)
    time.sleep(1)
    assert attacker.ipv4 not in sluice.bans()
    assert sluice.ctl("ban", "add", attacker.ipv4, "--for", "1m", "--reason", "drill").returncode == 6


def test_a_greedy_user_does_not_get_a_shared_address_banned(start_sluice, credentials, attacker, http, user):
    limits = [{"name": "user", "per": "user", "when": "authenticated", "rate": "10/h"}]
    sluice = start_sluice(policy(limits=limits))
    greedy = http(attacker, headers=credentials.bearer(user))
    neighbours = [http(attacker, headers=credentials.bearer(f"{user}-neighbour-{n}")) for n in range(2)]
    for neighbour in neighbours:
        spend(neighbour, 1, items())
    spend(greedy, 10, items())
    assert send(greedy, 120, items()) == {429: 120}
    for neighbour in neighbours:
        spend(neighbour, 1, items())
    assert attacker.ipv4 not in sluice.bans()


def test_wide_and_senseless_bans_are_refused(sluice):
    for source in ("0.0.0.0/0", "10.0.0.0/8", "::/0", "10.77.1.2/24", "nonsense", ""):
        done = sluice.ctl("ban", "add", source, "--for", "1m", "--reason", "drill")
        assert done.returncode in (2, 7), (source, done.returncode, done.stderr)
        assert done.stderr.strip()
    assert sluice.bans() == {}


def test_allowing_a_source_lifts_its_ban(sluice, attacker, flood, http):
    flood(attacker, "udp", 5_000, 20_000)
    ban_of(sluice, attacker.ipv4)
    sluice.write_policy(policy(kernel={"allow": [attacker.ipv4]}))
    wait_until(lambda: attacker.ipv4 not in sluice.bans(), 5, "an allowed source is not banned")
    assert http(attacker).request(*items()).status == 200


def told(sluice, action, source):
    records = [record for record in sluice.log("ban") if record["event"]["action"] == action]
    return [record["sluice"]["ban"] for record in records if record["sluice"]["ban"]["source"] == source]


def test_a_ban_is_told_when_it_begins_and_when_it_ends(sluice, attacker, flood):
    assert sluice.ctl("ban", "add", attacker.ipv4, "--for", "3s", "--reason", "drill").returncode == 0
    flood(attacker, "udp", 2_000, 2_000)
    ended = wait_until(lambda: told(sluice, "ban-ended", attacker.ipv4), 6, "the end is told")
    time.sleep(1.5)
    assert told(sluice, "ban-ended", attacker.ipv4) == ended and len(ended) == 1, "once"
    assert ended[0]["reason"] == "drill" and ended[0]["origin"] == "operator"
    assert 2_000 <= ended[0]["packets"] < 2_100
    assert len(told(sluice, "ban-began", attacker.ipv4)) == 1


def test_a_ban_of_the_kernels_that_a_policy_lifts_is_told(sluice, attacker, flood):
    flood(attacker, "udp", 5_000, 20_000)
    ban_of(sluice, attacker.ipv4)
    sluice.write_policy(policy(kernel={"allow": [attacker.ipv4]}))
    lifted = wait_until(lambda: told(sluice, "ban-lifted", attacker.ipv4), 5, "the lift is told")
    assert len(lifted) == 1 and lifted[0]["origin"] == "kernel" and lifted[0]["reason"] == "limit_udp"
    assert 3_000 < lifted[0]["packets"] < 5_000


def test_ban_ends_by_the_kernels_own_clock(sluice, network, attacker):
    """With the controller dead: pings of the banned source are answered again once its time is over."""
    port_free = policy(kernel={"ports": None})
    sluice.write_policy(port_free)

    def ping():
        return attacker.run("ping", "-c1", "-W1", "10.77.0.1", check=False).returncode == 0

    assert ping()
    assert sluice.ctl("ban", "add", attacker.ipv4, "--for", "4s", "--reason", "drill").returncode == 0
    wait_until(lambda: not ping(), 3, "banned, also for pings", every=0.2)
    sluice.kill()
    assert not ping()
    time.sleep(4)
    assert ping()
