"""Calls the callbacks of handles, on one thread, which runs from the first callback to ``stop()`` or the exit."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from kafka_email._blocking import blocking
from kafka_email._core import Completions, Handle, RecordMetadata

_JOIN_S = 3.0


class _Callbacks:
    """The callbacks that wait for their handles to be done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys = itertools.count()
        self._waiting: dict[int, tuple[Handle, Callable[[Handle], object]]] = {}
        self._running: tuple[threading.Thread, Completions] | None = None

    def add(self, handle: Handle, function: Callable[[Handle], object]) -> None:
        with self._lock:
            completions = self._started()
            key = next(self._keys)
            self._waiting[key] = handle, function
            # With the lock held: `end` closes the completions, which take no key afterwards.
            handle._tell(completions, key)

    def end(self) -> threading.Thread | None:
        """Let the thread end when it has called the callbacks of the handles that are done."""
        with self._lock:
            if self._running is None:
                return None
            thread, completions = self._running
            self._running = None
            completions.close()
            return thread

    def _started(self) -> Completions:
        if self._running is None:
            completions = Completions()
            # A daemon, because a callback may last for ever; the exit waits for it for a moment.
            thread = threading.Thread(target=self._run, args=(completions,), name="kafka-email-callbacks", daemon=True)
            thread.start()
            self._running = thread, completions
        return self._running[1]

    def _run(self, completions: Completions) -> None:
        while (keys := blocking(completions.take)) is not None:
            for key in keys:
                handle, function = self._waiting.pop(key)
                try:
                    function(handle)
                except Exception:
                    # As for any thread: the application decides what becomes of it.
                    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


_callbacks = _Callbacks()


def add(handle: Handle, function: Callable[[Handle], object]) -> None:
    """Call ``function(handle)`` on the callbacks' thread when the handle is done.

    Raises:
        TypeError: ``function`` cannot be called.
    """
    if not callable(function):
        raise TypeError(f"a callback is called with the handle: {type(function).__name__} cannot be called")
    _callbacks.add(handle, function)


def future_of(handle: Handle) -> Future[RecordMetadata]:
    """Return a future of the handle's result. It cannot be cancelled: the event is queued already."""
    future: Future[RecordMetadata] = Future()
    future.set_running_or_notify_cancel()

    def settle(done: Handle) -> None:
        error: Any = done.exception()
        if error is None:
            future.set_result(done.result())
        else:
            future.set_exception(error)

    add(handle, settle)
    return future


def end() -> None:
    """Let the thread end after the callbacks of the handles that are done."""
    _callbacks.end()


def end_at_exit() -> None:
    """As ``end``, and wait for the thread for a moment."""
    thread = _callbacks.end()
    if thread is not None and thread is not threading.current_thread():
        thread.join(_JOIN_S)


def _forget_inherited() -> None:
    global _callbacks
    _callbacks = _Callbacks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited)
