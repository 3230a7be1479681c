"""One run of a worker, from its start to its end: the native worker, and what hears of its news."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

from kafka_email import _core, _logging, _tracing
from kafka_email._token import TokenRefresher, native_token
from kafka_email._wakeup import listen
from kafka_email.worker.calls import Calls
from kafka_email.worker.report import Ending

if TYPE_CHECKING:
    from kafka_email._core import WorkerJob
    from kafka_email.worker.plan import Plan

_EXIT_PATIENCE_S = 5.0
_EXIT_ABORT_S = 1.0
_GLANCE_S = 0.01


class Run:
    """A native worker that runs, or has ended; it listens to its news.

    Attributes:
        start: Done when the worker is at work, or waits for Kafka or the mail server to be: with None. With its ending
            when it has ended instead.
        ending: Done, with how, when the worker has ended.
        callers: How many calls of ``start()`` wait for it.

    Raises:
        ConfigurationError: The configuration cannot work; at once.
    """

    def __init__(self, plan: Plan) -> None:
        self.start: Future[Ending | None] = Future()
        self.ending: Future[Ending] = Future()
        self.callers = 0
        self._plan = plan
        self._pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._calls = Calls(self._loop, plan.handlers, plan.concurrency)
        self._began = time.monotonic()
        log_native = _logging.librdkafka.isEnabledFor(logging.DEBUG)
        kafka_token = None if plan.kafka_token is None else native_token(plan.kafka_token)
        smtp_token = None if plan.smtp_token is None else plan.smtp_token.value
        self._native = _core.Worker(plan.native_settings, self, log_native, kafka_token, smtp_token)
        self._refreshers = self._renew_tokens()
        self._unlisten: Callable[[], object] = listen(self._loop, self._native)
        _running.add(self)

    def _renew_tokens(self) -> list[TokenRefresher]:
        plan, native, refreshers = self._plan, self._native, []
        if plan.kafka_tokens is not None and plan.kafka_token is not None:
            renew = TokenRefresher(
                plan.kafka_tokens, plan.kafka_token, lambda fresh: native.set_token(native_token(fresh))
            )
            refreshers.append(renew)
        if plan.smtp_tokens is not None and plan.smtp_token is not None:
            renew = TokenRefresher(plan.smtp_tokens, plan.smtp_token, lambda fresh: native.set_smtp_token(fresh.value))
            refreshers.append(renew)
        return refreshers

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked since the start: the threads of the worker do not exist here."""
        return os.getpid() != self._pid

    @property
    def is_alive(self) -> bool:
        """Whether the worker runs in this process."""
        return not self.is_inherited and not self.ending.done()

    def drain(self) -> None:
        """Let the records at work finish, and end."""
        self._move_to_living_loop()
        self._native.drain()

    def abort(self) -> None:
        """Give everything up at once, and end."""
        self._move_to_living_loop()
        self._native.abort()

    def snapshot(self) -> _core.WorkerSnapshot:
        """Return the counters and gauges."""
        return self._native.snapshot()

    async def wait_ended(self) -> Ending:
        """Wait on any event loop until the worker has ended."""
        self._move_to_living_loop()
        # Shielded: to cancel one that waits must not cancel what others wait for.
        return await asyncio.shield(asyncio.wrap_future(self.ending))

    def _move_to_living_loop(self) -> None:
        """Hear the news on the loop that runs now, if the loop of the start is closed."""
        if self._loop.is_closed():
            self._loop = asyncio.get_running_loop()
            self._unlisten = listen(self._loop, self._native)

    # What the native half calls.

    def log(self, level: int, event: str, message: str, details: dict[str, Any]) -> None:
        """Write a line, with the reason that only the handler knew."""
        if event in {"handler_failed", "dead_lettered"}:
            why = self._calls.why_failed((details["topic"], details["partition"], details["offset"]))
            if why is None and event == "handler_failed":
                why = f"no result within {self._plan.handler_timeout_s:g} s"
            message = message if why is None else f"{message}: {why}"
        _logging.log_worker(level, event, message, **details)

    def started(self) -> None:
        """Tell those who wait for the start."""
        if not self.start.done():
            self.start.set_result(None)
            names = ", ".join(self._plan.topics)
            message = f"started: group {self._plan.group_id}, topics {names}"
            _logging.log_worker(
                logging.INFO, "worker_started", message, group=self._plan.group_id, topics=self._plan.topics
            )

    def call(self, job: WorkerJob) -> None:
        """Call a handler."""
        self._calls.begin(self._native, job)

    def cancel(self, number: int) -> None:
        """Cancel a call."""
        self._calls.cancel(number)

    def processed(self, span: dict[str, Any]) -> None:
        """Add a span to the application's trace."""
        if not self._calls.take_traced((span["topic"], span["partition"], span["offset"])):
            _tracing.trace_processed(span)

    def ended(self, how: str, text: str | None, finished: int, abandoned: int) -> None:
        """Release everything, and tell those who wait for the end."""
        _running.discard(self)
        self._unlisten()
        self._calls.end()
        for refresher in self._refreshers:
            refresher.cancel()
        ending = Ending(cast("Any", how), text, finished, abandoned)
        self.ending.set_result(ending)
        if not self.start.done():
            self.start.set_result(ending)
        else:
            level, message = _last_line(ending)
            elapsed_s = time.monotonic() - self._began
            _logging.log_worker(level, "worker_stopped", f"{message}, {elapsed_s:.0f} s after the start")

    def end_at_exit(self) -> None:
        """Drain, for a few seconds at most: the process ends."""
        for end, patience_s in ((self._native.drain, _EXIT_PATIENCE_S), (self._native.abort, _EXIT_ABORT_S)):
            if self.is_alive:
                end()
                deadline = time.monotonic() + patience_s
                while self.is_alive and time.monotonic() < deadline:
                    self._native.settle()
                    time.sleep(_GLANCE_S)


def _last_line(ending: Ending) -> tuple[int, str]:
    if ending.how == "drained":
        return logging.INFO, f"stopped: {ending.finished} records finished, {ending.abandoned} cut off"
    return logging.ERROR, f"stopped: {ending.reason}"


_running: set[Run] = set()
"""Those that run in this process: nobody else may have them when the process ends."""


def _end_all_at_exit() -> None:
    for run in list(_running):
        if run.is_alive:
            run.end_at_exit()


atexit.register(_end_all_at_exit)
