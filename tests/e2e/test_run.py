"""scripts/run itself: it proves the main job, and nothing is left of it however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from lab.edge import ROOT
from lab.netns import NETNS, RUNS
from lab.process import wait_until

RUN = str(ROOT / "scripts" / "run")


def start(*arguments):
    return subprocess.Popen([RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip


def namespaces():
    return {path.name for path in NETNS.glob("slc-run-*")}


def processes_of(names):
    found = []
    for name in names:
        if (NETNS / name).exists():
            found += subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout.split()
    return found


def nothing_left():
    programs = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "/sluice-lab/run-" in command or "lab.traffic" in command or "lab.forward" in command:
            programs.append(command)
    return not namespaces() and not list(RUNS.glob("run-*")) and not programs


def in_full_swing(process):
    """Reads until the first line of measurements, and returns the namespaces of the run."""
    for line in process.stdout:
        if "offered" in line:
            return namespaces()
    raise AssertionError("scripts/run ended before it measured anything")


def test_run_for_a_while_proves_the_main_job(network):
    done = subprocess.run([RUN, "--for", "15s"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "checks hold" in done.stdout and "FAIL" not in done.stdout
    assert nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_stopped_leaves_nothing(network, number):
    process = start()
    try:
        assert len(in_full_swing(process)) >= 6
        os.kill(process.pid, number)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert nothing_left()


def test_run_killed_is_cleaned_up_by_the_next(network):
    process = start()
    try:
        left = in_full_swing(process)
    finally:
        process.kill()
        process.wait()
    process.stdout.close()
    wait_until(lambda: not processes_of(left), 30, "its processes died with it")
    following = start()
    try:
        in_full_swing(following)
        assert not namespaces() & left
    finally:
        following.send_signal(signal.SIGINT)
        following.communicate(timeout=30)
    assert nothing_left()


@pytest.mark.parametrize("arguments", [
    ["--for", "soon"], ["--for", "1s"], ["--interface", "eth0"], ["--interface", "nope", "--upstream", "127.0.0.1:80"],
    ["--interface", "lo", "--upstream", "nowhere"], ["--policy", "x"], ["--nonsense"], ["now"],
])  # fmt: skip
def test_bad_arguments_are_exit_2(arguments):
    started = time.monotonic()
    done = subprocess.run([RUN, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2 and "error" in done.stderr, done.stderr
    assert time.monotonic() - started < 3
