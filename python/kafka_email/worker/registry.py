"""The handlers and templates that an application names, by the type of the event."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from kafka_email.worker.event import Context, EmailEvent
from kafka_email.worker.mail import Mail

Handler: TypeAlias = "Callable[[EmailEvent, Context], Mail | Awaitable[Mail | None] | None]"


class Registry:
    """What is to be done with each type of event that the templates in the folder do not tell."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._templates: dict[str, dict[str, str | None]] = {}

    @property
    def handlers(self) -> dict[str, Handler]:
        """The handlers by type; a copy."""
        return dict(self._handlers)

    @property
    def templates(self) -> list[dict[str, str | None]]:
        """The named templates, as the native half takes them."""
        return list(self._templates.values())

    def add_handler(self, email_type: str, handler: Handler) -> None:
        """Register a handler.

        Raises:
            TypeError: It cannot be called with an event and a context.
            ValueError: The type has a handler or a template already.
        """
        self._check_new(email_type)
        if not callable(handler):
            raise TypeError(f"the handler of {email_type!r} cannot be called: it is of type {type(handler).__name__}")
        if not _takes_two(handler):
            raise TypeError(f"the handler of {email_type!r} has to take two arguments, the event and its context")
        self._handlers[email_type] = handler

    def add_template(self, email_type: str, *, html: str | None, text: str | None, subject: str) -> None:
        """Name the templates of a type.

        Raises:
            ValueError: Neither ``html`` nor ``text`` is given, or the type has a handler or a template already.
        """
        self._check_new(email_type)
        if html is None and text is None:
            raise ValueError(f"the template of {email_type!r} has neither html nor text")
        self._templates[email_type] = {"email_type": email_type, "html": html, "text": text, "subject": subject}

    def _check_new(self, email_type: str) -> None:
        if not isinstance(email_type, str) or not email_type:
            raise TypeError('the type of an event is text: @worker.handler("invoice")')
        if email_type in self._handlers:
            raise ValueError(f"{email_type!r} has a handler already")
        if email_type in self._templates:
            raise ValueError(f"{email_type!r} has a template already")


def _takes_two(handler: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(handler)
    except ValueError:  # some callables written in C do not tell
        return True
    try:
        signature.bind(None, None)
    except TypeError:
        return False
    return True
