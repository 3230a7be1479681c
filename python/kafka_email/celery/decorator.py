"""The decorator that makes a task of a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from types import FunctionType
from typing import Any, ParamSpec

from kafka_email._validation import email_type_name
from kafka_email.celery.annotations import returns_fields
from kafka_email.celery.body import does_nothing, is_plain
from kafka_email.celery.fields import Binding, ByName, Computed
from kafka_email.celery.options import check_decorator, expires_at
from kafka_email.celery.queues import Queues
from kafka_email.celery.task import EmailTask, Settings

__all__ = ["email_task"]

P = ParamSpec("P")


def email_task(
    email_type: str,
    *,
    recipient: str | None = None,
    username: str | None = None,
    link: str | None = None,
    wait: bool = True,
    queues: Mapping[str, str] | None = None,
    name: str | None = None,
    queue: Any = None,
    expires: float | datetime | None = None,
    **options: Any,
) -> Callable[[Callable[P, Any]], EmailTask[P]]:
    """Make a task of a function; its calls publish e-mail events.

    The parameters become the fields of the e-mail by their names. The body is a docstring, ``...`` or ``pass``, or the
    function is annotated ``-> EmailFields`` and computes the fields.

    Args:
        email_type: Which e-mail to send: ``[a-z][a-z0-9_]{0,63}``.
        recipient: The parameter with the address, where its name does not say so.
        username: The parameter with the name of the recipient, where its name does not say so.
        link: The parameter with the link, where its name does not say so.
        wait: Whether ``delay`` waits for the acknowledgement.
        queues: Topics by the names of queues; without it queues have no effect.
        name: Name of the task; ``module.function`` when None.
        queue: The queue of calls that name none.
        expires: After how many seconds, or when, the e-mail is too old; a naive datetime means UTC.
        options: Options of Celery's decorator that have no effect, because the worker does the retries.

    Raises:
        TypeError: The function cannot be a task, an option has a wrong type, or there is no such option; says why.
        ValueError: There is no such queue, topic, time or type of e-mail.
    """
    if callable(email_type):
        raise TypeError('email_task needs the type of the e-mail: @email_task("verification")')
    kind = email_type_name(email_type)
    check_decorator(options)
    # Mistakes are found at import, and not by the first call.
    expires_at(expires, datetime.now(timezone.utc))
    topics = Queues(queues)
    topics.topic(queue)
    given = {"recipient": recipient, "username": username, "link": link}
    chosen = {field: parameter for field, parameter in given.items() if parameter is not None}

    def decorate(function: Callable[P, Any]) -> EmailTask[P]:
        if not isinstance(function, FunctionType):
            raise TypeError("email_task makes a task of a function that is defined with `def`")
        task = name or f"{function.__module__}.{function.__name__}"
        return EmailTask(function, _binding(function, chosen), Settings(kind, task, wait, topics, queue, expires))

    return decorate


def _binding(function: FunctionType, chosen: Mapping[str, str]) -> Binding:
    if not is_plain(function):
        raise TypeError(f"{function.__name__}() is asynchronous or a generator; define it with `def`")
    if returns_fields(function):
        if chosen:
            raise TypeError(f"{function.__name__}() computes the fields: its parameters are not named for them")
        return Computed(function)
    if not does_nothing(function):
        message = "the body would run in the caller's process: move it to the worker and leave `...`, or compute the"
        raise TypeError(f"{function.__name__}(): {message} fields in it and annotate it `-> EmailFields`")
    return ByName(function, chosen)
