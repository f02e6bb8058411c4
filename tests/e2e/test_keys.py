"""Keys and quotas changed on a live host: a rotated JWKS, a new API key, an override that ends by itself."""

from __future__ import annotations

import hashlib
import json
import time

import pytest
import yaml
from calls import chat, items, refused, spend, used, used_by_address
from lab.credentials import Credentials
from lab.process import wait_until


@pytest.fixture
def sluice(start_sluice, application):
    return start_sluice()


def test_rotated_jwks_is_followed(sluice, network, credentials, client, http, user, tmp_path):
    """The new key is in force without a restart; the old one stays as long as the file has it, and no longer."""
    fresh = Credentials(tmp_path / "fresh")
    old_key = json.loads(credentials.jwks.read_text())["keys"][0]
    new_key = json.loads(fresh.jwks.read_text())["keys"][0] | {"kid": "next"}
    file = sluice.policy_folder / "jwks.json"
    new_token = fresh.token(user, key_id="next")
    by_new = http(source=client.fresh_ipv4(), headers={"Authorization": f"Bearer {new_token}"})
    by_old = http(headers=credentials.bearer(user))

    def counts_for_user(connection):
        before = used(sluice, user)["user"]
        connection.request(*items())
        return used(sluice, user)["user"] == before + 1

    assert not counts_for_user(by_new) and counts_for_user(by_old)
    file.write_text(json.dumps({"keys": [old_key, new_key]}))
    wait_until(lambda: counts_for_user(by_new), 5, "the new key is in force")
    assert counts_for_user(by_old)
    file.write_text(json.dumps({"keys": [new_key]}))
    wait_until(lambda: not counts_for_user(by_old), 5, "the old key is gone")
    assert counts_for_user(by_new)


def test_broken_jwks_leaves_the_old_keys_in_force(sluice, credentials, http, user):
    known = http(headers=credentials.bearer(user))
    (sluice.policy_folder / "jwks.json").write_text('{"keys": [{"kty": "RSA"')
    wait_until(lambda: sluice.admin.get("/v1/policy")["file_problem"], 5, "the fault is shown")
    spend(known, 3, items())
    assert used(sluice, user)["user"] == 3


def test_new_api_key_is_followed(sluice, client, http, user):
    key = "sk-brand-new-0123456789"
    device = http(source=client.fresh_ipv4(), headers={"X-API-Key": key})
    spend(device, 1, items())
    assert used_by_address(sluice, device.source) == 1
    entry = {"user": user, "sha256": hashlib.sha256(key.encode()).hexdigest()}
    (sluice.policy_folder / "keys.yaml").write_text(yaml.safe_dump({"keys": [entry]}))

    def known():
        device.request(*items())
        return used(sluice, user)["user"] > 0

    wait_until(known, 5, "the new key names its user")


def test_quota_override_ends_by_itself(sluice, credentials, http, user):
    known = http(headers=credentials.bearer(user))
    assert sluice.ctl("quota", "set", user, "ai", "2/h", "--for", "2s").returncode == 0
    spend(known, 2, chat())
    refused(known.request(*chat()), "ai")
    time.sleep(2.2)
    spend(known, 98, chat())
    refused(known.request(*chat()), "ai")


def test_quota_raised_and_reset(sluice, application, credentials, http, user):
    known = http(headers=credentials.bearer(user))
    spend(known, 100, chat())
    refused(known.request(*chat()), "ai")
    assert sluice.ctl("quota", "set", user, "ai", "120/h").returncode == 0
    spend(known, 20, chat())
    refused(known.request(*chat()), "ai")
    assert sluice.ctl("quota", "reset", user).returncode == 0
    assert set(used(sluice, user).values()) == {0}
    spend(known, 120, chat())
    refused(known.request(*chat()), "ai")
    assert application.reached(user, "/api/ai/") == 240
