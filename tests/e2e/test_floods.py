"""M8: floods are dropped in XDP for the right reason, good clients notice nothing, every packet is counted once."""

from __future__ import annotations

import threading
import time

import pytest
from calls import items
from lab.edge import merged, starguide_policy
from lab.process import wait_until

LIMITS = [
    {"name": "packets", "count": "packets", "rate": "2000/s", "burst": 4000},
    {"name": "syn", "count": "tcp_syn", "rate": "100/s", "burst": 200},
    {"name": "udp", "count": "udp", "rate": "500/s", "burst": 500},
    {"name": "icmp", "count": "icmp", "rate": "50/s", "burst": 100},
]
COUNT, RATE = 20_000, 20_000
DROPS = ("malformed", "denied", "banned", "limit_packets", "limit_bytes", "limit_tcp_syn", "limit_udp", "limit_icmp",
         "limit_prefix", "syn_cookie")  # fmt: skip


def policy(**kernel):
    """Limits without a kernel ban, so that the reason counted is the limit's own."""
    return merged(starguide_policy(), {"kernel": {"limits": LIMITS, "ban": None, "syn_cookies": "off", **kernel}})


@pytest.fixture
def limited(_starter, application):
    return _starter.shared("floods", policy())


class GoodTraffic:
    """Polite requests meanwhile, one every 50 ms; every one must be served."""

    def __init__(self, http, credentials, user, address="10.77.0.1"):
        self.connection = http(headers=credentials.bearer(user), address=address, timeout=3)
        self.statuses, self.worst_s = [], 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.is_set():
            try:
                answer = self.connection.request(*items())
                self.statuses.append(answer.status)
                self.worst_s = max(self.worst_s, answer.seconds)
                if len(self.statuses) % 10 == 0:
                    self.connection.close()  # a new connection must get through as well
            except OSError as error:
                self.statuses.append(repr(error))
            self._stop.wait(0.05)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def check(self):
        assert len(self.statuses) >= 10
        assert set(self.statuses) == {200}, self.statuses
        assert self.worst_s < 2


def difference(after, before):
    return {reason: after[reason] - before.get(reason, 0) for reason in after if after[reason] != before.get(reason, 0)}


def counted(sluice, before, reason, at_least):
    """The counters are collected periodically: waits until they show it."""
    wait_until(lambda: difference(sluice.packets(), before).get(reason, 0) >= at_least, 3, f"{at_least} of {reason}")
    return difference(sluice.packets(), before)


@pytest.mark.parametrize("vlans", [(), (10,), (20, 30)], ids=["plain", "vlan", "qinq"])
@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("kind, reason", [("udp", "limit_udp"), ("syn", "limit_tcp_syn"), ("tcp-ack", "limit_packets")])
def test_flood_is_dropped(limited, attacker, flood, http, credentials, user, kind, reason, family, vlans):
    before = limited.packets()
    with GoodTraffic(http, credentials, user) as good:
        sent = flood(attacker, kind, COUNT, RATE, family=family, vlans=vlans)
    assert sent["sent"] == COUNT
    seconds = sent["seconds"]
    rate, burst = {"limit_udp": (500, 500), "limit_tcp_syn": (100, 200), "limit_packets": (2000, 4000)}[reason]
    allowed = burst + rate * seconds
    drops = counted(limited, before, reason, COUNT - allowed * 1.05 - 50)
    assert drops[reason] <= COUNT - burst  # and no more than it should
    assert not [other for other in DROPS if other != reason and drops.get(other, 0) > 0], drops
    good.check()


@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_good_client_of_the_same_family_is_served_meanwhile(limited, attacker, flood, http, credentials, user, family):
    address = "10.77.0.1" if family == 4 else "fd00:77::1"
    with GoodTraffic(http, credentials, user, address) as good:
        flood(attacker, "udp", 60_000, 30_000, family=family)
    good.check()


def test_bytes_are_limited(start_sluice, attacker, flood):
    limits = [{"name": "bytes", "count": "bytes", "rate": "100000/s", "burst": 200000}]
    sluice = start_sluice(policy(limits=limits))
    before = sluice.packets()
    flood(attacker, "udp", 2000, 4000, payload=1200)
    drops = counted(sluice, before, "limit_bytes", 1)
    allowed = (200_000 + 100_000 * 0.6) / 1242
    assert 2000 - allowed * 1.2 <= drops["limit_bytes"] <= 2000 - 200_000 / 1262 + 2


