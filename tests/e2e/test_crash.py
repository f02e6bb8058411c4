"""kill -9 under flood: the kernel goes on dropping, the restart adopts what is there, the counters go on."""

from __future__ import annotations

import time

import pytest
from calls import items
from lab.edge import merged, starguide_policy
from lab.process import wait_until

KERNEL = {
    "limits": [{"name": "udp", "count": "udp", "rate": "500/s", "burst": 500}],
    "ban": {"after": 1000, "within": "10s", "for": "60s"},
    "syn_cookies": "off",
}


def reaches_the_stack(network):
    """UDP datagrams that got through to the edge's network stack."""
    text = network.edge.run("cat", "/proc/net/snmp").stdout.splitlines()
    names, values = [line.split()[1:] for line in text if line.startswith("Udp:")]
    counters = dict(zip(names, map(int, values)))
    return counters["InDatagrams"] + counters["NoPorts"]


def test_kill_9_under_flood(start_sluice, network, attacker, client, flood, http, credentials, user):
    sluice = start_sluice(merged(starguide_policy(), {"kernel": KERNEL}))
    flood(attacker, "udp", 500_000, 15_000, background=True, duration=12)
    wait_until(lambda: sluice.packets().get("banned", 0) > 5_000, 5, "the flood is dropped")
    before = sluice.packets()
    sluice.kill()

    through = reaches_the_stack(network)
    time.sleep(2)
    assert reaches_the_stack(network) - through < 100, "packets got through while the controller was dead"

    sluice.start()
    after = sluice.packets()
    assert after["banned"] >= before["banned"] + 15_000, "what was dropped meanwhile is counted"
    assert all(after.get(reason, 0) >= count for reason, count in before.items())
    assert attacker.ipv4 in sluice.bans()
    assert "adopt" in sluice.output().lower()
    assert http(client, headers=credentials.bearer(user)).request(*items()).status == 200
    count = sluice.packets()["banned"]
    wait_until(lambda: sluice.packets()["banned"] > count + 5_000, 3, "counting goes on")


def test_clean_stop_detaches(start_sluice, network, attacker, flood):
    sluice = start_sluice(merged(starguide_policy(), {"kernel": KERNEL}))
    assert "xdp" in network.edge.ip("link", "show", "eth0").stdout
    assert sluice.stop() == 0
    assert "xdp" not in network.edge.ip("link", "show", "eth0").stdout


def test_on_exit_keep_keeps_dropping(start_sluice, network, attacker, flood):
    sluice = start_sluice(merged(starguide_policy(), {"kernel": KERNEL}), {"on_exit": "keep"})
    assert sluice.stop() == 0
    assert "xdp" in network.edge.ip("link", "show", "eth0").stdout
    through = reaches_the_stack(network)
    flood(attacker, "udp", 10_000, 20_000)
    assert reaches_the_stack(network) - through < 1_500
    shown = sluice.ctl("xdp", "show")
    assert shown.returncode == 0 and "eth0" in shown.stdout, shown.stderr
    detached = sluice.ctl("xdp", "detach")
    assert detached.returncode == 0, detached.stderr
    assert "xdp" not in network.edge.ip("link", "show", "eth0").stdout


def test_detach_works_with_the_daemon_dead(start_sluice, network):
    sluice = start_sluice()
    sluice.kill()
    assert "xdp" in network.edge.ip("link", "show", "eth0").stdout
    detached = sluice.ctl("xdp", "detach")
    assert detached.returncode == 0, detached.stderr
    assert "xdp" not in network.edge.ip("link", "show", "eth0").stdout
    sluice.start()
    assert "xdp" in network.edge.ip("link", "show", "eth0").stdout


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_xdp_mode_is_what_was_asked_and_said(start_sluice, network, attacker, flood, mode):
    sluice = start_sluice(merged(starguide_policy(), {"kernel": KERNEL}), {"xdp_mode": mode})
    interface = next(one for one in sluice.status()["interfaces"] if one["name"] == "eth0")
    assert mode in interface["mode"]
    assert ("xdpgeneric" in network.edge.ip("link", "show", "eth0").stdout) == (mode == "generic")
    flood(attacker, "udp", 20_000, 20_000)
    wait_until(lambda: sluice.packets().get("banned", 0) > 15_000, 3, f"dropped in {mode} mode")
