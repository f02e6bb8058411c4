"""What was spent survives a restart and a kill -9; the start says what was recovered."""

from __future__ import annotations

import threading
import time

from calls import chat, items, refused, spend, used, voice


def test_clean_restart_loses_nothing(start_sluice, application, credentials, http, user):
    sluice = start_sluice()
    known = http(headers=credentials.bearer(user))
    spend(known, 60, chat())
    spend(known, 50, voice())
    known.close()
    assert sluice.stop() == 0
    sluice.start()
    assert used(sluice, user) == {"user": 110, "ai": 60, "voice": 50, "assessment": 0}
    spend(known, 40, chat("claude"))
    refused(known.request(*chat("gemini")), "ai")
    refused(known.request(*voice()), "voice")
    assert application.reached(user, "/api/ai/") == 100


def test_kill_9_after_a_second_loses_nothing(start_sluice, application, credentials, client, http, user):
    sluice = start_sluice()
    known = http(headers=credentials.bearer(user))
    source = client.fresh_ipv4()
    spend(known, 70, chat())
    spend(http(source=source), 30, items())
    time.sleep(1.5)
    sluice.kill()
    known.close()
    sluice.start()
    assert "recovered" in sluice.output().lower()
    assert used(sluice, user)["ai"] == 70
    spend(known, 30, chat())
    refused(known.request(*chat()), "ai")
    assert application.reached(user, "/api/ai/") == 100


def test_kill_9_loses_at_most_the_last_second(start_sluice, application, credentials, http, user):
    sluice = start_sluice()
    known = http(headers=credentials.bearer(user))
    admitted_at: list[float] = []
    killed = threading.Event()

    def keep_asking() -> None:
        while not killed.is_set():
            try:
                if known.request(*items()).status == 200:
                    admitted_at.append(time.monotonic())
            except Exception:  # the connection dies with the daemon
                return
            time.sleep(0.004)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    time.sleep(3)
    sluice.kill()
    died = time.monotonic()
    killed.set()
    asking.join()
    known.close()
    sluice.start()
    certain = sum(1 for at in admitted_at if at < died - 1.0)
    assert certain > 100
    assert certain <= used(sluice, user)["user"] <= len(admitted_at) + 1


def test_repeated_kills_corrupt_nothing(start_sluice, application, credentials, http, user):
    sluice = start_sluice()
    known = http(headers=credentials.bearer(user))
    spent = 0
    for pause in (0.0, 0.3, 0.7, 1.2):
        spend(known, 10, chat())
        spent += 10
        time.sleep(pause)
        sluice.kill()
        known.close()
        sluice.start()
        # What was lost, if anything, can be spent again; what was kept can't.
        kept = used(sluice, user)["ai"]
        assert kept <= spent
        spent = kept
    spend(known, 100 - spent, chat())
    refused(known.request(*chat()), "ai")


def test_quota_override_survives_a_restart(start_sluice, application, credentials, http, user):
    sluice = start_sluice()
    known = http(headers=credentials.bearer(user))
    assert sluice.ctl("quota", "set", user, "ai", "3/h").returncode == 0
    spend(known, 3, chat())
    refused(known.request(*chat()), "ai")
    known.close()
    time.sleep(1.2)
    sluice.kill()
    sluice.start()
    refused(known.request(*chat()), "ai")
    assert sluice.ctl("quota", "unset", user, "ai").returncode == 0
    spend(known, 97, chat())
    refused(known.request(*chat()), "ai")
