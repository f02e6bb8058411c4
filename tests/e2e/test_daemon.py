"""sluiced as a program: what it checks, what it refuses, what it says, and its exit codes."""

from __future__ import annotations

import os
import subprocess

import pytest
import yaml
from calls import items
from lab.edge import ROOT, binary, merged, starguide_policy


def run(network, *arguments):
    command = network.edge.enter(str(binary("sluiced")), *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_check_accepts_a_good_configuration_and_starts_nothing(start_sluice, network):
    sluice = start_sluice.prepare()
    done = run(network, "--config", str(sluice.config_file), "--check")
    assert done.returncode == 0, done.stderr
    assert not sluice.socket.exists()
    assert "xdp" not in network.edge.ip("link", "show", "eth0").stdout


BAD_CONFIG = {
    "unknown key": ({"gatewya": {}}, "gatewya"),
    "unknown nested key": ({"gateway": {"uptsream": []}}, "uptsream"),
    "bad mode": ({"xdp_mode": "warp"}, "warp"),
    "bad listen": ({"gateway": {"listen": ["nowhere"]}}, "nowhere"),
    "bad port": ({"gateway": {"listen": ["127.0.0.1:99999"]}}, "99999"),
    "no upstream": ({"gateway": {"upstream": []}}, "upstream"),
    "no such policy": ({"policy": "/nowhere/policy.yaml"}, "/nowhere/policy.yaml"),
    "tokens missing": ({"admin": {"tokens": None}}, "tokens"),
    "no such certificate": ({"gateway": {"tls": {"certificate": "/nowhere.crt", "key": "/nowhere.key"}}}, "/nowhere.crt"),
    "bad number": ({"log": {"files": "many"}}, "log.files"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_CONFIG)
def test_bad_configuration_is_exit_2_and_names_the_fault(start_sluice, network, case):
    changes, named = BAD_CONFIG[case]
    sluice = start_sluice.prepare(None, changes)
    for extra in ([], ["--check"]):
        done = run(network, "--config", str(sluice.config_file), *extra)
        assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
        assert named in done.stderr
        assert "xdp" not in network.edge.ip("link", "show", "eth0").stdout


def test_configuration_faults_name_line_and_column(start_sluice, network):
    sluice = start_sluice.prepare()
    sluice.config_file.write_text("interfaces: [eth0]\nxdp_mode: warp\n", encoding="utf-8")
    done = run(network, "--config", str(sluice.config_file), "--check")
    assert done.returncode == 2
    assert "sluiced.yaml:2:11" in done.stderr, done.stderr
    assert "native" in done.stderr  # what would be right


@pytest.mark.parametrize("arguments", [
    ["--nonsense"], ["--config"], ["--config", "/nowhere.yaml"], ["--listen", "x"], ["--xdp-mode", "warp"],
    ["--ledger", "floppy:/dev/fd0"],
])  # fmt: skip
def test_bad_command_line_is_exit_2(network, arguments):
    done = run(network, *arguments)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stderr.strip()


def test_invalid_policy_is_exit_2_with_its_place(start_sluice, network):
    sluice = start_sluice.prepare("name: x\nlimits:\n  - {name: ip, per: ip, rate: often}\n")
    done = run(network, "--config", str(sluice.config_file))
    assert done.returncode == 2
    assert "policy.yaml:3:31" in done.stderr


def test_flags_go_before_the_file(start_sluice, network):
    sluice = start_sluice.prepare()
    done = run(network, "--config", str(sluice.config_file), "--upstream", "broken", "--check")
    assert done.returncode == 2 and "broken" in done.stderr
    assert run(network, "--config", str(sluice.config_file), "--interface", "lo", "--check").returncode == 0


def test_help_and_version(network):
    for flag in ("--help", "--version"):
        done = run(network, flag)
        assert done.returncode == 0 and done.stdout.strip()
    assert "--xdp-mode" in run(network, "--help").stdout


def test_unknown_interface_is_a_clear_failure(start_sluice, network):
    sluice = start_sluice.prepare(None, {"interfaces": ["eth7"]})
    done = run(network, "--config", str(sluice.config_file))
    assert done.returncode in (1, 2)
    assert "eth7" in done.stderr
    checked = run(network, "--config", str(sluice.config_file), "--check")
    assert checked.returncode == 2
    assert "eth7: no such interface" in checked.stderr


def test_without_root_it_says_what_it_needs(start_sluice, network):
    if not all(os.stat(path).st_mode & 0o001 for path in [ROOT, *ROOT.parents]):
        pytest.skip("the tree is in a folder that other users can't enter")
    sluice = start_sluice.prepare(None, {"admin": {"listen": None, "tokens": None}})
    for path in [sluice.folder, sluice.policy_folder, *sluice.policy_folder.iterdir(), sluice.config_file]:
        os.chown(path, 65534, 65534)
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", str(binary("sluiced"))]
    command = network.edge.enter(*nobody, "--config", str(sluice.config_file))
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert any(word in done.stderr for word in ("CAP_BPF", "CAP_NET_ADMIN", "root")), done.stderr


def test_a_second_instance_refuses(start_sluice, network, application, http):
    sluice = start_sluice()
    done = run(network, "--config", str(sluice.config_file))
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "in use" in done.stderr or "already" in done.stderr or "another" in done.stderr, done.stderr
    assert http().request(*items()).status == 200
    assert sluice.status()["state"]
    assert "xdp" in network.edge.ip("link", "show", "eth0").stdout


def test_requests_only_without_interfaces(start_sluice, network, application, http):
    sluice = start_sluice(None, {"interfaces": []})
    assert http().request(*items()).status == 200
    assert sluice.status()["interfaces"] == []
    assert "xdp" not in network.edge.ip("link", "show", "eth0").stdout


def test_ready_is_told_to_systemd(start_sluice, network, tmp_path):
    import socket

    sluice = start_sluice.prepare()
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(path)
        notified.settimeout(10)
        command = network.edge.enter(str(binary("sluiced")), "--config", str(sluice.config_file))
        process = subprocess.Popen(command, env={**os.environ, "NOTIFY_SOCKET": path}, stderr=subprocess.DEVNULL)
        try:
            assert b"READY=1" in notified.recv(4096)
            assert sluice.admin.request("GET", "/livez").status == 200
        finally:
            process.terminate()
            assert process.wait(20) == 0


def test_shipped_policies_are_valid(start_sluice, network, tmp_path):
    for policy in sorted((ROOT / "policies").glob("*.yaml")):
        sluice = start_sluice.prepare(None, {"policy": str(policy)})
        done = run(network, "--config", str(sluice.config_file), "--check")
        assert done.returncode == 0, done.stderr


def test_sluicectl_exit_codes(start_sluice, tmp_path):
    sluice = start_sluice()
    assert sluice.ctl("status").returncode == 0
    assert sluice.ctl("no-such-verb").returncode == 2
    assert sluice.ctl("ban", "lift", "203.0.113.200").returncode == 3
    assert sluice.ctl("quota", "set", "ada", "nolimit", "5/h").returncode == 3
    assert sluice.ctl("quota", "set", "ada", "ai", "five").returncode == 7
    assert sluice.ctl("policy", "check", str(tmp_path / "nowhere.yaml")).returncode in (2, 3, 7)
    for verb in (["status"], ["top"], ["ban", "list"], ["health"], ["quota", "show", "ada"], ["policy", "show"],
                 ["policy", "history"], ["explain", "--ip", "203.0.113.1"], ["xdp", "show"]):  # fmt: skip
        table, as_json = sluice.ctl(*verb), sluice.ctl(*verb, "-o", "json")
        assert table.returncode == as_json.returncode == 0, (verb, table.stderr, as_json.stderr)
        assert table.stdout.strip()
        yaml.safe_load(as_json.stdout)
    assert sluice.stop() == 0
    assert sluice.ctl("status").returncode == 5


def test_explain_counts_nothing_and_says_why(start_sluice, client, http):
    sluice = start_sluice(merged(starguide_policy(), {}))
    asked = ("explain", "--ip", client.ipv4, "--method", "POST", "--path", "/api/ai/openai/chat")
    first, second = sluice.ctl_json(*asked), sluice.ctl_json(*asked)
    assert first == second
    assert first["route"] == "ai_openai" and first["class"] == "ai"
    assert {charge["limit"] for charge in first["charges"]} == {"ip", "ai"}
    assert all(charge["used"] == 0 for charge in first["charges"])
