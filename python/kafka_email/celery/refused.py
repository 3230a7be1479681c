"""What Celery has and a task here cannot have; each says what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

_SIGNATURE = (
    "publish when it is time, with `delay`; where a callable is asked for, pass `functools.partial(task.delay, …)`"
)
_MANY = "publish a list at once with `kafka_email.sync.EmailPublisher().publish_many(events)`"


class NotHereError(NotImplementedError, AttributeError):
    """An attribute of Celery's that does not exist here.

    As an ``AttributeError`` too, so that ``hasattr`` and mocks that look at every attribute go on.
    """


def refused(name: str, instead: str) -> Callable[..., NoReturn]:
    """Make a method that raises ``NotImplementedError`` and says what to do instead."""

    def method(*_: object, **__: object) -> NoReturn:
        raise NotImplementedError(_message(name, instead))

    method.__doc__ = f"Raise ``NotImplementedError``: {instead}."
    return method


def refused_attribute(name: str, instead: str) -> Any:
    """Make a property that raises ``NotImplementedError`` and says what to do instead."""

    def attribute(_: object) -> NoReturn:
        raise NotHereError(_message(name, instead))

    return property(attribute, doc=f"Raise ``NotImplementedError``: {instead}.")


def _message(name: str, instead: str) -> str:
    return f"kafka_email.celery has no {name}: {instead}"


class WithoutCanvas:
    """The methods of Celery's tasks that combine tasks, or that are for the body of a task."""

    s = refused("s()", _SIGNATURE)
    si = refused("si()", _SIGNATURE)
    signature = refused("signature()", _SIGNATURE)
    __or__ = __ror__ = refused("chains (|)", "follow-up work is done by a second consumer group of the topic")
    map = refused("map()", _MANY)
    starmap = refused("starmap()", _MANY)
    chunks = refused("chunks()", _MANY)
    retry = refused("retry()", "the worker retries; a handler of the worker raises `kafka_email.worker.Retry`")
    replace = refused("replace()", "call `delay` of the other task")
    request = refused_attribute("request", "the worker passes the event and its context to a handler")
    AsyncResult = refused("AsyncResult()", "keep the result that `delay` returned; Kafka finds none by its id")
