"""What went wrong, in one line, and the exit code."""

from __future__ import annotations

import traceback

import click
from pydantic import ValidationError

from kafka_email.exceptions import AuthenticationError, ConfigurationError, KafkaError, UnknownTopicError

GAVE_UP, MISCONFIGURED, INCOMPLETE, ABORTED = 1, 2, 3, 130
"""Exit codes; 0 is a complete drain."""


class Failed(click.ClickException):
    """A failure that the user can understand."""

    def __init__(self, message: str, code: int = GAVE_UP) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code


def one_line(error: Exception) -> Failed:
    """Return an exception as a failure of the command."""
    match error:
        case ValidationError():
            return Failed(text_of(error), MISCONFIGURED)
        case ConfigurationError() | AuthenticationError() | UnknownTopicError():
            return Failed(str(error), MISCONFIGURED)
        case KafkaError() | OSError():
            return Failed(str(error))
    where = traceback.extract_tb(error.__traceback__)
    place = f" ({where[-1].filename}:{where[-1].lineno})" if where else ""
    return Failed(f"{type(error).__name__}: {error}{place}")


def text_of(error: ValidationError) -> str:
    """Return which settings are wrong, and what to do. It holds no value."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    named = (f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)
    return f"{error.title}: {'; '.join(named)}".replace("pass it, or set", "set")
