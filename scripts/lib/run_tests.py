"""Builds and runs the suites scripts/test was asked for; see there for what each is."""

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from test_results import FAILED, PASSED, SKIPPED, Case, Results, one_line, parse_gtest_output, parse_junit

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "build" / "test-results"
PYTHON = "/usr/bin/python3"  # Debian's own, with Debian's modules; "python3" in PATH may be another
# Layers whose objects are shared between threads: what ThreadSanitizer is worth running on.
THREADED_LAYERS = ("base", "limiter", "ledger", "telemetry", "http", "api")
# In the order they run: what fails soonest and says most comes first.
SUITES = ("check", "unit", "bpf", "e2e", "vm", "sanitizers", "fuzz", "tidy")
EVERYTHING = tuple(suite for suite in SUITES if suite != "tidy")
NEED_ROOT = {"sanitizers", "bpf", "e2e", "vm"}
SKIP_EXIT_CODE = 77  # of a check that can't run here; its last line says why


class Owner:
    """Runs what needs no root as the owner of the tree, so that a later run without sudo finds files it may write."""

    def __init__(self) -> None:
        stat = ROOT.stat()
        self.drop = os.geteuid() == 0 and stat.st_uid != 0
        self.uid, self.gid = stat.st_uid, stat.st_gid

    def arguments(self) -> dict:
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.drop else {}


OWNER = Owner()


def say(text: str) -> None:
    print(text, flush=True)


