"""scripts/run --interface … --upstream …, on a host of the lab: a network namespace with folders of its own."""

from __future__ import annotations

import os
import signal
import subprocess

from calls import items, send
from lab.edge import ROOT
from lab.process import wait_until

# /run, /var/lib, /var/log and /etc/sluice of this host are not the test's to write: each gets an empty one on top.
PRIVATE = (
    "set -e; mkdir -p /var/lib/sluice /var/log/sluice /run/sluice; "
    "for d in /var/lib/sluice /var/log/sluice /run/sluice; do mount -t tmpfs tmpfs $d; done; "
    'exec "$@"'
)


def test_own_interface_and_application(network, start_sluice, application, client, http, attacker, flood):
    start_sluice.end()
    arguments = ["--interface", "eth0", "--upstream", "127.0.0.1:8000", "--listen", "10.77.0.1:8080"]
    inside = ["unshare", "--mount", "sh", "-c", PRIVATE, "sh", str(ROOT / "scripts" / "run"), *arguments]
    process = subprocess.Popen(network.edge.enter(*inside), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               start_new_session=True)  # fmt: skip
    try:
        connection = http()

        def serves():
            assert process.poll() is None, process.stdout.read()
            try:
                return connection.request(*items()).status == 200
            except OSError:
                return False

        wait_until(serves, 30, "served through Sluice")
        assert "xdp" in network.edge.ip("link", "show", "eth0").stdout
        # The mission's limits hold, for addresses: no one issues tokens here.
        abuser = http(source=client.fresh_ipv4())
        assert send(abuser, 1000, items()) == {200: 1000}
        assert abuser.request(*items()).status == 429
        flood(attacker, "udp", 20_000, 20_000)
        try:
            http(attacker, timeout=1).request(*items())
            raise AssertionError("the flood's source was not banned")
        except OSError:
            pass
    finally:
        os.kill(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    for told in ("policy", "config", "state", "logs", "Ctrl-C"):
        assert told in output
    assert "xdp" not in network.edge.ip("link", "show", "eth0").stdout
