"""Runs tests/bench/bench_SUITE.py for each suite, merges their rows into build/bench/results.json, prints the table."""

import json
import os
import subprocess
import sys
from pathlib import Path

from bench_results import check_rows, merge, table

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "bench" / "results.json"
PYTHON = "/usr/bin/python3"  # Debian's own; "python3" in PATH may be another
SUITE_TIMEOUT_S = 1800


def run_suite(suite: str) -> list[dict]:
    """The suite's rows. Raises RuntimeError, ValueError, OSError or subprocess.SubprocessError."""
    out = RESULTS.with_name(f"{suite}.json")
    out.unlink(missing_ok=True)
    environment = {**os.environ, "PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", ""),
                   "PYTHONDONTWRITEBYTECODE": "1"}
    # What a benchmark says meanwhile is for people; standard output is the table's.
    done = subprocess.run([PYTHON, f"tests/bench/bench_{suite}.py", "--out", str(out)], cwd=ROOT, env=environment,
                          stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=SUITE_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ended with exit code {done.returncode}")
    rows = json.loads(out.read_text())
    check_rows(suite, rows)
    return rows


def main() -> int:
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    failed = []
    fresh = {}
    for suite in sys.argv[1:]:
        print(f"== {suite}", file=sys.stderr, flush=True)
        try:
            fresh[suite] = run_suite(suite)
        except (RuntimeError, ValueError, OSError, subprocess.SubprocessError) as error:
            failed.append(suite)
            print(f"bench: {suite}: {error}", file=sys.stderr)
    try:
        old = json.loads(RESULTS.read_text())
    except (OSError, ValueError):
        old = []  # none yet, or not ours: what was measured now is all there is
    rows = merge(old if isinstance(old, list) else [], fresh)
    partial = RESULTS.with_suffix(".new")
    partial.write_text(json.dumps(rows, indent=1) + "\n")
    partial.replace(RESULTS)
    print(table([row for row in rows if row["suite"] in fresh]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
