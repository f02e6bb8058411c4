"""sluicectl capture: example packets of a source with the verdict on them, in a file that other tools read."""

from __future__ import annotations

import collections
import json
import signal
import struct
import subprocess
import time

import pytest
from lab.edge import binary, merged, starguide_policy
from lab.process import wait_until

UDP = {"limits": [{"name": "udp", "count": "udp", "rate": "100/s", "burst": 100}], "ban": None, "syn_cookies": "off"}


@pytest.fixture
def sluice(start_sluice):
    return start_sluice(merged(starguide_policy(), {"kernel": UDP}))


@pytest.fixture
def capture(sluice, network):
    """capture(SOURCE, *options): the verb in the background, once the daemon has begun; (process, file)."""
    running = []

    def begun():
        return sum(record["event"]["action"] == "capture-started" and record["event"]["outcome"] == "success"
                   for record in sluice.log("audit"))  # fmt: skip

    def run(source, *options):
        before, file = begun(), sluice.folder / f"capture-{len(running)}.pcapng"
        command = [str(binary("sluicectl")), "--socket", str(sluice.socket), "capture", source, "-w", str(file), *options]
        process = subprocess.Popen(network.edge.enter(*command), stderr=subprocess.PIPE, text=True)
        running.append(process)
        wait_until(lambda: begun() > before or process.poll() is not None, 5, "the capture has begun")
        time.sleep(0.1)  # its answer is on the way, too
        return process, file

    yield run
    for process in running:
        process.kill()
        process.communicate()


def options_of(body, offset):
    options = {}
    while True:
        code, length = struct.unpack_from("<HH", body, offset)
        if code == 0:
            assert offset + 4 == len(body)
            return options
        options[code] = body[offset + 4 : offset + 4 + length]
        offset += 4 + (length + 3) // 4 * 4


def read_pcapng(data):
    """Its interfaces and packets: (interface, time in ns, frame length, bytes, comment as a dict)."""
    interfaces, packets, offset, kinds = [], [], 0, []
    while offset < len(data):
        kind, length = struct.unpack_from("<II", data, offset)
        assert length % 4 == 0 and data[offset + length - 4 : offset + length] == data[offset + 4 : offset + 8]
        body = data[offset + 8 : offset + length - 4]
        offset += length
        kinds.append(kind)
        if kind == 1:
            assert struct.unpack_from("<H", body)[0] == 1, "Ethernet"
            described = options_of(body, 8)
            assert described[9] == b"\x09", "nanoseconds"
            interfaces.append(described[2].decode())
        elif kind == 6:
            number, high, low, captured, frame = struct.unpack_from("<IIIII", body)
            comment = options_of(body, 20 + (captured + 3) // 4 * 4)[1].decode()
            words = dict(word.split("=") for word in comment.split())
            packets.append((interfaces[number], (high << 32) + low, frame, body[20 : 20 + captured], words))
    assert kinds[0] == 0x0A0D0D0A and kinds[-1] == 5, "a section that is whole"
    return interfaces, packets


def tcpdump(network, file):
    done = subprocess.run(network.edge.enter("tcpdump", "-nn", "-r", str(file)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_packets_with_verdict_and_reason(sluice, network, attacker, client, flood, capture):
    process, file = capture(attacker.ipv4, "--packets", "300", "--for", "20s", "--snap", "100")
    flood(client, "udp", 200, 2_000)  # another source's packets are nobody's business
    flood(attacker, "udp", 2_000, 4_000, payload=200)
    assert process.wait(timeout=10) == 0, process.stderr.read()
    assert "300 packets" in process.stderr.read()
    interfaces, packets = read_pcapng(file.read_bytes())
    assert interfaces == ["eth0"]
    assert len(packets) == 300
    source = bytes(map(int, attacker.ipv4.split(".")))
    now = time.time_ns()
    for _, stamp, frame, data, _ in packets:
        assert data[26:30] == source
        assert len(data) == 100 and frame == 14 + 20 + 8 + 200
        assert now - 60_000_000_000 < stamp <= now
    reasons = collections.Counter((words["verdict"], words["reason"]) for *_, words in packets)
    assert set(reasons) == {("pass", "passed"), ("drop", "limit_udp")}
    assert reasons[("pass", "passed")] >= 100  # the burst
    lines = tcpdump(network, file)
    assert len(lines) == 300 and all(attacker.ipv4 in line for line in lines)


@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_only_dropped_ones_to_standard_output(sluice, network, attacker, flood, family):
    source = attacker.ipv4 if family == 4 else f"fd00:77:{attacker.number:x}::/64"
    command = [str(binary("sluicectl")), "--socket", str(sluice.socket)]
    command += ["capture", source, "-w", "-", "--packets", "20", "--dropped"]
    process = subprocess.Popen(network.edge.enter(*command), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: sluice.log("audit")[-1]["event"]["action"] == "capture-started", 5, "begun")
    flood(attacker, "udp", 2_000, 4_000, family=family)
    data, message = process.communicate(timeout=10)
    assert process.returncode == 0, message
    assert message == b"20 packets\n"
    _, packets = read_pcapng(data)
    assert [words["reason"] for *_, words in packets] == ["limit_udp"] * 20


def test_its_time_ends_it_without_a_packet(sluice, network, attacker, capture):
    process, file = capture(attacker.ipv4, "--for", "1s")
    assert process.wait(timeout=6) == 0
    assert read_pcapng(file.read_bytes()) == (["eth0"], [])
    assert tcpdump(network, file) == []


def test_one_at_a_time_and_an_interrupt_keeps_what_came(sluice, attacker, flood, capture):
    process, file = capture(attacker.ipv4, "--packets", "10000", "--for", "5m")
    second = sluice.ctl("capture", attacker.ipv4, "-w", str(sluice.folder / "second"), timeout=10)
    assert second.returncode == 6 and "one at a time" in second.stderr
    assert not (sluice.folder / "second").exists()
    flood(attacker, "udp", 50, 1_000)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == 0
    assert "50 packets, interrupted" in process.stderr.read()
    assert file.read_bytes().count(b"reason=passed") == 50
    third = sluice.ctl("capture", attacker.ipv4, "-w", str(sluice.folder / "third"), "--for", "1s", timeout=10)
    assert third.returncode == 0, third.stderr  # at once


def test_neither_client_nor_daemon_leaves_one_behind_when_killed(sluice, attacker, capture):
    process, file = capture(attacker.ipv4, "--for", "5m")
    process.kill()
    process.wait(timeout=5)
    assert not file.exists()
    process, file = capture(attacker.ipv4, "--for", "5m")
    assert process.poll() is None, "the one before has ended with its client"
    sluice.kill()
    assert process.wait(timeout=5) == 5
    assert not file.exists() and not list(file.parent.glob(f"{file.name}*"))
    sluice.start()
    process, file = capture(attacker.ipv4, "--for", "1s")
    assert process.wait(timeout=6) == 0, "nor with the daemon"


def test_refusals_change_nothing(sluice, attacker):
    for body, named in [({}, "source"), ({"source": "x"}, "x"), ({"source": attacker.ipv4, "packets": 10_001}, "10000"),
                        ({"source": attacker.ipv4, "seconds": 301}, "300"),
                        ({"source": attacker.ipv4, "snap": 257}, "256")]:  # fmt: skip
        answer = sluice.admin.request("POST", "/v1/capture", body)
        assert answer.status == 400, answer.body
        assert named in json.loads(answer.body)["detail"]
