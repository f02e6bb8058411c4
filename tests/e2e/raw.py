"""Bytes on a socket: for requests that no well-behaved client would send."""

from __future__ import annotations

import re
import time
from typing import Any

from lab.netns import EDGE_IPV4
from lab.web import GATEWAY_PORT


def exchange(client: Any, data: bytes, wait: float = 1.0, source: str = "", address: str = EDGE_IPV4) -> bytes:
    """Everything that comes back until the other end closes, or nothing more comes for `wait` seconds."""
    connection = client.connect(address, GATEWAY_PORT, source or None, timeout=wait)
    with connection:
        try:
            connection.sendall(data)
        except OSError:
            pass  # refused before all was sent: the answer says why
        return read_all(connection)


def read_all(connection: Any) -> bytes:
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except OSError:
        pass
    return received


def read_until(connection: Any, marker: bytes, timeout: float = 5.0) -> bytes:
    received, deadline = b"", time.monotonic() + timeout
    while marker not in received and time.monotonic() < deadline:
        piece = connection.recv(65536)
        if not piece:
            break
        received += piece
    return received


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", answer)]
