"""The command line, as a process of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kafka_email.testing import EmbeddedBroker, SmtpSink

COMMAND = [sys.executable, "-m", "kafka_email"]


def variables(broker: EmbeddedBroker, sink: SmtpSink | None = None, **more: str) -> dict[str, str]:
    """What lets the command line use these two."""
    given = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "KAFKA_WORKER_FROM_ADDRESS": "shop@example.com"}
    if sink is not None:
        given |= {"SMTP_HOST": sink.host, "SMTP_PORT": str(sink.port), "SMTP_SECURITY": "none"}
    # Where the topic is created after the start, it is found soon.
    return given | {"KAFKA_WORKER_CONSUMER_OPTIONS": '{"topic.metadata.refresh.interval.ms": "500"}'} | more


def run(*arguments: str, cwd: Path | None = None, **given: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    command, environment = [*COMMAND, *arguments], {**os.environ, **given}
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=50, check=False)


class Running:
    """A command that runs. Its standard error is read line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []

    def wait_for(self, event: str) -> dict[str, Any]:
        """Read on until the line of an event, which is JSON."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("{") and json.loads(line)["event"] == event:
                return dict(json.loads(line))
        raise AssertionError(f"it ended without {event}:\n{''.join(self.lines)}")

    def exit_code(self) -> int:
        """Read all that is left, and wait."""
        assert self.process.stderr is not None
        self.lines += self.process.stderr.readlines()
        return self.process.wait(30)

    @property
    def events(self) -> list[str]:
        """The events of the lines so far."""
        return [json.loads(line)["event"] for line in self.lines]


@contextmanager
def running(*arguments: str, cwd: Path | None = None, **given: str) -> Iterator[Running]:
    """Run a command in this block; what is left of it afterwards is killed."""
    command, environment = [*COMMAND, *arguments], {**os.environ, **given}
    with subprocess.Popen(command, env=environment, cwd=cwd, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def eventually(holds: Any, what: str) -> None:
    """Wait until something holds that no event tells."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
