"""The processes of a fault test: the mail server, and the workers, which are replaced when they are killed."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from support.package.process import TESTS
from support.ports import free_port
from support.watchdog import dismiss, watch

_POLL_S = 0.1
START_S = 60.0


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Blocks until the condition holds.

    Raises:
        AssertionError: it does not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds} s: {what}"
        time.sleep(_POLL_S)


class ChildProcess:
    """A Python process that writes what it has to say into a file, and is gone when this one is."""

    def __init__(self, arguments: Sequence[str], log: Path, stdin: int = subprocess.DEVNULL) -> None:
        """Starts it."""
        self._log = log
        self._offset = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", *arguments],
                stdin=stdin,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=TESTS,
            )
        self._watchdog = watch(self._process.pid)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        """Where its commands go."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        code = self._process.poll()
        if code is not None:
            dismiss(self._watchdog)
        return code

    @property
    def said(self) -> str:
        """All that it has written."""
        return self._log.read_bytes()[self._offset :].decode(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Waits for its end, and returns its exit code."""
        wait_until(lambda: self.code is not None, seconds, f"still runs: {self.said[-2000:]}")
        assert self.code is not None
        return self.code

    def end(self) -> None:
        """Kills it if it still runs."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        dismiss(self._watchdog)


class MailServer:
    """The mail server in a process of its own. Its port and its ledger outlive every restart."""

    def __init__(self, folder: Path, refuse_every: int) -> None:
        """Does not start it yet."""
        self._ledger, self._log = folder / "ledger", folder / "mail-server.log"
        self.port = free_port()
        self._refuse_every = refuse_every
        self._process: ChildProcess | None = None

    def start(self) -> None:
        """Starts it, and waits until it listens."""
        arguments = ["-m", "support.worker.mail_server", str(self._ledger), str(self.port), str(self._refuse_every)]
        process = self._process = ChildProcess(arguments, self._log, subprocess.PIPE)
        wait_until(lambda: "listening" in process.said, START_S, "the mail server does not listen")

    def kill(self) -> None:
        """Kills it (SIGKILL)."""
        if self._process is not None:
            self._process.end()

    def order(self, command: str) -> None:
        """Sends a command: see `mail_server`."""
        assert self._process is not None
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()

    def delivered(self) -> list[str]:
        """The event ids of the accepted mails, in the order of their acceptance."""
        if not self._ledger.exists():
            return []
        # A line that a kill has cut has no end.
        *whole, _ = self._ledger.read_text().split("\n")
        return [line.split()[0] for line in whole if line]


class Fleet:
    """So many consumers of one group. One that is killed is replaced at once, as a supervisor does."""

    def __init__(self, module: str, size: int, wish: dict[str, Any], folder: Path) -> None:
        """Takes the script that a worker runs, and what it is told."""
        self._module, self._size, self._wish, self._folder = module, size, wish, folder
        self._workers: list[ChildProcess] = []
        self.kills = 0
        """How many died of SIGKILL."""
        self.failures: list[str] = []
        """The last words of those that ended by themselves."""
        self._is_over = threading.Event()
        self._keeper = threading.Thread(target=self._keep)
        self._started = 0

    def __enter__(self) -> "Fleet":
        """Starts all, and waits until they say that they have started."""
        for _ in range(self._size):
            self._spawn()
        for worker in self._workers:
            wait_until(lambda: "started" in worker.said, START_S, f"not started: {worker.said}")  # noqa: B023
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends what still runs."""
        self._stop_keeping()
        for worker in self._workers:
            worker.end()

    @property
    def oldest(self) -> ChildProcess:
        """The worker that has run longest."""
        return self._workers[0]

    def said(self) -> str:
        """What all workers wrote, those that are gone included."""
        return "".join(log.read_text(errors="replace") for log in sorted(self._folder.glob("worker-*.log")))

    def await_shares(self, seconds: float) -> None:
        """Waits until every worker has got partitions."""
        wait_until(lambda: all("assigned" in worker.said for worker in list(self._workers)), seconds, self.said())

    def await_kills(self, count: int, seconds: float) -> None:
        """Waits until so many have died of SIGKILL."""
        wait_until(lambda: self.kills >= count, seconds, f"{self.kills} of {count} workers were killed")

    def guest(self) -> ChildProcess:
        """Starts one more worker, which is not replaced when it ends."""
        return self._start()

    def drain(self, seconds: float) -> list[int]:
        """Ends all in an orderly way, and returns their exit codes."""
        self._stop_keeping()
        for worker in self._workers:
            worker.signal(signal.SIGTERM)
        return [worker.wait(seconds) for worker in self._workers]

    def _spawn(self) -> None:
        self._workers.append(self._start())

    def _start(self) -> ChildProcess:
        self._started += 1
        log = self._folder / f"worker-{self._started:03}.log"
        return ChildProcess(["-m", self._module, json.dumps(self._wish)], log)

    def _keep(self) -> None:
        while not self._is_over.wait(_POLL_S):
            for worker in list(self._workers):
                if worker.code is None:
                    continue
                if worker.code == -signal.SIGKILL:
                    self.kills += 1
                else:
                    self.failures.append(f"exit code {worker.code}: {worker.said[-1000:]}")
                self._workers.remove(worker)
                self._spawn()

    def _stop_keeping(self) -> None:
        self._is_over.set()
        if self._keeper.is_alive():
            self._keeper.join()
