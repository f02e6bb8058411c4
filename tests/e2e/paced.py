"""Both ends of a fleet under test, as programs of their own: an application that answers 200, and clients that come at
random times and write down what became of each request.

    paced.py serve PORT
    paced.py load SECONDS SEED PORT,PORT,… PATH=RATE@SOURCE …     prints {path@source: [[sent, answered, status], …]}
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time


class Answering(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" * data.count(b"\r\n\r\n"))


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port)
    await server.serve_forever()


class Client(asyncio.Protocol):
    """One connection: one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.buffer, self.answer = transport, b"", None

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator or self.answer is None:
            return
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) >= length:
            self.buffer = b""
            if not self.answer.done():
                self.answer.set_result((time.monotonic(), int(head[9:12])))

    def connection_lost(self, error: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result((time.monotonic(), 0))

    sent = 0.0

    async def get(self, path: str) -> list[float]:
        self.answer = asyncio.get_running_loop().create_future()
        self.sent = time.monotonic()
        self.transport.write(f"GET {path} HTTP/1.1\r\nHost: fleet\r\n\r\n".encode())
        answered, status = await self.answer
        return [self.sent, answered, status]

    def waits(self) -> bool:
        return self.answer is not None and not self.answer.done()


class Visitors:
    """Everyone who asks for one path from one address, by way of all gateways in turn."""

    def __init__(self, path: str, rate: float, source: str, ports: list[int], seed: str) -> None:
        self.path, self.rate, self.source, self.ports = path, rate, source, ports
        self.random = random.Random(seed)
        self.idle: dict[int, list[Client]] = {port: [] for port in ports}
        self.seen: list[list[float]] = []
        self.all: list[Client] = []

    async def connect(self, port: int) -> Client:
        loop = asyncio.get_running_loop()
        self.all.append((await loop.create_connection(Client, "127.0.0.1", port, local_addr=(self.source, 0)))[1])
        return self.all[-1]

    async def one(self) -> None:
        idle = self.idle[self.random.choice(self.ports)]
        port = next(port for port, clients in self.idle.items() if clients is idle)
        while idle and idle[-1].transport.is_closing():  # the gateway lets no connection idle for long
            idle.pop()
        client = idle.pop() if idle else await self.connect(port)
        seen = await client.get(self.path)
        self.seen.append(seen)
        if not client.transport.is_closing():
            idle.append(client)

    async def come(self, until: float) -> None:
        under_way: set[asyncio.Task] = set()
        due = time.monotonic()
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self.one())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            due += self.random.expovariate(self.rate)
        if under_way:
            await asyncio.wait(set(under_way), timeout=10)
        self.seen += [[client.sent, time.monotonic(), 0] for client in self.all if client.waits()]  # never answered


async def load(seconds: float, seed: str, ports: list[int], kinds: list[str]) -> None:
    visitors = {}
    for kind in kinds:
        path, rest = kind.split("=")
        rate, source = rest.split("@")
        visitors[f"{path}@{source}"] = Visitors(path, float(rate), source, ports, f"{seed} {kind}")
    end = time.monotonic() + seconds
    await asyncio.gather(*(one.come(end) for one in visitors.values()))
    json.dump({name: one.seen for name, one in visitors.items()}, sys.stdout)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        if sys.argv[1] == "serve":
            asyncio.run(serve(int(sys.argv[2])))
        else:
            asyncio.run(load(float(sys.argv[2]), sys.argv[3], [int(p) for p in sys.argv[4].split(",")], sys.argv[5:]))
