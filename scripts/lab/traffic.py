"""Clients of the main job, each a process of its own inside a namespace: python3 -m lab.traffic SPEC.json

SPEC names the role and what it needs; once a second the process prints one line of JSON with what happened in that
second: {"sent", "statuses": {STATUS or "blocked" or "error": N}, "latencies_ms": [...], "connections"}.

    good     polite users: `rate` requests a second, in turn by `headers`, a new connection every few requests
    greedy   one user on the AI routes, all three providers in turn
    flood    one anonymous client, as fast as `rate` allows
"""

from __future__ import annotations

import collections
import http.client
import json
import signal
import socket
import sys
import threading
import time
from typing import Any, Callable

REQUESTS_PER_CONNECTION = 8
TIMEOUT_S = 2.0  # a good client that waits longer counts as not served
MODELS = {"openai": "gpt-4o-mini", "claude": "claude-3-5-haiku", "gemini": "gemini-1.5-flash"}


class Traffic:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.connection: http.client.HTTPConnection | None = None
        self.on_connection = 0
        self.reset()

    def reset(self) -> None:
        self.sent = 0
        self.connections = 0
        self.statuses: collections.Counter[str] = collections.Counter()
        self.latencies_ms: list[float] = []

    def report(self) -> None:
        line = {
            "sent": self.sent,
            "statuses": self.statuses,
            "latencies_ms": [round(value, 2) for value in self.latencies_ms],
            "connections": self.connections,
        }
        print(json.dumps(line), flush=True)
        self.reset()

    def close(self) -> None:
        if self.connection:
            self.connection.close()
        self.connection = None

    def request(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> None:
        started = time.monotonic()
        self.sent += 1
        try:
            if self.connection is None or self.connection.sock is None:
                self.connection = http.client.HTTPConnection(self.spec["address"], self.spec["port"], timeout=TIMEOUT_S)
                self.connections += 1
                self.on_connection = 0
                self.connection.connect()
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if body is not None:
                headers = {**headers, "Content-Type": "application/json"}
            self.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = self.connection.getresponse()
            answer.read()
            self.statuses[str(answer.status)] += 1
            if answer.status == 200:
                self.latencies_ms.append((time.monotonic() - started) * 1000)
            self.on_connection += 1
            if self.on_connection >= REQUESTS_PER_CONNECTION:
                self.close()
        except TimeoutError:
            self.statuses["blocked"] += 1  # nothing came back at all: this is what a kernel drop looks like
            self.close()
        except (OSError, http.client.HTTPException):
            self.statuses["error"] += 1
            self.close()

    def good(self, number: int) -> None:
        users = self.spec["headers"]
        self.request("GET", "/api/items", users[number % len(users)])

    def greedy(self, number: int) -> None:
        provider = sorted(MODELS)[number % len(MODELS)]
        question = {"model": MODELS[provider], "messages": [{"role": "user", "content": f"question {number}"}]}
        self.request("POST", f"/api/ai/{provider}/chat", self.spec["headers"][0], question)

    def flood(self, _: int) -> None:
        self.request("GET", "/api/items", {})

    def run(self) -> None:
        act: Callable[[int], None] = {"good": self.good, "greedy": self.greedy, "flood": self.flood}[self.spec["role"]]
        stopping = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        start = time.monotonic()
        next_report = start + 1
        number = 0
        while not stopping.is_set():
            # Requests are due at fixed times; a slow answer makes the next one late, not lost.
            due = start + number / self.spec["rate"]
            now = time.monotonic()
            if now >= next_report:
                self.report()
                next_report = max(next_report + 1, now)
            if due > now:
                stopping.wait(min(due - now, max(next_report - now, 0)))
                continue
            act(number)
            number += 1
        self.report()  # of the last, incomplete second


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        Traffic(json.load(file)).run()