def no_randomised_addresses() -> list[str]:
    """The sanitizers of GCC 12 can't place their shadow when the kernel randomises addresses by more than 28 bits."""
    prefix = ["setarch", platform.machine(), "-R"]
    tried = subprocess.run([*prefix, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return prefix if tried.returncode == 0 else []


def run(command: list, timeout_s: float, log: Path | None = None, as_root: bool = False) -> int:
    """The exit code, negative if a signal ended it; output to the terminal, or to `log`. A command over its time is
    killed together with what it started."""
    environment = {**os.environ, "PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", "")}
    with open(log, "wb") if log else contextlib.nullcontext() as output:
        process = subprocess.Popen([str(part) for part in command], cwd=ROOT, env=environment, stdout=output,
                                   stderr=subprocess.STDOUT if output else None, stdin=subprocess.DEVNULL,
                                   start_new_session=True, **({} if as_root else OWNER.arguments()))
        RUNNING.add(process)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            say(f"   over its {timeout_s:.0f} s, killed: {' '.join(map(str, command))}")
            stop(process)
            return 124
        finally:
            RUNNING.discard(process)


RUNNING: set[subprocess.Popen] = set()
# Binaries whose tests wait for a server rather than for a processor: parts of them run at once.
SHARDS = {"unit_ledger": 4}


def stop(process: subprocess.Popen) -> None:
    """First as Ctrl-C does, which lets a suite remove its namespaces and machines; at last in a way that leaves no choice."""
    for number, grace_s in ((signal.SIGINT, 15), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what it left behind in its group


def stop_everything(number: int, _frame: object) -> None:
    """Commands have sessions of their own, so that a whole group can be stopped: Ctrl-C has to be passed on."""
    for process in list(RUNNING):
        stop(process)
    sys.exit(128 + number)


def show_tail(log: Path, lines: int = 60) -> None:
    text = log.read_text(errors="replace").splitlines() if log.exists() else []
    for line in text[-lines:]:
        say("   | " + line)


class Runner:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.results = Results()
        self.setarch = no_randomised_addresses()

    # --- building -----------------------------------------------------------------------------------------------

    def build(self, suite: str, preset: str, targets: list[str]) -> bool:
        say(f"== building {preset}: {' '.join(targets)}")
        started = time.monotonic()
        command = [*self.setarch, ROOT / "scripts" / "build", "--preset", preset, *targets]
        exit_code = run(command, timeout_s=3600, as_root=True)
        if exit_code != 0:
            self.results.add(suite, [Case(f"build {preset}", FAILED, f"exit code {exit_code}")])
            return False
        say(f"   built in {time.monotonic() - started:.0f} s")
        return True

    def tests_of(self, preset: str, label: str) -> list[dict]:
        """What ctest knows under a label: {"name", "command"}, one for each GoogleTest case or check."""
        listing = subprocess.run(["ctest", "--test-dir", f"build/{preset}", "--show-only=json-v1", "-L", f"^{label}$"],
                                 cwd=ROOT, capture_output=True, text=True, check=True)
        return json.loads(listing.stdout)["tests"]

    # --- GoogleTest binaries ------------------------------------------------------------------------------------

    def binaries(self, preset: str, label: str) -> list[Path]:
        """Binaries, each to be run once as a whole: a process for every case would load a BPF object for every case."""
        found = []
        for test in self.tests_of(preset, label):
            command = test.get("command")
            if command and command[0] not in found and any(part.startswith("--gtest_filter") for part in command):
                found.append(command[0])
        return [Path(binary) for binary in found]

    def gtest(self, suite: str, preset: str, label: str, targets: list[str], jobs: int, timeout_s: float,
              only: set[str] | None = None) -> None:
        if not self.build(suite, preset, targets):
            return
        binaries = [binary for binary in self.binaries(preset, label) if only is None or binary.name in only]
        if not binaries:
            self.results.add(suite, [])
            return
        say(f"== {suite}")
        as_root = label == "bpf"
        parts = [(binary, part) for binary in binaries for part in range(SHARDS.get(binary.name, 1))]
        parts.sort(key=lambda part: part[0].name not in SHARDS)
        with ThreadPoolExecutor(jobs + max(SHARDS.get(binary.name, 1) for binary in binaries) - 1) as pool:
            for binary, cases, exit_code in pool.map(
                    lambda part: self.one_binary(suite, preset, *part, timeout_s, as_root), parts):
                self.results.add(f"{suite} {binary.name}", cases, exit_code)

    def one_binary(self, suite: str, preset: str, binary: Path, part: int, timeout_s: float,
                   as_root: bool) -> tuple[Path, list[Case], int]:
        parts = SHARDS.get(binary.name, 1)
        name = binary.name if parts == 1 else f"{binary.name}, part {part + 1} of {parts}"
        base = self.report_file(f"{suite}-{name}")
        log, report = base.with_suffix(".log"), base.with_suffix(".xml")
        setarch = self.setarch if preset != "release" else []
        started = time.monotonic()
        shard = ["env", f"GTEST_TOTAL_SHARDS={parts}", f"GTEST_SHARD_INDEX={part}"] if parts > 1 else []
        exit_code = run([*shard, *setarch, binary, f"--gtest_output=xml:{report}"], timeout_s, log, as_root)
        try:
            cases = parse_junit(report)
        except (ValueError, OSError):
            cases = parse_gtest_output(log.read_text(errors="replace"))
        failed = sum(case.status == FAILED for case in cases)
        passed = sum(case.status == PASSED for case in cases)
        good = exit_code == 0 and not failed
        say(f"   {'ok  ' if good else 'FAIL'} {name}: {passed} passed, {failed} failed"
            f" in {time.monotonic() - started:.1f} s")
        if not good:
            show_tail(log)
        return binary, cases, exit_code

    def report_file(self, name: str) -> Path:
        return REPORTS / "".join(c if c.isalnum() or c in "-_" else "-" for c in name)

    # --- suites -------------------------------------------------------------------------------------------------

    def check(self) -> None:
        # Configures, if need be, and builds nothing.
        if not self.build("check", "release", ["build.ninja"]):
            return
        say("== check")
        for test in self.tests_of("release", "check"):
            log = self.report_file(f"check-{test['name']}").with_suffix(".log")
            exit_code = run(test["command"], timeout_s=300, log=log)
            text = log.read_text(errors="replace").strip()
            last_line = one_line(text.splitlines()[-1]) if text else "said nothing"
            if exit_code == 0:
                case = Case(test["name"], PASSED)
            elif exit_code == SKIP_EXIT_CODE:
                case = Case(test["name"], SKIPPED, last_line)
            else:
                case = Case(test["name"], FAILED, last_line)
                show_tail(log)
            say(f"   {case.status:7} {case.name}")
            self.results.add("check", [case])
        if "check" not in self.results.suites:
            self.results.add("check", [])

    def unit(self) -> None:
        if "check" not in self.options.suites:
            self.check()
        preset = self.options.preset
        self.gtest(f"unit {preset}", preset, "unit", ["tests_unit"], jobs=os.cpu_count() or 1, timeout_s=300)

    def sanitizers(self) -> None:
        jobs = os.cpu_count() or 1
        if self.options.preset != "dev" or "unit" not in self.options.suites:
            self.gtest("unit dev", "dev", "unit", ["tests_unit"], jobs, timeout_s=900)
        if self.options.preset != "dev" or "bpf" not in self.options.suites:
            self.bpf_with("dev")
        threaded = [f"unit_{layer}" for layer in THREADED_LAYERS if list((ROOT / "tests/unit" / layer).glob("*.cpp"))]
        self.gtest("unit tsan", "tsan", "unit", threaded, jobs, timeout_s=900, only=set(threaded))

    def bpf(self) -> None:
        self.bpf_with(self.options.preset)

    def bpf_with(self, preset: str) -> None:
        self.gtest(f"bpf {preset}", preset, "bpf", ["tests_bpf"], jobs=1, timeout_s=900)

    def e2e(self) -> None:
        if not self.build("e2e", "release", ["sluiced", "sluicectl", "flood"]):
            return
        say("== e2e")
        report = self.report_file("e2e").with_suffix(".xml")
        command = [PYTHON, "-m", "pytest", "tests/e2e", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        self.program("e2e", command, report, timeout_s=1800)

    def vm(self) -> None:
        if not self.build("vm", "release", ["sluiced", "sluicectl", "tests_bpf"]):
            return
        say("== vm")
        report = self.report_file("vm").with_suffix(".xml")
        self.program("vm", [PYTHON, "tests/vm/run_vm.py", "--junit", report], report, timeout_s=1800)

    def program(self, suite: str, command: list, report: Path, timeout_s: float) -> None:
        """A suite that writes JUnit itself, run as root, its output shown as it comes."""
        exit_code = run(command, timeout_s, as_root=True)
        try:
            cases = parse_junit(report)
        except (ValueError, OSError) as error:
            cases = [Case("(suite)", FAILED, f"exit code {exit_code}, no report: {error}")]
        self.results.add(suite, cases, exit_code)

    def fuzz(self) -> None:
        if not self.build("fuzz", "fuzz", ["tests_fuzz"]):
            return
        say(f"== fuzz: {self.options.fuzz_seconds} s each")
        for binary in sorted((ROOT / "build/fuzz/tests/fuzz").glob("fuzz_*")):
            log = self.report_file(binary.name).with_suffix(".log")
            corpus = ROOT / "build/fuzz/corpus" / binary.name
            seeds = ROOT / "tests/fuzz/corpus" / binary.name.removeprefix("fuzz_")
            make_directory(corpus)
            limits = [f"-max_total_time={self.options.fuzz_seconds}", f"-seed={self.options.fuzz_seed}",
                      "-timeout=10", "-rss_limit_mb=2048",
                      f"-artifact_prefix={corpus}/crash-"]
            exit_code = run([*self.setarch, binary, *limits, corpus, *([seeds] if seeds.is_dir() else [])],
                            self.options.fuzz_seconds + 60, log)
            say(f"   {'ok  ' if exit_code == 0 else 'FAIL'} {binary.name}")
            if exit_code != 0:
                show_tail(log)
            self.results.add("fuzz", [Case(binary.name, PASSED) if exit_code == 0 else
                                      Case(binary.name, FAILED, f"exit code {exit_code}, see {log}")])
        if "fuzz" not in self.results.suites:
            self.results.add("fuzz", [])

    def tidy(self) -> None:
        if not self.build("tidy", "release", ["sluiced", "sluicectl"]):
            return
        say("== tidy")
        sources = sorted(ROOT.glob("userspace/**/*.cpp"))

        def tidy(source: Path) -> Case:
            name = str(source.relative_to(ROOT))
            log = self.report_file("tidy-" + name).with_suffix(".log")
            exit_code = run(["clang-tidy", "--quiet", "--extra-arg=-Wno-unknown-warning-option", "-p", "build/release", name],
                            timeout_s=600, log=log)
            if exit_code != 0:
                show_tail(log)
            return Case(name, PASSED) if exit_code == 0 else Case(name, FAILED, f"see {log}")

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            self.results.add("tidy", list(pool.map(tidy, sources)))


def make_directory(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    if OWNER.drop:
        for made in [path, *path.parents]:
            if made == ROOT:
                break
            os.chown(made, OWNER.uid, OWNER.gid)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/test", add_help=False, usage="scripts/test --help")
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    parser.add_argument("--preset", choices=("release", "dev", "tsan"), default="release")
    parser.add_argument("--fuzz-seconds", type=int, default=20)
    parser.add_argument("--fuzz-seed", type=int, default=1)
    options = parser.parse_args()
    unknown = [suite for suite in options.suites if suite not in SUITES]
    if unknown:
        parser.error(f"no suite {unknown[0]!r}; there are: {', '.join(SUITES)}")
    options.suites = options.suites or list(EVERYTHING)
    if os.geteuid() != 0 and NEED_ROOT & set(options.suites):
        parser.error(f"{', '.join(s for s in options.suites if s in NEED_ROOT)} need root: sudo scripts/test …; "
                     "scripts/test unit does not")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop_everything)
    make_directory(REPORTS)
    for old in REPORTS.iterdir():
        old.unlink()
    runner = Runner(options)
    started = time.monotonic()
    for suite in SUITES:
        if suite in options.suites:
            try:
                getattr(runner, suite)()
            except Exception as error:  # noqa: BLE001: whatever ends a suite early is that suite's failure, never the run's end
                runner.results.add(suite, [Case("(suite)", FAILED, one_line(f"{type(error).__name__}: {error}"))])
    for suite in list(runner.results.suites):
        if suite.split()[0] in NEED_ROOT:
            runner.results.forbid_only_skips(suite)
    say(f"== results after {time.monotonic() - started:.0f} s")
    say(runner.results.report())
    return 0 if runner.results.ok else 1


if __name__ == "__main__":
    sys.exit(main())
