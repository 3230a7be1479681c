"""Runs the tests of processes with every CPython from 3.10 on that this machine has: `make test-pythons`.

Each gets a virtual environment below target/pythons, with the wheel in it. RUNS says how often each exit is tried.
"""

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "target" / "pythons"
OLDEST, NEWEST = 10, 16
_ASK = "import sys; print(sys.implementation.name, sys.version_info[1])"


def found() -> dict[int, Path]:
    """Interpreters by their minor version: those of PATH, and those that pyenv has installed."""
    installed = (Path.home() / ".pyenv" / "versions").glob("3.*/bin/python3")
    named = (which(f"python3.{minor}") for minor in range(OLDEST, NEWEST))
    candidates = [Path(sys.executable), *(Path(name) for name in named if name), *sorted(installed)]
    by_version = dict[int, Path]()
    for candidate in candidates:
        told = subprocess.run([candidate, "-c", _ASK], capture_output=True, text=True, check=False).stdout.split()
        if told[:1] == ["cpython"] and int(told[1]) >= OLDEST:
            by_version.setdefault(int(told[1]), candidate)
    return dict(sorted(by_version.items()))


def test(minor: int, python: Path) -> bool:
    """Whether the tests pass."""
    environment = PLACE / f"3.{minor}"
    tested = environment / "bin" / "python"
    (wheel,) = (ROOT / "target" / "wheels").glob("*.whl")
    if not tested.exists():
        subprocess.run([python, "-m", "venv", environment], check=True)
    install = [tested, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", ROOT / "requirements-dev.txt", wheel], check=True)
    subprocess.run([*install, "--force-reinstall", "--no-deps", wheel], check=True)
    runs = os.environ.get("RUNS", "200")
    print(f"\nCPython 3.{minor}, each exit {runs} times", flush=True)
    command = [tested, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/process", *sys.argv[1:]]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"KAFKA_EMAIL_EXIT_RUNS": runs}, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    failed = [f"3.{minor}" for minor, python in found().items() if not test(minor, python)]
    print(f"failed: {', '.join(failed)}" if failed else f"passed: {', '.join(f'3.{minor}' for minor in found())}")
    sys.exit(bool(failed))
