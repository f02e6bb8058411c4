"""Applications that misbehave, each a listener on the edge's loopback, run by a thread of the test."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any, Callable, Iterator

from raw import read_until


@contextlib.contextmanager
def scripted(network: Any, port: int, act: Callable[[socket.socket, bytes], None]) -> Iterator[list[bytes]]:
    """Calls act(connection, request head) for each connection; yields the heads seen so far."""
    listener = network.edge.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    listener.settimeout(0.1)
    done, heads, workers = threading.Event(), [], []

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            with contextlib.suppress(OSError):
                head = read_until(connection, b"\r\n\r\n")
                heads.append(head)
                act(connection, head)

    def accept() -> None:
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                workers.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                workers[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield heads
    finally:
        done.set()
        accepting.join()
        listener.close()
