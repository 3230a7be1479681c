"""Finds a secret in what is shown of a configuration and of its errors."""

import logging
import pprint
import traceback
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import kafka_email

PACKAGE = Path(kafka_email.__file__).parent
SECRET = "hunter2-sentinel"


def renderings(value: Any) -> str:
    """Every way a value gets into a log or onto a screen by accident."""
    record = logging.LogRecord("app", logging.INFO, __file__, 1, "%s %r", (value, value), None)
    return "\n".join([str(value), repr(value), f"{value}", f"{value!r:>1}", pprint.pformat(value), record.getMessage()])


def assert_clean(error: BaseException) -> None:
    """No way of showing the error, what it holds or what led to it shows the secret."""
    assert error.__cause__ is None
    assert error.__context__ is None
    assert isinstance(error, ValidationError)
    shown = [renderings(error), repr(error.errors()), error.json(), repr(error.args)]
    assert {line["input"] for line in error.errors()} == {"**********"}
    # Local variables of the package's own frames, as error trackers collect them.
    stack = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    shown += [repr(frame.locals) for frame in stack if PACKAGE in Path(frame.filename).parents]
    assert SECRET not in "\n".join(shown)
