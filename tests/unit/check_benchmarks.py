#!/usr/bin/env python3
"""docs/benchmarks.md and its charts say what docs/benchmarks/*.json say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

sys.exit(subprocess.run([sys.executable, "-B", ROOT / "scripts/lib/publish_bench.py", "check"], check=False).returncode)
