"""A task: a function whose calls publish e-mail events."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import update_wrapper
from importlib import import_module
from types import FunctionType
from typing import Any, ParamSpec
from weakref import WeakValueDictionary

from kafka_email._blocking import is_loop_thread
from kafka_email._core import RecordMetadata
from kafka_email.celery.event import TaskEvent
from kafka_email.celery.fields import Binding, EmailFields
from kafka_email.celery.on_commit import OnCommit
from kafka_email.celery.options import check_options, expires_at
from kafka_email.celery.queues import Queues
from kafka_email.celery.refused import WithoutCanvas
from kafka_email.celery.result import EmailResult

__all__ = ["EmailTask"]

P = ParamSpec("P")


@dataclass(frozen=True)
class Settings:
    """What the decorator was given.

    Attributes:
        email_type: Which e-mail to send.
        name: The name of the task.
        wait: Whether ``delay`` waits for the acknowledgement.
        queues: Topics by the names of queues.
        queue: The queue of calls that name none.
        expires: After how many seconds, or when, the e-mail is too old.
    """

    email_type: str
    name: str
    wait: bool
    queues: Queues
    queue: Any
    expires: float | datetime | None


class TaskSignature:
    """The ``__signature__`` of a task: that of its function."""

    def __get__(self, task: Any, owner: type) -> inspect.Signature:
        if task is None:
            raise AttributeError("__signature__")
        return inspect.signature(task.__wrapped__)


class EmailTask(OnCommit[P], WithoutCanvas):
    """A function whose calls publish e-mail events; made by ``email_task``.

    Where arguments are those of the function, they are bound as in a call of it: ``TypeError`` if it has no such
    parameters. An event that is not valid is Pydantic's ``ValidationError``.
    """

    __signature__ = TaskSignature()
    __wrapped__: FunctionType

    def __init__(self, function: FunctionType, binding: Binding, settings: Settings) -> None:
        update_wrapper(self, function, updated=())
        self._binding = binding
        self._settings = settings
        _tasks[self.name] = self

    def __repr__(self) -> str:
        return f"<EmailTask: {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _find, (self.__module__, self.name)

    @property
    def name(self) -> str:
        """The name of the task: ``module.function`` unless the decorator was given another."""
        return self._settings.name

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> EmailResult:
        """Publish the event of a call, and wait until it is stored.

        It does not wait with ``email_task(…, wait=False)``, and where an event loop runs in this thread.

        Raises:
            KafkaError: The event was not stored, or could not be queued.
        """
        return self.send(self.event(self._binding(args, kwargs)))

    def apply_async(
        self, args: Any = None, kwargs: Any = None, task_id: str | None = None, **options: Any
    ) -> EmailResult:
        """Publish the event of a call as ``delay`` does, with the options that docs/celery.md lists.

        Args:
            args: Positional arguments of the function, a list or a tuple.
            kwargs: Keyword arguments of the function, a mapping.
            task_id: The event id; a new one when None.
            options: ``expires``, ``headers``, ``queue`` and others.

        Raises:
            KafkaError: The event was not stored, or could not be queued.
            NotImplementedError: An option asks for what is not possible here; says what to do instead.
            TypeError: There is no such option.
            ValueError: The queue is not one of the decorator's ``queues``, or the id is not valid.
        """
        return self.send(self.event(self.fields(args, kwargs), {**options, "task_id": task_id}))

    def apply(self, args: Any = None, kwargs: Any = None, **options: Any) -> EmailResult:
        """Publish the event of a call as ``apply_async``, and always wait until it is stored."""
        return EmailResult(self.event(self.fields(args, kwargs), options).store())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> RecordMetadata:
        """Publish the event of a call, wait until it is stored, and return where."""
        return self.event(self._binding(args, kwargs)).store()

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> EmailResult:
        """Publish the event of a call, and wait on the event loop until it is stored."""
        return EmailResult(await self.event(self._binding(args, kwargs)).astore())

    def fields(self, args: Any, kwargs: Any) -> EmailFields:
        """Bind the arguments of ``apply_async`` to the fields of the e-mail."""
        args, kwargs = args or (), kwargs or {}
        if not isinstance(args, (list, tuple)):
            raise TypeError("args must be a list or a tuple")
        if not isinstance(kwargs, Mapping):
            raise TypeError("kwargs must be a mapping")
        return self._binding(args, kwargs)

    def event(self, fields: EmailFields, options: Mapping[str, Any] | None = None) -> TaskEvent:
        """Return the event that a call with these options of ``apply_async`` publishes."""
        settings, options, now = self._settings, options or {}, datetime.now(timezone.utc)
        if options:
            check_options(options, now)
        return TaskEvent(
            settings.email_type,
            fields,
            topic=settings.queues.topic(options.get("queue", settings.queue)),
            headers=options.get("headers"),
            event_id=options.get("task_id"),
            expires_at=expires_at(options.get("expires", settings.expires), now),
        )

    def send(self, event: TaskEvent) -> EmailResult:
        """Publish an event, and wait for it where this task does and the thread may."""
        waits = self._settings.wait and not is_loop_thread()
        return EmailResult(event.store() if waits else event.queue())


_tasks: WeakValueDictionary[str, EmailTask[Any]] = WeakValueDictionary()
"""By name: that of the function may mean something else by now, such as the task inside `moving`."""


def _find(module: str, name: str) -> EmailTask[Any]:
    """Return the task that was pickled; its module defines it."""
    import_module(module)
    return _tasks[name]
