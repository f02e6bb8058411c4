"""M9: the policy of a live host is changed atomically, checked first, reversibly, and nobody's connection notices."""

from __future__ import annotations

import json
import os
import re
import threading
import time

import pytest
import yaml
from calls import chat, items, refused, spend, used, voice
from lab.edge import merged, starguide_policy
from lab.process import wait_until


def with_rate(limit, rate, base=None):
    policy = base or starguide_policy()
    limits = [{**one, "rate": rate} if one["name"] == limit else one for one in policy["limits"]]
    return {**policy, "limits": limits}


def text_of(policy):
    return yaml.safe_dump(policy, sort_keys=False)


@pytest.fixture
def sluice(start_sluice):
    return start_sluice()


@pytest.fixture
def file_of(sluice):
    """Writes a policy beside the one in force, where the files it names are found, and returns its path."""

    def write(policy, name="candidate.yaml"):
        path = sluice.policy_folder / name
        path.write_text(policy if isinstance(policy, str) else text_of(policy), encoding="utf-8")
        return str(path)

    return write


def in_force(sluice):
    return sluice.admin.get("/v1/policy")["hash"]


def test_apply_takes_effect_and_keeps_what_was_spent(sluice, application, credentials, http, user, file_of):
    known = http(headers=credentials.bearer(user))
    spend(known, 10, chat())
    before = sluice.status()["policy"]
    done = sluice.ctl("policy", "apply", file_of(with_rate("ai", "12/h")), "--reason", "less AI")
    assert done.returncode == 0, done.stderr
    after = sluice.status()["policy"]
    assert after["hash"] != before["hash"] and after["generation"] > before["generation"]
    spend(known, 2, chat())  # on the same connection
    refused(known.request(*chat()), "ai")
    assert sluice.ctl("policy", "apply", file_of(with_rate("ai", "15/h"))).returncode == 0
    spend(known, 3, chat())
    refused(known.request(*chat()), "ai")
    assert application.reached(user, "/api/ai/") == 15
    assert used(sluice, user) == {"user": 15, "ai": 15, "voice": 0, "assessment": 0}


def test_policy_swaps_under_traffic_disturb_nobody(sluice, application, credentials, client, other_client, http, user, file_of):
    """Twenty swaps while several connections work: no error, no lost connection, no lost or doubled count."""
    roomy = with_rate("user", "10000000/h")  # however fast this machine is
    files = [file_of(with_rate("ai", f"{90 + n}/h", roomy), f"p{n}.yaml") for n in range(2)]
    assert sluice.ctl("policy", "apply", files[1]).returncode == 0
    stop, results, errors = threading.Event(), [0, 0, 0], []

    def work(slot, connection):
        socket = connection.connect().sock
        while not stop.is_set():
            try:
                answer = connection.request(*items())
                assert answer.status == 200, answer.body
                assert connection.connect().sock is socket, "the connection was closed"
                results[slot] += 1
            except Exception as error:  # reported below: a thread can't fail the test
                errors.append(repr(error))
                return

    connections = [
        http(client, headers=credentials.bearer(user)),
        http(other_client, headers=credentials.bearer(user)),
        http(client, address="fd00:77::1", headers=credentials.bearer(user)),
    ]
    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(connections)]
    for thread in threads:
        thread.start()
    packets_before = sluice.packets()
    for number in range(20):
        done = sluice.ctl("policy", "apply", files[number % 2])
        assert done.returncode == 0, done.stderr
        time.sleep(0.1)
    packets_after = sluice.packets()
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert min(results) > 50
    assert used(sluice, user)["user"] == sum(results) == application.reached(user)
    assert all(packets_after[reason] >= count for reason, count in packets_before.items())


def test_unconfirmed_policy_is_rolled_back(sluice, credentials, http, user, file_of):
    known = http(headers=credentials.bearer(user))
    before = in_force(sluice)
    done = sluice.ctl("policy", "apply", file_of(with_rate("voice", "2/h")), "--confirm-within", "2s")
    assert done.returncode == 0, done.stderr
    assert in_force(sluice) != before
    spend(known, 2, voice())
    refused(known.request(*voice()), "voice")
    wait_until(lambda: in_force(sluice) == before, 5, "the policy before is back")
    spend(known, 1, voice())
    outcomes = [entry["outcome"] for entry in sluice.admin.get("/v1/policy/history")["entries"]]
    assert any("roll" in outcome or "expired" in outcome for outcome in outcomes), outcomes


