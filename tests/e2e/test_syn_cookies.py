"""A SYN flood from forged addresses is answered in XDP; who really connects gets a connection with everything it asked for."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time

import pytest
from calls import items
from lab.edge import binary, merged, starguide_policy
from lab.netns import EDGE_IPV4, EDGE_IPV6
from lab.process import wait_until
from lab.web import GATEWAY_PORT

FORGED = {4: "10.99.0.0/16", 6: "fd00:77:99::/48"}
RATE = 5_000


def policy(syn_cookies="auto", **kernel):
    limits = [{"name": "syn", "count": "tcp_syn", "rate": "500/s", "burst": 1000}]
    return merged(
        starguide_policy(), {"kernel": {"limits": limits, "ban": None, "syn_cookies": syn_cookies, **kernel}}
    )


def tcp(network, file, group, name):
    """A counter of the edge's TCP, or a setting of it."""
    lines = network.edge.run("cat", f"/proc/net/{file}").stdout.splitlines()
    names, values = [line.split()[1:] for line in lines if line.startswith(group + ":")]
    return int(dict(zip(names, values))[name])


def scale_of(network):
    """What Linux makes of its own settings; the lab's hosts have the same."""
    numbers = network.edge.run("cat", "/proc/sys/net/ipv4/tcp_rmem").stdout.split()
    with contextlib.suppress(RuntimeError):
        numbers += network.edge.run("cat", "/proc/sys/net/core/rmem_max").stdout.split()
    return min(max(max(map(int, numbers[2:])).bit_length() - 16, 0), 14)


def setting(network, name):
    return int(network.edge.run("cat", f"/proc/sys/net/ipv4/{name}").stdout)


def state(sluice):
    return sluice.status()["syn_cookies"]


def agreed(connection):
    """What both ends of a connection agreed on, by the client's TCP_INFO: timestamps, SACK, window scaling."""
    options = connection.connect().sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[5]
    return {name for bit, name in ((1, "timestamps"), (2, "sack"), (4, "window scaling")) if options & bit}


def scale_at_the_edge(network, client, family):
    """The edge's own idea of its newest connection with this client: (theirs, ours), or None."""
    shown = network.edge.run("ss", "-tinH", "state", "established", f"( sport = :{GATEWAY_PORT} )").stdout.splitlines()
    told = [shown[i + 1] for i in range(len(shown) - 1) if client.address(family) in shown[i]]
    found = re.search(r"wscale:(\d+),(\d+)", told[-1]) if told else None
    return found and (int(found[1]), int(found[2]))


@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_good_clients_connect_during_a_forged_flood(
    start_sluice, network, client, attacker, flood, http, credentials, user, family
):
    sluice = start_sluice(policy())
    wait_until(lambda: state(sluice)["state"] == "ready", 3, "nothing to answer yet")
    assert setting(network, "tcp_syncookies") == 1
    flood(attacker, "syn", 500_000, RATE, family=family, source=FORGED[family], background=True, duration=20)
    wait_until(lambda: state(sluice)["state"] == "answering", 5, "the flood is noticed")
    assert state(sluice)["options_kept"]
    assert sluice.metrics("sluice_syn_cookies_active") == {frozenset(): 1}

    received = tcp(network, "netstat", "TcpExt", "SyncookiesRecv")
    failed = tcp(network, "netstat", "TcpExt", "SyncookiesFailed")
    address = EDGE_IPV4 if family == 4 else EDGE_IPV6
    quick, scale = 0, scale_of(network)
    for _ in range(20):
        connection = http(client, headers=credentials.bearer(user), address=address, timeout=10)
        begun = time.monotonic()
        assert connection.request(*items()).status == 200
        quick += time.monotonic() - begun < 0.9  # else a SYN was sent again
        assert agreed(connection) == {"timestamps", "sack", "window scaling"}
        assert scale_at_the_edge(network, client, family) == (scale, scale), "the kernel read what the answer said"
        connection.close()
    assert quick >= 18
    assert tcp(network, "netstat", "TcpExt", "SyncookiesRecv") - received >= 15, "of 20, a pilot or two apart"
    assert tcp(network, "netstat", "TcpExt", "SyncookiesFailed") == failed
    wait_until(lambda: sluice.packets()["syn_cookie"] > 1000, 10, "the flood goes on and is answered")
    assert sluice.packets().get("internal_error", 0) == 0
    wait_until(lambda: "syn_cookies_answering" in str(sluice.log("error")), 3, "the log says so")


