"""Breaks the package on purpose and shows which test notices: `make mutants`.

Each patch in tests/mutants is one fault, and names the test that has to find it. A Python patch changes a copy of the
installed package, which is imported in its place; a Rust patch changes a copy of the sources, which is compiled into
the same target directory. The command fails if a patch does not apply, if its test passes with the fault in place, or
if it fails without it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATCHES = ROOT / "tests" / "mutants"
RUST = "cargo test "
"""Begins the name of a test in Rust."""
LIMIT_S = 600.0
_TESTS_FAILED = 1
"""pytest's exit status; others mean that no test was run."""


@dataclass(frozen=True)
class Mutant:
    """A patch and the test that has to fail with it."""

    patch: Path
    fault: str
    test: str

    @property
    def name(self) -> str:
        return self.patch.stem

    @property
    def is_rust(self) -> bool:
        return self.test.startswith(RUST)


def read(patch: Path) -> Mutant:
    """Reads what stands above the changes: the fault in words, and `Killed by: ` with the test.

    Raises:
        ValueError: One of them is missing.
    """
    found = re.match(r"(?P<fault>\S.*?)\n\nKilled by: (?P<test>\S.*)\n\n--- a/", patch.read_text(), re.DOTALL)
    if found is None:
        raise ValueError(f"{patch.name}: it begins with the fault in words, and `Killed by: ` and a test")
    return Mutant(patch, " ".join(found["fault"].split()), found["test"])


def mutants(names: Sequence[str] = ()) -> list[Mutant]:
    """All of them, or those whose names contain one of these words."""
    found = map(read, sorted(PATCHES.glob("*.patch")))
    return [mutant for mutant in found if not names or any(name in mutant.name for name in names)]


def apply(mutant: Mutant, place: Path, *, dry: bool = False) -> None:
    """Changes the sources below `place`.

    Raises:
        RuntimeError: The patch does not fit them.
    """
    # The place may be inside a repository or not; git is to know of none.
    environment = os.environ | {"GIT_DIR": os.devnull}
    command = ["git", "apply", *(["--check"] if dry else []), str(mutant.patch)]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{mutant.patch.name} does not apply any more: {done.stderr.strip()}")


def killers(mutant: Mutant | None, test: str) -> list[str]:
    """The tests that failed, with the fault in place or without any.

    Raises:
        RuntimeError: No test was run, or the patch does not apply.
    """
    with tempfile.TemporaryDirectory(prefix="kafka-email-mutant-") as directory:
        run = _cargo if test.startswith(RUST) else _pytest
        try:
            return run(mutant, test, Path(directory))
        except subprocess.TimeoutExpired:
            return [f"{test}, which did not end"]


def _pytest(mutant: Mutant | None, test: str, place: Path) -> list[str]:
    environment = dict(os.environ)
    # What Hypothesis finds here is no failure of the package.
    environment["HYPOTHESIS_STORAGE_DIRECTORY"] = str(place / "hypothesis")
    if mutant is not None:
        import kafka_email

        shutil.copytree(Path(kafka_email.__file__).parent, place / "python" / "kafka_email")
        apply(mutant, place)
        environment["PYTHONPATH"] = str(place / "python")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test]
    code, output = _run(command, environment)
    if code not in {0, _TESTS_FAILED}:
        raise RuntimeError(f"{test} was not run:\n{output[-2000:]}")
    return re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)


def _cargo(mutant: Mutant | None, test: str, place: Path) -> list[str]:
    source = ROOT
    if mutant is not None:
        source = place
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in filter(None, listed.stdout.split("\0")):
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
        apply(mutant, place)
    command = ["cargo", "test", "--release", "--locked", "--lib", test.removeprefix(RUST)]
    environment = os.environ | {"CARGO_TARGET_DIR": str(ROOT / "target")}
    # cargo takes what it compiled from a copy for that of the sources, which are older. So make these newer.
    newest = ROOT / "src" / "lib.rs"
    if mutant is None:
        newest.touch()
    try:
        code, output = _run([*command, "--manifest-path", str(source / "Cargo.toml")], environment)
    finally:
        newest.touch()
    if not re.search(r"^running [1-9]\d* test", output, re.MULTILINE):
        raise RuntimeError(f"{test} was not run:\n{output[-2000:]}")
    failed = re.findall(r"^test (\S+) \.\.\. FAILED$", output, re.MULTILINE)
    return failed or ([f"{test}, which was aborted"] if code else [])


def _run(command: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            told, _ = running.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)  # cargo's child is the one that does not end
            raise
    return running.returncode, told


def main(names: Sequence[str]) -> int:
    """Prints what becomes of each mutant, and returns how much was not as it should be."""
    chosen = mutants(names)
    wrong = 0
    sick = dict[str, set[str]]()
    for test in dict.fromkeys(mutant.test for mutant in chosen):
        sick[test] = set(killers(None, test))
        wrong += len(sick[test])
        for failed in sorted(sick[test]):
            print(f"{failed} fails without any fault", flush=True)
    for mutant in chosen:
        try:
            killed_by = sorted(set(killers(mutant, mutant.test)) - sick[mutant.test])
        except RuntimeError as error:
            killed_by = []
            print(error, flush=True)
        wrong += not killed_by
        verdict = f"killed by {', '.join(killed_by)}" if killed_by else f"SURVIVES {mutant.test}"
        print(f"{mutant.name}: {verdict}\n    {mutant.fault}", flush=True)
    print(f"{len(chosen)} mutants, {wrong} not as they should be" if chosen else "no such mutant")
    return wrong if chosen else 1


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
