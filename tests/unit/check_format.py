"""Every C and C++ file is as clang-format leaves it."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = {".c", ".h", ".cpp", ".hpp"}

if __name__ == "__main__":
    clang_format = shutil.which("clang-format")
    if not clang_format:
        print("clang-format is not installed (sudo scripts/setup test)")
        sys.exit(77)
    files = sorted(path for folder in ("bpf", "userspace", "tests", "cmake") for path in (ROOT / folder).rglob("*")
                   if path.suffix in SUFFIXES)
    checked = subprocess.run([clang_format, "--dry-run", "-Werror", *files], capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        wrong = sorted({line.split(":")[0] for line in checked.stderr.splitlines() if "error:" in line})
        print(checked.stderr[:4000])
        print(f"not formatted; run: clang-format -i {' '.join(str(Path(name).relative_to(ROOT)) for name in wrong)}")
        sys.exit(1)
    print(f"{len(files)} files are formatted")
