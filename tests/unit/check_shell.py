"""shellcheck finds nothing in the shell scripts."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def is_shell(path: Path) -> bool:
    if path.suffix == ".sh":
        return True
    if path.suffix:
        return False
    with open(path, "rb") as file:
        first = file.readline(100)
    return first.startswith(b"#!") and b"sh" in first and b"python" not in first


if __name__ == "__main__":
    shellcheck = shutil.which("shellcheck")
    if not shellcheck:
        print("shellcheck is not installed (sudo scripts/setup test)")
        sys.exit(77)
    scripts = sorted(path for folder in ("scripts", ".ci", "tests") for path in (ROOT / folder).rglob("*")
                     if path.is_file() and "__pycache__" not in path.parts and is_shell(path))
    checked = subprocess.run([shellcheck, "-x", *(str(path.relative_to(ROOT)) for path in scripts)], cwd=ROOT,
                             capture_output=True, text=True, check=False)
    print(checked.stdout or f"{len(scripts)} scripts are clean")
    if checked.returncode != 0:
        print("shellcheck found something; see above")
        sys.exit(1)
