"""One call of a task that is being moved."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from kafka_email.celery.event import TaskEvent
from kafka_email.celery.fields import EmailFields
from kafka_email.celery.task import EmailTask


class Call:
    """The arguments of a call. They are bound when that is needed, and once: a body that computes fields may be slow.

    Args:
        task: The new task.
        args: Positional arguments.
        kwargs: Keyword arguments.
        options: Options of ``apply_async``.
    """

    def __init__(self, task: EmailTask[Any], args: Any, kwargs: Any, options: Mapping[str, Any] | None = None) -> None:
        self._task = task
        self._args = args
        self._kwargs = kwargs
        self._options = options

    @cached_property
    def fields(self) -> EmailFields:
        """The fields of the e-mail."""
        return self._task.fields(self._args, self._kwargs)

    def event(self) -> TaskEvent:
        """Return the event that the new task publishes."""
        return self._task.event(self.fields, self._options)
