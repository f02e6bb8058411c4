"""What a test run counted: cases from JUnit XML or GoogleTest's output, summed over all suites.

A suite that dies without reporting is one failed case; a suite that had to run and only skipped is one too, so that a
machine without the needed rights can't make the run look fine.
"""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True)
class Case:
    name: str
    status: str
    reason: str = ""


def parse_junit(path: Path) -> list[Case]:
    """Cases of a JUnit file as GoogleTest, pytest and ctest write it. Raises ValueError if it is not one."""
    try:
        tree = ElementTree.parse(path)
    except ElementTree.ParseError as error:
        raise ValueError(f"{path}: not JUnit XML: {error}") from error
    cases = []
    for element in tree.iter("testcase"):
        name = ".".join(filter(None, (element.get("classname"), element.get("name"))))
        failure = next((child for child in element if child.tag in ("failure", "error")), None)
        skipped = element.find("skipped")
        if failure is not None:
            cases.append(Case(name, FAILED, one_line(failure.get("message") or failure.text or "")))
        elif skipped is not None:
            cases.append(Case(name, SKIPPED, one_line(skipped.get("message") or skipped.text or "no reason given")))
        elif element.get("status") not in ("notrun", "disabled"):
            cases.append(Case(name, PASSED))
        else:
            cases.append(Case(name, SKIPPED, "disabled in the source"))
    return cases


def parse_gtest_output(output: str) -> list[Case]:
    """Cases of a GoogleTest binary that died before it wrote its XML; the one it died in is failed."""
    cases = []
    running = None
    for line in output.splitlines():
        match = re.match(r"\[ +(RUN|OK|FAILED|SKIPPED) +\] ([\w/.-]+)", line)
        if not match:
            continue
        word, name = match.groups()
        if word == "RUN":
            running = name
        elif name == running:
            status = {"OK": PASSED, "FAILED": FAILED, "SKIPPED": SKIPPED}[word]
            cases.append(Case(name, status, "" if word == "OK" else "see the output above"))
            running = None
    if running:
        cases.append(Case(running, FAILED, "the test program died in it"))
    return cases


def one_line(text: str, limit: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


@dataclass
class Results:
    suites: dict[str, list[Case]] = field(default_factory=dict)

    def add(self, suite: str, cases: list[Case], exit_code: int = 0) -> None:
        """exit_code: of the suite's program, told apart from the failures it reported itself."""
        collected = self.suites.setdefault(suite, [])
        collected.extend(cases)
        if exit_code != 0 and not any(case.status == FAILED for case in cases):
            collected.append(Case("(suite)", FAILED, f"ended with exit code {exit_code} and reported no failure"))
        elif not cases:
            collected.append(Case("(suite)", FAILED, "reported no test at all"))

    def forbid_only_skips(self, suite: str) -> None:
        """For suites that must run: if every case was skipped, that is a failure."""
        cases = self.suites.get(suite, [])
        if cases and all(case.status == SKIPPED for case in cases):
            cases.append(Case("(suite)", FAILED, "every test was skipped"))

    def count(self, status: str) -> int:
        return sum(case.status == status for cases in self.suites.values() for case in cases)

    @property
    def ok(self) -> bool:
        return self.count(FAILED) == 0 and self.count(PASSED) > 0

    def report(self) -> str:
        """One line a suite, every skip and failure with its reason, the count line last."""
        lines = []
        for suite, cases in self.suites.items():
            counts = [f"{sum(case.status == status for case in cases)} {status}" for status in (PASSED, FAILED, SKIPPED)]
            lines.append(f"{suite}: {', '.join(counts)}")
        for status in (SKIPPED, FAILED):
            for suite, cases in self.suites.items():
                lines += [f"{status}: {suite}: {case.name}: {case.reason}" for case in cases if case.status == status]
        line = f"{self.count(PASSED)} passed, {self.count(FAILED)} failed"
        if self.count(SKIPPED):
            line += f", {self.count(SKIPPED)} skipped"
        return "\n".join([*lines, line])
