"""The requests that tests send most, and how a run of them is counted."""

from __future__ import annotations

import collections
from typing import Any, Optional

from lab.web import Http, Response

MODELS = {"openai": "gpt-4o-mini", "claude": "claude-3-5-haiku", "gemini": "gemini-1.5-flash"}
PROBLEM_JSON = "application/problem+json"


def chat(provider: str = "openai", stream: bool = False, text: str = "what is a sluice?") -> tuple[str, str, Any]:
    question = {"model": MODELS[provider], "stream": stream, "messages": [{"role": "user", "content": text}]}
    return "POST", f"/api/ai/{provider}/chat", question


def voice() -> tuple[str, str, Any]:
    return "POST", "/api/voice/transcribe", b"\0" * 64


def assessment(number: int = 7) -> tuple[str, str, Any]:
    return "POST", f"/api/assessments/{number}/submit", {"answers": [0, 3, 2]}


def items() -> tuple[str, str, Any]:
    return "GET", "/api/items", None


def send(http: Http, times: int, *requests: tuple[str, str, Any]) -> collections.Counter:
    """Sends the requests in turn, `times` in all; how often each status came back."""
    statuses: collections.Counter = collections.Counter()
    for number in range(times):
        statuses[http.request(*requests[number % len(requests)]).status] += 1
    return statuses


def spend(http: Http, times: int, *requests: tuple[str, str, Any], status: int = 200) -> None:
    """Every one of them must be admitted."""
    assert send(http, times, *requests) == {status: times}


def refused(answer: Response, *limits: str) -> None:
    """It is a 429 for exactly these limits."""
    assert answer.status == 429, answer.body
    assert sorted(answer.json()["violated-policies"]) == sorted(limits)


def quota(sluice: Any, user: str) -> dict[str, dict[str, Any]]:
    return {limit["name"]: limit for limit in sluice.admin.get(f"/v1/quotas/{user}")["limits"]}


def used(sluice: Any, user: str) -> dict[str, int]:
    return {name: limit["used"] for name, limit in quota(sluice, user).items()}


def used_by_address(sluice: Any, address: str, path: str = "/api/items", limit: str = "ip") -> int:
    charges = sluice.admin.get(f"/v1/explain?ip={address}&method=GET&path={path}")["charges"]
    return next(charge["used"] for charge in charges if charge["limit"] == limit)


def counted(limits: dict[str, int], **expected: int) -> Optional[str]:
    """None if these limits have these counts and every other has none; else what differs."""
    wrong = {name: count for name, count in limits.items() if count != expected.get(name, 0)}
    return f"{wrong} differ from {expected}" if wrong else None
