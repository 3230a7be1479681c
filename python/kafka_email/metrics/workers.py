"""The metrics of several workers of one server, which share them through files.

A scrape reaches one of the workers, chosen by the system. prometheus-client has the same problem, and the directory for
its solution is used here too: ``PROMETHEUS_MULTIPROC_DIR`` (https://prometheus.github.io/client_python/multiprocess/).
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from kafka_email import _logging
from kafka_email.metrics.snapshot import Snapshot

_INTERVAL_S = 2.0
_DEAD_AFTER_S = 5 * _INTERVAL_S
_PREFIX, _SUFFIX = "kafka_email_", ".json"
_SNAPSHOT = TypeAdapter(Snapshot)


class Workers:
    """The files of all workers, and a thread that keeps the file of this one up to date, also in forked children.

    Args:
        directory: Where the files are. The server empties it before it starts, as prometheus-client asks for.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)
        atexit.register(self._write_at_exit)

    def _begin(self) -> None:
        self._file = self._directory / f"{_PREFIX}{os.getpid()}{_SUFFIX}"
        self._writing = threading.Lock()  # another thread of the parent may hold the old one
        self._is_failing = False
        self._unreadable: set[str] = set()
        with suppress(RuntimeError):  # no thread left: the file is as old as the last scrape of this worker
            threading.Thread(target=self._keep_writing, name="kafka-email-metrics", daemon=True).start()

    def snapshots(self) -> Iterator[tuple[Snapshot, bool]]:
        """Yield the snapshot of each worker, and whether the worker still writes. Damaged files are left out."""
        own = self._update()
        yield own, True
        for file in self._others():
            try:
                snapshot, is_alive = _read(file)
            except FileNotFoundError:  # a server that restarts has just removed it
                continue
            except (OSError, ValueError):
                self._report_unreadable(file)
                continue
            if snapshot.fits(own):
                yield snapshot, is_alive
            else:
                self._report_unreadable(file)

    def _others(self) -> list[Path]:
        try:
            files = list(self._directory.iterdir())
        except OSError:  # `_update` has reported it
            return []
        shared = (file for file in files if file.name.startswith(_PREFIX) and file.suffix == _SUFFIX)
        return [file for file in shared if file != self._file]

    def _keep_writing(self) -> None:
        while True:
            self._update()
            time.sleep(_INTERVAL_S)

    def _update(self) -> Snapshot:
        """Take a snapshot of this worker and write it; a failure is logged, once until it succeeds again."""
        try:
            snapshot = self._write()
        except OSError as error:
            if not self._is_failing:
                self._is_failing = True
                message = (
                    f"other workers do not see the metrics of this one: cannot write {self._file}: {error.strerror}"
                )
                _log(logging.WARNING, "metrics_not_written", message)
            return Snapshot.take()
        self._is_failing = False
        return snapshot

    def _write(self) -> Snapshot:
        # Under the lock from the beginning: an older snapshot never takes the place of a newer one.
        with self._writing:
            snapshot = Snapshot.take()
            if not snapshot.is_empty:
                unfinished = self._file.with_suffix(".tmp")
                unfinished.write_bytes(_SNAPSHOT.dump_json(snapshot))
                unfinished.replace(self._file)  # at once: other workers never read a part of it
            return snapshot

    def _write_at_exit(self) -> None:
        with suppress(OSError):  # the server has removed the directory
            self._write()

    def _report_unreadable(self, file: Path) -> None:
        if file.name not in self._unreadable:
            self._unreadable.add(file.name)
            message = f"the metrics of a worker are not counted: {file} is damaged, or of another version"
            _log(logging.WARNING, "metrics_unreadable", message)


def _log(level: int, event: str, message: str) -> None:
    with suppress(Exception):  # of the application's log filters and handlers: neither breaks a scrape
        _logging.log(level, event, message)


@cache
def workers(directory: Path) -> Workers:
    """Return the workers that share a directory, the same ones to all collectors: a process has one file there."""
    return Workers(directory)


def _read(file: Path) -> tuple[Snapshot, bool]:
    is_alive = time.time() - file.stat().st_mtime < _DEAD_AFTER_S
    return _SNAPSHOT.validate_json(file.read_bytes()), is_alive
