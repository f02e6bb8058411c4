"""The counting that the last line of scripts/test rests on, the benchmark table and the include rule, on made-up input."""

import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts" / "lib"), str(ROOT / "tests" / "unit")]

from bench_results import check_rows, merge, table  # noqa: E402
from check_include_direction import problems  # noqa: E402
from test_results import FAILED, PASSED, SKIPPED, Case, Results, parse_gtest_output, parse_junit  # noqa: E402

GTEST_XML = """<?xml version="1.0"?><testsuites><testsuite name="A">
<testcase name="Good" status="run" result="completed" classname="A" />
<testcase name="Bad" status="run" result="completed" classname="A"><failure message="Expected&#x0A;2"></failure></testcase>
<testcase name="Off" status="notrun" result="suppressed" classname="A" />
<testcase name="Skip" status="run" result="skipped" classname="A"><skipped message="a.cpp:1&#x0A;no root"/></testcase>
</testsuite></testsuites>"""


class ParseTest(unittest.TestCase):
    def parse(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(text)
            file.flush()
            return parse_junit(Path(file.name))

    def test_gtest_xml(self):
        cases = self.parse(GTEST_XML)
        self.assertEqual([case.status for case in cases], [PASSED, FAILED, SKIPPED, SKIPPED])
        self.assertEqual(cases[1].reason, "Expected 2")
        self.assertEqual(cases[3].reason, "a.cpp:1 no root")

    def test_pytest_error_is_a_failure(self):
        cases = self.parse('<testsuites><testsuite><testcase classname="t" name="a"><error message="boom"/></testcase>'
                           "</testsuite></testsuites>")
        self.assertEqual(cases, [Case("t.a", FAILED, "boom")])

    def test_half_written_xml_is_refused(self):
        with self.assertRaises(ValueError):
            self.parse(GTEST_XML[:200])

    def test_output_of_a_binary_that_died(self):
        cases = parse_gtest_output("[ RUN      ] A.One\n[       OK ] A.One (0 ms)\n[ RUN      ] A/B.Two/3\nboom\n")
        self.assertEqual([(case.name, case.status) for case in cases], [("A.One", PASSED), ("A/B.Two/3", FAILED)])

    def test_the_summary_of_gtest_is_not_counted_twice(self):
        cases = parse_gtest_output("[ RUN      ] A.One\n[  FAILED  ] A.One (0 ms)\n[  FAILED  ] A.One\n")
        self.assertEqual(len(cases), 1)


class ResultsTest(unittest.TestCase):
    def test_count_line(self):
        results = Results()
        results.add("unit", [Case("a", PASSED), Case("b", PASSED)])
        self.assertEqual(results.report().splitlines()[-1], "2 passed, 0 failed")
        results.add("e2e", [Case("c", FAILED, "why"), Case("d", SKIPPED, "no fish")])
        self.assertEqual(results.report().splitlines()[-1], "2 passed, 1 failed, 1 skipped")
        self.assertIn("skipped: e2e: d: no fish", results.report())
        self.assertIn("failed: e2e: c: why", results.report())
        self.assertFalse(results.ok)

    def test_a_suite_that_dies_is_a_failure(self):
        results = Results()
        results.add("unit", [Case("a", PASSED)], exit_code=-11)
        self.assertEqual(results.count(FAILED), 1)

    def test_its_own_failures_are_not_counted_twice(self):
        results = Results()
        results.add("unit", [Case("a", FAILED)], exit_code=1)
        self.assertEqual(results.count(FAILED), 1)

    def test_a_suite_without_tests_is_a_failure(self):
        results = Results()
        results.add("vm", [])
        self.assertEqual(results.count(FAILED), 1)

    def test_nothing_but_skips_where_it_must_run_is_a_failure(self):
        results = Results()
        results.add("bpf", [Case("a", SKIPPED, "not root")])
        results.forbid_only_skips("bpf")
        self.assertFalse(results.ok)
        self.assertEqual(results.count(FAILED), 1)

    def test_an_empty_run_is_not_fine(self):
        self.assertFalse(Results().ok)


def bench_row(**changed):
    return {"suite": "packets", "case": "flood", "subject": "sluice", "metric": "cost", "value": 50, "unit": "ns",
            "runs": 3, "min": 40, "max": 60.5, **changed}


class BenchTest(unittest.TestCase):
    def test_a_row_that_is_none_is_named(self):
        check_rows("packets", [bench_row()])
        for changed in ({"value": "50"}, {"runs": True}, {"value": 70}, {"subject": "katran"}, {"suite": "limits"}):
            with self.assertRaisesRegex(ValueError, "row 1"):
                check_rows("packets", [bench_row(), bench_row(**changed)])
        for rows in ([], {}, None):
            with self.assertRaises(ValueError):
                check_rows("packets", rows)

    def test_rows_of_suites_run_now_replace_the_old(self):
        old = [bench_row(value=1), bench_row(suite="limits", value=2)]
        merged = merge(old, {"packets": [bench_row(value=3)]})
        self.assertEqual([(row["suite"], row["value"]) for row in merged], [("limits", 2), ("packets", 3)])

    def test_ratios_are_within_one_case(self):
        lines = table([bench_row(), bench_row(subject="nftables", value=500, max=500),
                       bench_row(case="other", subject="nftables")]).splitlines()
        self.assertTrue(lines[2].endswith("10.00"), lines[2])
        self.assertTrue(lines[3].endswith(" 3"), "no ratio without Sluice's own: " + lines[3])


class IncludeDirectionTest(unittest.TestCase):
    def problems(self, files):
        with tempfile.TemporaryDirectory() as folder:
            userspace = Path(folder) / "userspace"
            for name, text in files.items():
                path = userspace / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return problems(userspace)

    LAYERS = {"base/CMakeLists.txt": "sluice_layer(base LIBRARIES x)",
              "policy/CMakeLists.txt": "sluice_layer(policy DEPENDS base\n    LIBRARIES yaml)"}

    def test_downwards_is_fine(self):
        self.assertEqual(self.problems({**self.LAYERS, "policy/a.cpp": '#include "base/b.hpp"\n#include <vector>'}), [])

    def test_upwards_is_named(self):
        found = self.problems({**self.LAYERS, "base/a.hpp": '#pragma once\n#include "policy/p.hpp"'})
        self.assertEqual(len(found), 1)
        self.assertIn("userspace/base/a.hpp:2: base may not include policy", found[0])

    def test_a_circle_is_named(self):
        self.assertIn("circle", self.problems({"base/CMakeLists.txt": "sluice_layer(base DEPENDS policy)",
                                               "policy/CMakeLists.txt": "sluice_layer(policy DEPENDS base)"})[0])

    def test_a_relative_include_would_dodge_the_rule(self):
        self.assertEqual(len(self.problems({**self.LAYERS, "base/a.cpp": '#include "../policy/p.hpp"'})), 1)

    def test_the_kernel_contract_stays_in_the_kernel_layer(self):
        self.assertEqual(len(self.problems({**self.LAYERS, "policy/a.cpp": '#include "bpf/sluice_abi.h"'})), 1)


if __name__ == "__main__":
    unittest.main()
