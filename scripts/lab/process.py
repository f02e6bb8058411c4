"""Processes of the lab: each dies with the run, is tracked by its pid, and leaves its output in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable, Optional

from .netns import Namespace


class Process:
    """Started at once. Output goes to `log`, or to `stdout` (a pipe) if `piped`."""

    def __init__(
        self,
        command: list[str],
        namespace: Optional[Namespace] = None,
        log: Optional[Path] = None,
        environment: Optional[dict[str, str]] = None,
        piped: bool = False,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.command = command
        self.log = log
        entered = namespace.enter(*command) if namespace else command
        # PDEATHSIG: killed when this process dies, however it dies. A session of its own: Ctrl-C in the terminal is for
        # the run, which then stops its processes in order.
        output = open(log, "ab") if log else subprocess.DEVNULL
        try:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *entered],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                cwd="/",
                start_new_session=True,
                pass_fds=pass_fds,
            )
        finally:
            if log:
                output.close()

    @property
    def pid(self) -> int:
        return self.process.pid  # setpriv and nsenter exec: the pid stays

    def running(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log and self.log.exists() else ""

    def send_signal(self, number: int) -> None:
        if self.running():
            self.process.send_signal(number)

    def wait(self, timeout: float = 10) -> int:
        return self.process.wait(timeout)

    def stop(self, timeout: float = 10, number: int = signal.SIGTERM) -> int:
        """Asks it to end, then insists. Returns the exit code, negative for a signal."""
        self.send_signal(number)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        self.send_signal(signal.SIGKILL)
        return self.wait()


def wait_until(condition: Callable[[], object], timeout: float, what: str, every: float = 0.05) -> object:
    """The first true value of `condition`; TimeoutError naming `what` if there is none in time."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f"not within {timeout:g} s: {what}")
        time.sleep(every)
