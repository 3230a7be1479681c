"""Runs a worker until a signal, or the worker itself, ends it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from kafka_email.cli.errors import ABORTED, GAVE_UP, INCOMPLETE, MISCONFIGURED, Failed
from kafka_email.cli.pages import served
from kafka_email.exceptions import NotStartedError

if TYPE_CHECKING:
    from kafka_email.worker import Worker

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def serve(worker: Worker) -> int:
    """Run a worker, and its pages if they have a port. SIGINT and SIGTERM drain it, the second one aborts it.

    Returns:
        The exit code.

    Raises:
        Failed: A mistake in the configuration was found, or the worker gave up.
    """
    config, draining = worker.config, threading.Event()
    port = config.health_port
    pages = nullcontext() if port is None else served(worker, config.health_host, port, draining)
    with pages:
        return await Serving(worker, draining).run()


class Serving:
    """One run of a worker."""

    def __init__(self, worker: Worker, draining: threading.Event) -> None:
        self._worker = worker
        self._draining = draining
        self._start: asyncio.Task[None] | None = None
        self._stop: asyncio.Task[object] | None = None
        self._is_aborted = False

    async def run(self) -> int:
        """Start, wait for the end, and return the exit code."""
        with signals_call(self.end):
            self._start = asyncio.create_task(self._worker.start())
            with suppress(asyncio.CancelledError, NotStartedError):
                await self._start
            if self._start.cancelled():
                await self._worker.stop()
            return await self._exit_code()

    async def _exit_code(self) -> int:
        try:
            ending = await self._worker.wait_ended()
        except NotStartedError:  # a signal came before there was anything to end
            return ABORTED if self._is_aborted else 0
        if ending.how == "misconfigured":
            raise Failed(ending.reason or "", MISCONFIGURED)
        if ending.how == "gave_up":
            raise Failed(ending.reason or "", GAVE_UP)
        if self._is_aborted:
            return ABORTED
        return INCOMPLETE if ending.abandoned else 0

    def end(self) -> None:
        """Drain; the second time, abort."""
        if self._draining.is_set():
            self._is_aborted = True
            self._worker.abort()
            return
        self._draining.set()
        if self._start is not None and not self._start.done():
            self._start.cancel()
        else:
            self._stop = asyncio.create_task(self._worker.stop())


@contextmanager
def signals_call(function: Callable[[], None]) -> Iterator[None]:
    """Let SIGINT and SIGTERM call a function on the running event loop."""
    loop = asyncio.get_running_loop()
    before = {number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(function)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
