"""The metrics of several workers of one server, which share them through files.

A scrape reaches one of the workers, chosen by the system. prometheus-client has the same problem, and the directory for
its solution is used here too: ``PROMETHEUS_MULTIPROC_DIR`` (https://prometheus.github.io/client_python/multiprocess/).
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from kafka_email.metrics.snapshot import Snapshot

_INTERVAL_S = 2.0
_DEAD_AFTER_S = 5 * _INTERVAL_S
_PATTERN = "kafka_email_{}.json"


class Workers:
    """The files of all workers, and a thread that keeps the file of this one up to date.

    Args:
        directory: Where the files are. The server empties it before it starts, as prometheus-client asks for.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writing = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        threading.Thread(target=self._keep_writing, name="kafka-email-metrics", daemon=True).start()

    def snapshots(self) -> Iterator[tuple[Snapshot, bool]]:
        """Read the snapshot of each worker, and whether the worker still writes."""
        if self._pid != os.getpid():
            self._start()  # this process was forked from the one that made the collector
        self._write()
        for file in self._directory.glob(_PATTERN.format("*")):
            with suppress(FileNotFoundError):  # a server that restarts has just removed it
                yield _read(file)

    def _write(self) -> None:
        file = self._directory / _PATTERN.format(os.getpid())
        with self._writing:
            unfinished = file.with_suffix(".tmp")
            unfinished.write_text(json.dumps(asdict(Snapshot.take())))
            unfinished.replace(file)  # at once: other workers never read a part of it

    def _keep_writing(self) -> None:
        with suppress(OSError):  # the directory is gone: the server has ended
            while True:
                self._write()
                time.sleep(_INTERVAL_S)


def _read(file: Path) -> tuple[Snapshot, bool]:
    is_alive = time.time() - file.stat().st_mtime < _DEAD_AFTER_S
    return Snapshot.from_json(json.loads(file.read_text())), is_alive