def test_confirmed_policy_stays(sluice, file_of):
    assert sluice.ctl("policy", "apply", file_of(with_rate("voice", "7/h")), "--confirm-within", "2s").returncode == 0
    applied = in_force(sluice)
    blocked = sluice.ctl("policy", "apply", file_of(with_rate("voice", "8/h")))
    assert blocked.returncode == 6, blocked.stderr  # one at a time
    assert sluice.ctl("policy", "confirm").returncode == 0
    time.sleep(2.5)
    assert in_force(sluice) == applied
    assert sluice.ctl("policy", "confirm").returncode == 6


def test_rollback_and_history(sluice, file_of):
    first = in_force(sluice)
    assert sluice.ctl("policy", "apply", file_of(with_rate("ai", "11/h")), "--reason", "drill one").returncode == 0
    second = in_force(sluice)
    assert sluice.ctl("policy", "apply", file_of(with_rate("ai", "12/h")), "--reason", "drill two").returncode == 0
    assert sluice.ctl("policy", "rollback").returncode == 0
    assert in_force(sluice) == second
    entries = sluice.ctl_json("policy", "history")["entries"]
    numbers = {entry["hash"]: entry["n"] for entry in entries}
    assert {first, second} <= set(numbers)
    assert {"drill one", "drill two"} <= {entry["reason"] for entry in entries}
    assert sluice.ctl("policy", "rollback", str(numbers[first])).returncode == 0
    assert in_force(sluice) == first
    assert sluice.ctl("policy", "rollback", "99999").returncode == 3
    assert in_force(sluice) == first


def test_check_and_diff_change_nothing(sluice, file_of):
    before = sluice.status()["policy"]
    same, other = file_of(starguide_policy(), "same.yaml"), file_of(with_rate("ai", "99/h"), "other.yaml")
    assert sluice.ctl("policy", "check", other).returncode == 0
    assert sluice.ctl("policy", "diff", same).returncode == 0
    different = sluice.ctl("policy", "diff", other)
    assert different.returncode == 1
    assert "99/h" in different.stdout and "100/h" in different.stdout
    assert sluice.ctl("policy", "diff", file_of("limits: [", "broken.yaml")).returncode > 1
    assert sluice.status()["policy"] == before


INVALID = {
    "syntax": ("name: x\nlimits: [\n", None),
    "unknown field": ("name: x\nlimitz: []\n", (2, 1)),
    "bad rate": ("name: x\nlimits:\n  - {name: ip, per: ip, rate: 10/parsec}\n", (3, 31)),
    "zero rate": ("name: x\nlimits:\n  - {name: ip, per: ip, rate: 0/h}\n", (3, 31)),
    "unknown scope": ("name: x\nlimits:\n  - {name: ip, per: planet, rate: 10/h}\n", (3, 21)),
    "unknown class": ("name: x\nlimits:\n  - {name: a, per: ip, class: nowhere, rate: 10/h}\n", (3, None)),
    "host bits": ("name: x\nkernel: {mode: enforce, deny: [192.0.2.1/24]}\n", (2, None)),
    "duplicate limit": (
        "name: x\nlimits:\n  - {name: a, per: ip, rate: 1/h}\n  - {name: a, per: ip, rate: 2/h}\n", (4, None)),
    "missing key file": ("name: x\nidentity: {jwt: {keys: nowhere.json, algorithms: [RS256]}}\n", (2, None)),
    "key file outside": ("name: x\nidentity: {jwt: {keys: ../../../../etc/passwd, algorithms: [RS256]}}\n", (2, None)),
    "algorithm none": ("name: x\nidentity: {jwt: {keys: jwks.json, algorithms: [none]}}\n", (2, None)),
    "binary": ("\x00\x01\x02", None),
    "empty": ("", None),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID)
def test_invalid_policy_is_refused_with_its_place(sluice, file_of, case):
    text, place = INVALID[case]
    before = sluice.status()["policy"]
    path = file_of(text)
    for verb in ("check", "apply"):
        done = sluice.ctl("policy", verb, path)
        assert done.returncode == 7, (done.returncode, done.stdout, done.stderr)
        message = done.stderr + done.stdout
        assert "candidate.yaml" in message
        if place:
            line, column = place
            assert re.search(rf"candidate\.yaml:{line}:{column or '[0-9]+'}", message), message
    assert sluice.status()["policy"] == before


