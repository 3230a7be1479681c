"""Scripts that run in a Python process of their own, because of what may happen at its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[2]
SECONDS = 20.0


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    code: int
    """Exit code; negative: the signal that ended it."""
    out: str
    err: str


def run_script(script: str, seconds: float = SECONDS) -> Finished:
    """Runs Python code in a process, with the folder of the tests on its path.

    Raises:
        AssertionError: it did not end in time; with the stacks of its threads.
    """
    with process(["-c", script]) as started:
        return finish(started, seconds)


def assert_clean(finished: Finished, code: int = 0) -> str:
    """Checks that the process ended as it should and had nothing to complain about; returns its output."""
    assert (finished.code, finished.err) == (code, ""), finished
    return finished.out


def search_path() -> str:
    """The tests, and whatever is on the path already: `make mutants` puts a changed copy of the package there."""
    return os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))


@contextmanager
def process(arguments: Sequence[str], **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """Starts Python; at the end of the block it is gone, and so are its children."""
    started = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process group of its own, to be ended as a whole
        env={**os.environ, "PYTHONPATH": search_path(), "PYTHONUNBUFFERED": "1", **environment},
    )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.communicate()


def finish(started: "subprocess.Popen[str]", seconds: float = SECONDS) -> Finished:
    """Waits for the end of a process.

    Raises:
        AssertionError: it did not end in time; with the stacks of its threads.
    """
    try:
        out, err = started.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        started.send_signal(signal.SIGABRT)  # on which faulthandler writes the stacks
        out, err = started.communicate(timeout=SECONDS)
        raise AssertionError(f"still running after {seconds} s\n{out}\n{err}") from None
    return Finished(started.returncode, out, err)
