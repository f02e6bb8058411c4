"""A file does one thing and is usually under 300 lines. Over 400 is said here, not forbidden; over 800 is."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = {".c", ".h", ".cpp", ".hpp", ".py", ".sh", ".js", ".css", ".html", ".cmake"}
WARN_LINES = 400
MOST_LINES = 800

if __name__ == "__main__":
    too_long = False
    for folder in ("bpf", "userspace", "tests", "scripts", "cmake"):
        for path in sorted((ROOT / folder).rglob("*")):
            if not path.is_file() or (path.suffix not in SUFFIXES and path.suffix != "") or "__pycache__" in path.parts:
                continue
            with open(path, "rb") as file:
                lines = sum(1 for _ in file)
            if lines > WARN_LINES:
                print(f"{path.relative_to(ROOT)}: {lines} lines; what is the second thing it does?")
            too_long = too_long or lines > MOST_LINES
    print(f"files of more than {MOST_LINES} lines: split them" if too_long else "no file is far too long")
    sys.exit(1 if too_long else 0)
