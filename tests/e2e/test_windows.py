"""Trailing windows as a client sees them: never more than the limit in any of them, and Retry-After keeps its word."""

from __future__ import annotations

import time

import pytest
from calls import items, refused, spend
from lab.edge import merged, starguide_policy


@pytest.fixture
def quick(start_sluice):
    """20 requests in any 2 seconds for an address; no escalation, which would end the test's own connection."""
    limits = [{"name": "ip", "per": "ip", "when": "anonymous", "rate": "20/2s"}]
    return start_sluice(merged(starguide_policy(), {"limits": limits, "escalation": None}))


def test_no_trailing_window_admits_more_than_the_limit(quick, client, http):
    anonymous = http(source=client.fresh_ipv4())
    admitted = []
    end = time.monotonic() + 9
    while time.monotonic() < end:
        before = time.monotonic()
        if anonymous.request(*items()).status == 200:
            admitted.append((before, time.monotonic()))
        time.sleep(0.005)
    for number, (_, first_answered) in enumerate(admitted):
        # Both are certain to lie within 2 s of one another, whenever in between they were judged.
        in_window = [sent for sent, answered in admitted[number:] if answered - first_answered < 1.95]
        assert len(in_window) <= 20
    assert len(admitted) >= 4 * 20  # nor is anyone held back longer than the window


def test_retry_after_keeps_its_word(quick, client, http):
    anonymous = http(source=client.fresh_ipv4())
    spend(anonymous, 20, items())
    answer = anonymous.request(*items())
    refused(answer, "ip")
    wait = int(answer["Retry-After"])
    assert 1 <= wait <= 2
    time.sleep(wait)
    assert anonymous.request(*items()).status == 200


def test_shadow_limit_counts_and_lets_pass(start_sluice, application, client, http):
    limits = [{"name": "ip", "per": "ip", "when": "anonymous", "rate": "5/h", "mode": "shadow"}]
    sluice = start_sluice(merged(starguide_policy(), {"limits": limits}))
    anonymous = http(source=client.fresh_ipv4())
    spend(anonymous, 25, items())
    shadow = frozenset({("limit", "ip"), ("verdict", "shadow")})
    assert sluice.metrics("sluice_decisions_total")[shadow] == 20
