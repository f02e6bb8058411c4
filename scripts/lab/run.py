"""scripts/run: the lab's show, or this host's own interface."""

from __future__ import annotations

import signal
import sys
import time

from .arguments import parse
from .netns import Network

SAMPLE_S = 1.0
LINE_S = 2.0     # where the output is no terminal
SETTLE_S = 0.5   # for packets on their way when the floods stop


class Stopped(BaseException):
    """Ctrl-C or a signal that asks to end."""


def stop(number: int, _: object) -> None:
    # The clean-up that follows is not to be interrupted; it is bounded by itself.
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)


def show(scenario, seconds: float | None) -> int:
    from .verdict import checks
    from .view import View

    address = scenario.open_admin_door()
    header = [
        "Sluice lab: XDP and request limits in front of FastAPI. " + ("" if seconds else "Ctrl-C ends it."),
        f"admin API           {address}   token {scenario.credentials.admin_tokens['admin']}",
        f"control             build/release/sluicectl --socket {scenario.sluice.socket} status",
        f"logs                {scenario.sluice.log_folder}   namespaces {scenario.network.edge.name}, …",
    ]
    view = View(header)
    scenario.start_traffic()
    start = time.monotonic()
    stopped = False
    try:
        next_sample = start
        while seconds is None or time.monotonic() - start < seconds:
            scenario.keep_floods_running()
            view.show(time.monotonic() - start, scenario.snapshot())
            next_sample = max(next_sample + (SAMPLE_S if view.live else LINE_S), time.monotonic())
            time.sleep(next_sample - time.monotonic() if next_sample > time.monotonic() else 0)
    except Stopped:
        stopped = True
    ran = time.monotonic() - start
    scenario.stop_traffic()
    time.sleep(SETTLE_S)
    end = scenario.snapshot()
    results = checks(end, {flood.kind: flood.source for flood in scenario.floods})
    missing = "not yet" if stopped else "FAIL"
    print(f"\nAfter {ran:.0f} s{', stopped before its time' if stopped and seconds else ''}:")
    for check in results:
        print(f"  {'ok' if check.good else missing:8}{check.text}")
    failed = sum(not check.good for check in results)
    if stopped:
        return 130 if seconds else 0
    print(f"{len(results) - failed} of {len(results)} checks hold.")
    return 1 if failed else 0


def lab(seconds: float | None) -> int:
    from .scenario import Scenario

    scenario = None
    try:
        with Network("run") as network:
            try:
                scenario = Scenario(network)
                return show(scenario, seconds)
            finally:
                if scenario:
                    scenario.close()
    except Stopped as stopped:
        return 128 + int(stopped.args[0])
    except (OSError, RuntimeError, TimeoutError, ValueError) as error:
        print(f"run: {error}", file=sys.stderr)
        return 1


def main() -> int:
    options = parse(sys.argv[1:])
    if options.interface:
        from .host import run

        return run(options)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    return lab(options.seconds)


if __name__ == "__main__":
    sys.exit(main())
