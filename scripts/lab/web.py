"""HTTP from inside a namespace: keep-alive connections whose sockets belong to it, and the admin API's Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from .netns import EDGE_IPV4, Namespace

GATEWAY_PORT = 8080


@dataclass
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)

    def __getitem__(self, header: str) -> Optional[str]:
        return self.headers.get(header)


class Http:
    """One connection, opened when needed and kept alive. `source` binds it to one of the namespace's addresses."""

    def __init__(
        self,
        namespace: Namespace,
        address: str = EDGE_IPV4,
        port: int = GATEWAY_PORT,
        source: Optional[str] = None,
        headers: Optional[dict[str, str]] = None,
        tls: Optional[ssl.SSLContext] = None,
        timeout: float = 10,
    ) -> None:
        self.namespace, self.address, self.port, self.source = namespace, address, port, source
        self.headers = headers or {}
        self.tls = tls
        self.timeout = timeout
        self._connection: Optional[http.client.HTTPConnection] = None

    def connect(self) -> http.client.HTTPConnection:
        if self._connection is None or self._connection.sock is None:
            made = self.namespace.connect(self.address, self.port, self.source, self.timeout)
            if self.tls:
                made = self.tls.wrap_socket(made, server_hostname=self.address)
            self._connection = http.client.HTTPConnection(self.address, self.port, timeout=self.timeout)
            self._connection.auto_open = 0  # it would open its socket in the wrong namespace
            self._connection.sock = made
        return self._connection

    def request(
        self, method: str, path: str, body: Any = None, headers: Optional[dict[str, str]] = None
    ) -> Response:
        """`body`: bytes as they are, anything else as JSON."""
        fields = {**self.headers, **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            fields.setdefault("Content-Type", "application/json")
        started = time.monotonic()
        connection = self.connect()
        try:
            connection.request(method, path, body=body, headers=fields)
            answer = connection.getresponse()
            content = answer.read()
        except Exception:
            self.close()
            raise
        return Response(answer.status, answer.headers, content, time.monotonic() - started)

    def get(self, path: str, **headers: str) -> Response:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: Any, **headers: str) -> Response:
        return self.request("POST", path, body, headers)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> "Http":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Admin:
    """The admin API by its Unix socket; one connection a request."""

    def __init__(self, path: Path, timeout: float = 10) -> None:
        self.path, self.timeout = path, timeout

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Response:
        if body is not None and not isinstance(body, bytes):
            body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        connection = _UnixConnection(self.path, self.timeout)
        started = time.monotonic()
        try:
            connection.request(method, path, body=body, headers={"Content-Type": content_type} if body else {})
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read(), time.monotonic() - started)
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        answer = self.request("GET", path)
        if answer.status != 200:
            raise RuntimeError(f"GET {path}: {answer.status} {answer.body[:300]!r}")
        return answer.json()
