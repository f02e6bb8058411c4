"""Groups of ports through the daemon: a flood on one group's ports, what it tells, and a group that changes live."""

from __future__ import annotations

from calls import items
from lab.edge import merged, starguide_policy
from lab.process import wait_until
from lab.web import GATEWAY_PORT

GAME = 27015
LIMITS = [{"name": "packets", "count": "packets", "rate": "2000/s", "burst": 4000}]


def policy(rate="10/s", burst=20, **more):
    game = {"name": "game", "ports": [GAME], "limits": [{"name": "udp", "count": "udp", "rate": rate, "burst": burst}]}
    kernel = {"ports": [GATEWAY_PORT, game], "limits": LIMITS, "ban": None, "syn_cookies": "off", **more}
    return merged(starguide_policy(), {"kernel": kernel})


def test_a_flood_on_a_group_is_limited_told_and_stays_there(
    start_sluice, client, attacker, flood, http, credentials, user
):
    sluice = start_sluice(policy())
    flood(attacker, "udp", 5_000, 5_000, port=GAME)
    wait_until(lambda: sluice.packets().get("limit_udp", 0) >= 4_900, 3, "the group's limit drops")
    # The same source is within the limits of the other ports, and its flood counts for none of them.
    before = sluice.packets().get("limit_packets", 0)
    assert http(attacker, headers=credentials.bearer(user)).request(*items()).status == 200
    assert sluice.packets().get("limit_packets", 0) == before

    explained = sluice.ctl_json("explain", "--ip", attacker.ipv4)
    assert {limit["limit"] for limit in explained["kernel"]["limits"]} == {"packets", "game/udp"}
    maps = {dict(labels)["map"] for labels in sluice.metrics("sluice_bpf_map_capacity")}
    assert {"sources", "prefixes", "sources/game", "prefixes/game"} <= maps

    top = sluice.ctl_json("top", "--by", "drops", "--of", "prefixes")
    assert top[0]["prefix"] == attacker.ipv4.rsplit(".", 1)[0] + ".0/24"
    assert abs(top[0]["drops"] - 4_980) <= 3 * top[0]["error"], "two standard deviations, thrice"
    refused = sluice.ctl("top", "--by", "requests", "--of", "prefixes")
    assert refused.returncode != 0
    assert "of=prefixes" in refused.stderr


def test_a_group_changes_live(start_sluice, client, attacker, flood):
    sluice = start_sluice(policy())
    flood(attacker, "udp", 1_000, 5_000, port=GAME)
    wait_until(lambda: sluice.packets().get("limit_udp", 0) >= 900, 3, "the group's limit drops")
    sluice.write_policy(policy(rate="100000/s", burst=100_000))
    wait_until(lambda: sluice.status()["policy"]["generation"] >= 2, 5, "the policy is read")
    before = sluice.packets()
    flood(attacker, "udp", 1_000, 5_000, port=GAME)
    wait_until(lambda: sluice.packets()["passed"] >= before["passed"] + 1_000, 3, "another limit: all pass")
    assert sluice.packets()["limit_udp"] == before["limit_udp"]
