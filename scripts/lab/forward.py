"""Carries TCP from a socket of this host to a port in a namespace: python3 -m lab.forward FD ADDRESS PORT

The listening socket FD was made on the host and stays there; this process runs in the namespace, so what it connects to
is in there. That is how a browser on the host reaches the lab's admin address without a route between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

MAX_CONNECTIONS = 64


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def main(fd: int, address: str, port: int) -> None:
    room = asyncio.Semaphore(MAX_CONNECTIONS)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with room:
            try:
                there_reader, there_writer = await asyncio.open_connection(address, port)
            except OSError:
                writer.close()
                return
            await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))
            writer.close()
            there_writer.close()

    server = await asyncio.start_server(serve, sock=socket.socket(fileno=fd))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