def test_watched_file_is_followed(sluice, credentials, http, user):
    known = http(headers=credentials.bearer(user))
    spend(known, 3, chat())
    sluice.write_policy(with_rate("ai", "5/h"))
    wait_until(lambda: "5/h" in json.dumps(sluice.admin.get(f"/v1/quotas/{user}")), 5, "the file's change is in force")
    spend(known, 2, chat())
    refused(known.request(*chat()), "ai")


def test_watched_file_invalid_is_refused_and_told(sluice, credentials, http, user):
    before = in_force(sluice)
    sluice.write_policy("name: x\nlimits:\n  - {name: ip, per: ip, rate: often}\n")
    problem = wait_until(lambda: sluice.admin.get("/v1/policy")["file_problem"], 5, "the fault is shown")
    assert "policy.yaml:3:31" in problem
    assert in_force(sluice) == before
    wait_until(
        lambda: [record for record in sluice.log("audit") if "refused" in record["event"]["action"]],
        3, "the refusal is in the audit log",
    )  # fmt: skip
    assert http(headers=credentials.bearer(user)).request(*items()).status == 200
    sluice.write_policy(with_rate("ai", "77/h"))
    wait_until(lambda: in_force(sluice) != before, 5, "the repaired file is in force")


def test_watched_symlink_swap(start_sluice, credentials, http, user):
    """As configuration management and Kubernetes do it: the name stays, what it points to is swapped."""
    sluice = start_sluice.prepare()
    versions = [sluice.policy_folder / "v1.yaml", sluice.policy_folder / "v2.yaml"]
    for rate, version in zip(("21/h", "22/h"), versions):
        version.write_text(text_of(with_rate("ai", rate)), encoding="utf-8")
    sluice.policy_file.unlink()
    sluice.policy_file.symlink_to("v1.yaml")
    sluice.start()
    before = in_force(sluice)
    swapped = sluice.policy_folder / "next"
    swapped.symlink_to("v2.yaml")
    os.replace(swapped, sluice.policy_file)
    wait_until(lambda: in_force(sluice) != before, 5, "the swap is noticed")
    assert "22/h" in json.dumps(sluice.admin.get(f"/v1/quotas/{user}"))


def test_watched_deny_file(start_sluice, attacker, client, http):
    """A list that the policy names is part of it: a change of the list alone is a change of the policy."""
    sluice = start_sluice.prepare(merged(starguide_policy(), {"kernel": {"deny": [{"file": "deny.txt"}]}}))
    (sluice.policy_folder / "deny.txt").write_text("203.0.113.0/24\n", encoding="utf-8")
    sluice.start()
    assert http(attacker).request(*items()).status == 200
    (sluice.policy_folder / "deny.txt").write_text(f"203.0.113.0/24\n{attacker.ipv4}\n", encoding="utf-8")

    def denied():
        try:
            http(attacker, timeout=0.5).request(*items())
        except OSError:
            return True
        return False

    wait_until(denied, 5, "the new entry is in force")
    assert http(client).request(*items()).status == 200


def test_sighup_reloads(sluice, user):
    before = in_force(sluice)
    sluice.write_policy(with_rate("ai", "33/h"))
    sluice.process.send_signal(1)
    wait_until(lambda: in_force(sluice) != before, 3, "reloaded")


def test_applied_policy_survives_a_restart(sluice, file_of):
    assert sluice.ctl("policy", "apply", file_of(with_rate("ai", "44/h"))).returncode == 0
    applied = in_force(sluice)
    time.sleep(1.2)
    sluice.kill()
    sluice.start()
    assert in_force(sluice) == applied


def test_kernel_part_of_a_policy_is_swapped_too(sluice, attacker, flood, file_of):
    strict = [{"name": "udp", "count": "udp", "rate": "10/s", "burst": 10}]
    policy = merged(starguide_policy(), {"kernel": {"limits": strict, "ban": None}})
    flood(attacker, "udp", 400, 4000)
    time.sleep(1)
    assert sluice.packets().get("limit_udp", 0) == 0  # within the mission's burst
    assert sluice.ctl("policy", "apply", file_of(policy)).returncode == 0
    flood(attacker, "udp", 400, 4000)
    wait_until(lambda: sluice.packets().get("limit_udp", 0) >= 380, 3, "the new limit drops")