def test_large_bodies_flow_at_full_window(start_sluice, network, client, http, credentials, user):
    """`always`, so that no flood is needed: bodies larger than an unscaled window."""
    sluice = start_sluice(policy("always"))
    wait_until(lambda: state(sluice)["state"] == "answering", 3, "answering without a flood")
    for _ in range(5):
        connection = http(client, headers=credentials.bearer(user), timeout=5)
        answer = connection.request("POST", "/api/voice/transcribe", body=b"x" * 900_000)
        assert (answer.status, answer.json()["bytes"]) == (200, 900_000)
        connection.close()
    assert sluice.packets()["syn_cookie"] >= 4


def test_what_tcp_was_told_is_taken_back(start_sluice, network, client, http, credentials, user):
    sluice = start_sluice(policy("always"))
    wait_until(lambda: state(sluice)["state"] == "answering", 3, "answering")
    assert (setting(network, "tcp_syncookies"), setting(network, "tcp_timestamps")) == (2, 2)
    sluice.write_policy(policy("off"))
    wait_until(lambda: state(sluice)["state"] == "off", 5, "the policy is read")
    assert http(client, headers=credentials.bearer(user)).request(*items()).status == 200
    wait_until(lambda: setting(network, "tcp_syncookies") == 1, 12, "restored once the last answers are history")
    assert setting(network, "tcp_timestamps") == 1

    sluice.write_policy(policy("always"))
    wait_until(lambda: state(sluice)["state"] == "answering", 5, "answering")
    assert sluice.stop() == 0
    assert (setting(network, "tcp_syncookies"), setting(network, "tcp_timestamps")) == (1, 1)


def test_a_dead_daemon_leaves_clients_connecting_and_detach_restores(
    start_sluice, network, client, http, credentials, user
):
    sluice = start_sluice(policy("always"))
    wait_until(lambda: state(sluice)["state"] == "answering", 3, "answering")
    listening = subprocess.Popen(
        network.edge.enter("socat", f"TCP4-LISTEN:8099,bind={EDGE_IPV4},fork,reuseaddr", "SYSTEM:echo here"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        sluice.write_policy(policy("always", ports=[GATEWAY_PORT, 8099]))
        wait_until(lambda: sluice.status()["policy"]["generation"] >= 2, 5, "the policy is read")
        sluice.kill()
        wait_until(lambda: "8099" in network.edge.run("ss", "-tlnH").stdout, 5, "it listens")
        for _ in range(5):
            with client.connect(EDGE_IPV4, 8099, timeout=5) as connection:
                assert connection.recv(100) == b"here\n"
        shown = subprocess.run(
            network.edge.enter(str(binary("sluicectl")), "xdp", "detach"), capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, shown.stderr
        assert "restored" in shown.stdout
        assert (setting(network, "tcp_syncookies"), setting(network, "tcp_timestamps")) == (1, 1)
    finally:
        listening.kill()
        listening.wait()


def test_a_setting_of_the_operators_is_respected_and_said(start_sluice, network, client, http, credentials, user):
    network.edge.sysctl("net/ipv4/tcp_syncookies", "0")
    try:
        sluice = start_sluice(policy("always"))
        wait_until(lambda: state(sluice)["state"] == "unavailable", 3, "unavailable")
        assert "tcp_syncookies is 0" in state(sluice)["why"]
        assert "tcp_syncookies is 0" in sluice.ctl("status").stdout
        assert http(client, headers=credentials.bearer(user)).request(*items()).status == 200
        assert sluice.packets().get("syn_cookie", 0) == 0
        assert setting(network, "tcp_syncookies") == 0
    finally:
        network.edge.sysctl("net/ipv4/tcp_syncookies", "1")
