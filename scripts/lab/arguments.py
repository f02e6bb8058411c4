"""The command line of scripts/run. Imports nothing that must be installed first."""

from __future__ import annotations

import argparse
import re
import socket
from pathlib import Path

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}

DESCRIPTION = """\
Shows Sluice's main job on real packets and requests: a lab of network namespaces with a FastAPI
application, good clients and attackers. Ctrl-C ends it and leaves nothing behind.

With --interface and --upstream: protects this host's own interface and application instead."""


def duration(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    seconds = float(match[1]) * UNITS[match[2]] if match else 0
    if not 10 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"'{text}' is not a duration of 10s to 24h, such as 20s or 5m")
    return seconds


def endpoint(text: str) -> str:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not ADDRESS:PORT, such as 127.0.0.1:8000 or [::1]:8000")
    address = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, address)
        except OSError:
            continue
        if family == socket.AF_INET6 and address == host:
            raise argparse.ArgumentTypeError(f"'{text}': an IPv6 address stands in brackets: [{host}]:{port}")
        return text
    raise argparse.ArgumentTypeError(f"'{text}': '{host}' is not an IP address")


def interface(text: str) -> str:
    names = sorted(name for _, name in socket.if_nameindex())
    if text not in names:
        raise argparse.ArgumentTypeError(f"no interface '{text}' on this host; there are {', '.join(names)}")
    return text


def file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"'{text}' is not a file")
    return path.resolve()


def parse(arguments: list[str]) -> argparse.Namespace:
    """Exits with 2 and a message if they are wrong."""
    parser = argparse.ArgumentParser(
        prog="scripts/run", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--for", dest="seconds", type=duration, metavar="20s",
                        help="end by itself; exit 0 only if the floods were dropped, the limits held and the good "
                             "clients served")
    parser.add_argument("--interface", action="append", type=interface, metavar="NAME",
                        help="protect this interface of this host; may be given more than once")
    parser.add_argument("--upstream", action="append", type=endpoint, metavar="ADDR:PORT",
                        help="the application on this host; may be given more than once")
    parser.add_argument("--listen", action="append", type=endpoint, metavar="ADDR:PORT",
                        help="where clients connect (default: port 8080 of every address)")
    parser.add_argument("--policy", type=file, metavar="FILE",
                        help="policy for this host (default: /etc/sluice/policy.yaml, or the packet and request limits "
                             "of policies/starguide.yaml without users)")
    options = parser.parse_args(arguments)
    if bool(options.interface) != bool(options.upstream):
        parser.error("--interface and --upstream go together: which interface, and which application behind it")
    if not options.interface and (options.policy or options.listen):
        parser.error("--policy and --listen are for --interface and --upstream; the lab has its own")
    if options.interface and options.seconds:
        parser.error("--for ends the lab; on a host's own interface Sluice runs until it is stopped")
    return options


if __name__ == "__main__":
    import sys

    parse(sys.argv[1:])
