"""Postfix's smtp-sink, which accepts mails as a real server does."""

import functools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from support.ports import HOST, free_port
from support.smtp.packages import unpacked

START_S = 20.0
_BACKLOG = "100"


@functools.cache
def smtp_sink_command() -> tuple[str, dict[str, str]]:
    """Path of `smtp-sink`, and the environment that it needs.

    Raises:
        MissingError: it is not installed, and could not be fetched.
    """
    installed = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/libexec/postfix")
    if installed:
        return installed, {}
    folder = unpacked("postfix")
    libraries = sorted({str(file.parent) for file in folder.rglob("*.so*")})
    return str(folder / "usr/sbin/smtp-sink"), {"LD_LIBRARY_PATH": ":".join(libraries)}


class PostfixSink:
    """A running smtp-sink; options as on its command line, such as `-8` or `-q DATA`."""

    def __init__(self, *options: str) -> None:
        """Starts nothing yet."""
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.host = HOST
        self.port = free_port()

    def __enter__(self) -> "PostfixSink":
        """Starts it, and waits until it listens."""
        command, environment = smtp_sink_command()
        self._folder = tempfile.TemporaryDirectory()
        # For root it asks for the user to run as.
        user = ["-u", "root"] if os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            [command, *user, *self._options, "-d", f"{self._folder.name}/", f"{self.host}:{self.port}", _BACKLOG],
            env={**os.environ, **environment},
        )
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends it and drops its mails."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def mails(self) -> list[str]:
        """The accepted mails, in no order, behind the envelope as headers X-Mail-Args and X-Rcpt-Args."""
        return [file.read_text() for file in Path(self._folder.name).iterdir()]

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        assert self._process is not None
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection((self.host, self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        self._process.kill()
        raise AssertionError(f"smtp-sink does not listen; exit code {self._process.wait()}")
