"""The move of an application, task by task: each call goes to Celery's task or to ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import update_wrapper
from typing import Any, ParamSpec

from kafka_email._logging import log_task
from kafka_email.celery.call import Call
from kafka_email.celery.event import TaskEvent
from kafka_email.celery.on_commit import OnCommit
from kafka_email.celery.refused import WithoutCanvas
from kafka_email.celery.result import EmailResult
from kafka_email.celery.share import Share, is_moved, read_share
from kafka_email.celery.task import EmailTask, TaskSignature
from kafka_email.exceptions import KafkaError
from kafka_email.topics import topic_name

__all__ = ["Moving", "moving"]

P = ParamSpec("P")


def moving(
    *,
    old: Any,
    new: EmailTask[P],
    share: Share = 0.0,
    fall_back: bool = False,
    shadow: str | None = None,
) -> Moving[P]:
    """Make a task whose calls go to Celery's task or to the new one; a hash of the recipient decides.

    Args:
        old: The Celery task.
        new: The task that takes its place.
        share: The share of the new task, from 0 to 1: a number, or what is read at each call, a callable or the name of
            an environment variable.
        fall_back: Call the old task if the event of the new one has failed and certainly is not stored.
        shadow: A topic that gets the events of the calls that go to the old task.

    Raises:
        TypeError: ``new`` was not made by ``email_task``.
        ValueError: The share is not a number from 0 to 1, or Kafka allows no such topic name.
    """
    if not isinstance(new, EmailTask):
        raise TypeError("new must be a task made by email_task, and old the Celery task")
    if not isinstance(share, str) and not callable(share):
        read_share(share)
    return Moving(old, new, share, fall_back, None if shadow is None else topic_name(shadow))


class Moving(OnCommit[P], WithoutCanvas):
    """A task of which a share was moved; made by ``moving``. It has the methods of ``EmailTask``."""

    __signature__ = TaskSignature()

    def __init__(self, old: Any, new: EmailTask[P], share: Share, fall_back: bool, shadow: str | None) -> None:
        update_wrapper(self, new.__wrapped__, updated=())
        self._old = old
        self._new = new
        self._share = share
        self._falls_back = fall_back
        self._shadow = shadow

    def __repr__(self) -> str:
        return f"<Moving: {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Moving, (self._old, self._new, self._share, self._falls_back, self._shadow)

    @property
    def name(self) -> str:
        """The name of the new task."""
        return self._new.name

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call ``delay`` of one of the two tasks; returns its result."""
        return self._send(Call(self._new, args, kwargs), lambda: self._old.delay(*args, **kwargs))

    def apply_async(self, args: Any = None, kwargs: Any = None, task_id: str | None = None, **options: Any) -> Any:
        """Call ``apply_async`` of one of the two tasks; returns its result."""
        if task_id is not None:
            options["task_id"] = task_id
        call = Call(self._new, args, kwargs, options)
        return self._send(call, lambda: self._old.apply_async(args, kwargs, **options))

    def apply(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Call ``apply`` of one of the two tasks; returns its result."""
        call = Call(self._new, args, kwargs, options)
        return self._publish(call, _stored, lambda: self._old.apply(args, kwargs, **options))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call one of the two tasks; returns what it returns."""
        return self._publish(Call(self._new, args, kwargs), TaskEvent.store, lambda: self._old(*args, **kwargs))

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call ``adelay`` of the new task, or ``delay`` of the old one in a thread; returns its result."""
        call = Call(self._new, args, kwargs)
        moved = self._is_moved(call)
        if moved:
            try:
                return EmailResult(await call.event().astore())
            except KafkaError as error:
                if not self._may_fall_back(error):
                    raise
        result = await asyncio.to_thread(self._old.delay, *args, **kwargs)
        if not moved:
            self._copy(call)
        return result

    def _send(self, call: Call, old: Callable[[], Any]) -> Any:
        def new(event: TaskEvent) -> EmailResult:
            result = self._new.send(event)
            if self._falls_back:
                result.when_failed(lambda error: _fall_back_late(error, old))
            return result

        return self._publish(call, new, old)

    def _publish(self, call: Call, new: Callable[[TaskEvent], Any], old: Callable[[], Any]) -> Any:
        moved = self._is_moved(call)
        if moved:
            try:
                return new(call.event())
            except KafkaError as error:
                if not self._may_fall_back(error):
                    raise
        result = old()
        if not moved:
            self._copy(call)
        return result

    def _is_moved(self, call: Call) -> bool:
        share = read_share(self._share)
        return share > 0 and is_moved(call.fields["email"], share)

    def _may_fall_back(self, error: KafkaError) -> bool:
        return self._falls_back and not error.maybe_delivered

    def _copy(self, call: Call) -> None:
        """Publish the event to the shadow topic; a later failure is logged like that of any handle nobody keeps."""
        if self._shadow is None:
            return
        try:
            replace(call.event(), topic=self._shadow).queue()
        except Exception as error:
            # Log only the type of any other error: its message may contain personal data, as Pydantic's do.
            reason = str(error) if isinstance(error, KafkaError) else type(error).__name__
            message = f"no shadow of a call of {self.name} in {self._shadow}: {reason}"
            log_task(logging.WARNING, "shadow_failed", message)


def _stored(event: TaskEvent) -> EmailResult:
    return EmailResult(event.store())


def _fall_back_late(error: KafkaError, old: Callable[[], Any]) -> None:
    """Call the old task when nobody waits any more, in the thread of callbacks."""
    if error.maybe_delivered:
        return
    try:
        old()
    except Exception as again:
        message = f"event {error.event_id} failed, and so did the old task: {type(again).__name__}"
        log_task(logging.ERROR, "fall_back_failed", message)
