"""The calls of handlers that are under way, on the event loop that started the worker."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context as ContextVariables
from contextvars import copy_context
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, TypeAlias

from kafka_email import _logging, _tracing
from kafka_email.worker.event import context_of, event_of
from kafka_email.worker.mail import Mail
from kafka_email.worker.outcomes import Drop, Permanent, Retry

if TYPE_CHECKING:
    from kafka_email._core import Worker, WorkerJob
    from kafka_email.worker.event import Context, EmailEvent
    from kafka_email.worker.registry import Handler

_MOST_THREADS = 32

Place: TypeAlias = "tuple[str, int, int]"
"""Topic, partition, offset."""


class Calls:
    """Runs the handlers, each in a task and with context variables of its own.

    The log lines about failures come from the native half, which knows what follows from them; why a handler failed is
    known here.

    Args:
        loop: The loop.
        handlers: In the order of the numbers that the native half has for them.
        concurrency: How many calls there are at a time at most.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, handlers: Sequence[Handler], concurrency: int) -> None:
        self._loop = loop
        self._handlers = handlers
        self._threads = ThreadPoolExecutor(min(_MOST_THREADS, concurrency), "kafka-email-handler")
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._causes: dict[Place, str] = {}
        self._traced: set[Place] = set()

    def begin(self, native: Worker, job: WorkerJob) -> None:
        """Call a handler, and answer when it returns."""
        # An empty context: not that of whoever started the worker.
        task = ContextVariables().run(self._loop.create_task, self._call(native, job), name="kafka-email handler")
        self._tasks[job.number] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.number, None))

    def cancel(self, number: int) -> None:
        """Cancel a call for whose answer nobody waits any more."""
        task = self._tasks.pop(number, None)
        if task is not None:
            task.cancel()

    def end(self) -> None:
        """Cancel all calls; a thread that runs a handler goes on until it returns."""
        for number in list(self._tasks):
            self.cancel(number)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def why_failed(self, place: Place) -> str | None:
        """Return, once, why the last call for a record failed; None: it took too long."""
        return self._causes.pop(place, None)

    def take_traced(self, place: Place) -> bool:
        """Return, once, whether the last call for a record has a span already."""
        if place not in self._traced:
            return False
        self._traced.remove(place)
        return True

    async def _call(self, native: Worker, job: WorkerJob) -> None:
        event, context = event_of(job), context_of(job)
        place = (job.topic, job.partition, job.offset)
        named = {"topic": job.topic, "partition": job.partition, "offset": job.offset, "event_id": job.event_id}
        self._causes.pop(place, None)
        try:
            with _tracing.processing(named, event.headers) as has_span:
                if has_span and "traceparent" in event.headers:
                    self._traced.add(place)
                result = await self._result(self._handlers[job.handler], event, context)
            if isinstance(result, Drop):
                _log_dropped(job.email_type, result, named)
                native.answer(job.number, "drop")
            elif isinstance(result, Mail):
                native.answer(job.number, "mail", mail=result)
            else:
                native.answer(job.number, "handled")
        except Retry as wish:
            native.answer(job.number, "retry", delay_s=wish.delay_s)
        except Permanent as verdict:
            if verdict.reason:
                self._causes[place] = verdict.reason
            native.answer(job.number, "permanent")
        except BaseException as error:
            if job.number in self._tasks:
                self._causes[place] = _described(error)
            native.answer(job.number, "failed")
            # `SystemExit` and `KeyboardInterrupt` end the loop; a task that is cancelled by others is done.
            if not isinstance(error, (Exception, asyncio.CancelledError)):
                raise

    async def _result(self, handler: Handler, event: EmailEvent, context: Context) -> Mail | Drop | None:
        try:
            if _is_async(handler):
                result: Any = handler(event, context)
            else:
                result = await self._loop.run_in_executor(
                    self._threads, copy_context().run, _called, handler, event, context
                )
            result = await result if inspect.isawaitable(result) else result
        except Drop as drop:
            return drop
        if result is None or isinstance(result, Mail):
            return result
        raise _WrongResultError(result)


class _WrongResultError(TypeError):
    """A handler returned something else than a ``Mail`` or None."""

    def __init__(self, result: object) -> None:
        super().__init__(f"it returned {type(result).__name__}, not a Mail or None")


def _log_dropped(email_type: str, drop: Drop, place: Mapping[str, Any]) -> None:
    why = f": {drop.reason}" if drop.reason else ""
    where = f"{place['topic']}[{place['partition']}] offset {place['offset']}"
    message = f"the handler of {email_type} dropped {where}{why}"
    _logging.log_worker(logging.DEBUG, "dropped", message, event_type=email_type, **place)


def _called(handler: Callable[..., Any], event: EmailEvent, context: Context) -> Any:
    """Call a handler in a thread. No future takes a ``StopIteration``; it becomes what a coroutine makes of it."""
    try:
        return handler(event, context)
    except StopIteration as stop:
        raise RuntimeError("the handler raised StopIteration").with_traceback(stop.__traceback__) from stop


def _is_async(handler: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def _described(error: BaseException) -> str:
    """Describe an exception without its text, which may hold personal data."""
    if isinstance(error, _WrongResultError):
        return str(error)
    frames = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    lines = [line for _, line in walk_tb(error.__traceback__)]
    return f"{type(error).__name__} at {Path(frames[-1]).name}:{lines[-1]}" if frames else type(error).__name__