def test_icmp_flood_is_dropped(start_sluice, attacker, flood):
    sluice = start_sluice(policy(ports=None))
    for family in (4, 6):
        before = sluice.packets()
        flood(attacker, "icmp", 5000, 10_000, family=family)
        assert counted(sluice, before, "limit_icmp", 4500)["limit_icmp"] <= 4900


@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_fragment_flood_is_dropped(start_sluice, attacker, flood, family):
    sluice = start_sluice(policy(ports=None))
    before = sluice.packets()
    flood(attacker, "frag", COUNT, RATE, family=family)
    allowed = 4000 + 2000 * 1.5
    wait_until(
        lambda: sum(difference(sluice.packets(), before).get(reason, 0) for reason in DROPS) >= COUNT - allowed,
        3, f"fragments are dropped: {difference(sluice.packets(), before)}",
    )  # fmt: skip


@pytest.mark.parametrize("family, prefix", [(4, "10.77.200.0/24"), (6, "fd00:77:f000::/48")], ids=["ipv4", "ipv6"])
def test_flood_from_forged_sources_of_a_prefix(start_sluice, attacker, flood, http, credentials, user, family, prefix):
    prefix_limit = {"name": "neighbourhood", "count": "packets", "per": "prefix", "rate": "3000/s", "burst": 3000}
    sluice = start_sluice(policy(limits=[*LIMITS, prefix_limit]))
    before = sluice.packets()
    with GoodTraffic(http, credentials, user) as good:
        flood(attacker, "tcp-ack", COUNT, RATE, family=family, source=prefix)
    drops = counted(sluice, before, "limit_prefix", COUNT - 3000 - 3000 * 1.5)
    assert drops["limit_prefix"] <= COUNT - 3000
    good.check()


def test_unprotected_port_is_not_touched(limited, attacker, flood):
    before = limited.packets()
    flood(attacker, "udp", 5000, 20_000, port=9999)
    drops = counted(limited, before, "unprotected", 5000)
    assert not [reason for reason in DROPS if drops.get(reason, 0)], drops


def test_allowed_source_is_never_limited(start_sluice, attacker, flood):
    sluice = start_sluice(policy(allow=[attacker.ipv4, f"fd00:77:{attacker.number:x}::/64"]))
    for family in (4, 6):
        before = sluice.packets()
        flood(attacker, "udp", 5000, 20_000, family=family)
        drops = counted(sluice, before, "allowed", 5000)
        assert not [reason for reason in DROPS if drops.get(reason, 0)], drops
    assert sluice.bans() == {}


def test_denied_source_is_dropped(start_sluice, attacker, other_client, flood, http):
    sluice = start_sluice(policy(deny=[f"10.77.{attacker.number}.0/24", f"fd00:77:{attacker.number:x}::/64"]))
    for family in (4, 6):
        before = sluice.packets()
        flood(attacker, "udp", 3000, 20_000, family=family)
        assert counted(sluice, before, "denied", 3000)["denied"] >= 3000
    with pytest.raises(OSError):
        http(attacker, timeout=1).request(*items())
    assert http(other_client).request(*items()).status == 200


def test_shadow_mode_counts_and_lets_pass(start_sluice, attacker, flood):
    sluice = start_sluice(policy(mode="shadow"))
    before = sluice.packets()
    flood(attacker, "udp", 5000, 20_000)
    drops = counted(sluice, before, "shadow", 4000)
    assert not [reason for reason in DROPS if drops.get(reason, 0)], drops


def received(network):
    """Packets that eth0 of the edge received, by the interface's own count."""
    with network.edge.entered(), open("/proc/thread-self/net/dev", encoding="utf-8") as file:
        line = next(line for line in file if line.strip().startswith("eth0:"))
    return int(line.split(":")[1].split()[1])


def test_reasons_sum_to_the_packets_received(limited, network, attacker, flood, http, credentials, user):
    def settled():
        """The interface's count and the reasons' sum, once neither moves."""
        previous = None
        while True:
            now = (received(network), sum(limited.packets().values()))
            if now == previous:
                return now
            previous = now
            time.sleep(0.7)

    interface_before, reasons_before = settled()
    for kind in ("udp", "syn", "tcp-ack", "icmp", "frag"):
        for family in (4, 6):
            flood(attacker, kind, 3000, 20_000, family=family)
    flood(attacker, "udp", 3000, 20_000, vlans=(10,))
    flood(attacker, "udp", 3000, 20_000, vlans=(10, 20))
    known = http(headers=credentials.bearer(user))
    for _ in range(50):
        known.request(*items())
    known.close()
    interface, reasons = settled()
    assert interface - interface_before >= 36_000
    assert reasons - reasons_before == interface - interface_before
