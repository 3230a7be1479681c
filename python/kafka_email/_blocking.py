"""Calls that block a thread: where they are refused, and how they get along with gevent and eventlet."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from kafka_email._core import Handle

ResultT = TypeVar("ResultT")

_running_loop = asyncio._get_running_loop


def is_loop_thread() -> bool:
    """Return whether an event loop of asyncio or uvloop is running on this thread."""
    return _running_loop() is not None


def refuse_on_loop_thread(instead: str) -> None:
    """Refuse to block a thread on which an event loop of asyncio or uvloop is running.

    Raises:
        RuntimeError: One is; says what to call there.
    """
    if is_loop_thread():
        raise RuntimeError(f"this call would block the event loop that runs in this thread: {instead}")


def blocking(function: Callable[..., ResultT], *arguments: Any) -> ResultT:
    """Call a function that blocks its thread; under gevent in the hub's thread pool, so that other greenlets run."""
    if (gevent := _patched("gevent")) is not None:
        result: ResultT = gevent.get_hub().threadpool.apply(function, arguments)
        return result
    if _patched("eventlet") is not None:
        _warn_of_eventlet()
    return function(*arguments)


def wait(handle: Handle, timeout: float | None) -> bool:
    """Wait up to ``timeout`` seconds until a handle is done; return whether it is. The native half calls this.

    Raises:
        RuntimeError: An event loop runs in this thread.
    """
    refuse_on_loop_thread("ask for the result when `done()`, or in a callback (`add_done_callback`)")
    return blocking(handle._wait, timeout)


def run(make: Callable[[], Coroutine[Any, Any, ResultT]], instead: str) -> ResultT:
    """Run a coroutine in this thread, on an event loop of its own.

    Raises:
        RuntimeError: An event loop runs in this thread.
    """
    refuse_on_loop_thread(instead)
    result: ResultT = blocking(_run, make)
    return result


def _run(make: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
    # Not `asyncio.run`: in the main thread it forgets the loop that the application may have set.
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(make())
        try:
            return loop.run_until_complete(task)
        except BaseException:
            task.cancel()
            with suppress(BaseException):
                loop.run_until_complete(task)
            raise
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _patched(package: str) -> Any:
    """Return the package if it has replaced the threads of the standard library."""
    if package not in sys.modules:
        return None
    if package == "gevent":
        monkey = sys.modules.get("gevent.monkey")
        return sys.modules[package] if monkey is not None and monkey.is_module_patched("threading") else None
    patcher = sys.modules.get("eventlet.patcher")
    return sys.modules[package] if patcher is not None and patcher.is_monkey_patched("thread") else None


_warned_of: set[str] = set()


def _warn_of_eventlet() -> None:
    if "eventlet" not in _warned_of:
        _warned_of.add("eventlet")
        message = "kafka_email blocks the whole thread under eventlet while it waits: use gevent or threads"
        warnings.warn(message, RuntimeWarning, stacklevel=4)
