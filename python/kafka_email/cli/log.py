"""The log of the command line: standard error, one line an event."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

_PREFIX = "kafka_email_"
_LEVELS = ["debug", "info", "warning", "error"]

_CommandT = TypeVar("_CommandT", bound=Callable[..., Any])


def log_options(command: _CommandT) -> _CommandT:
    """Give a command ``--log-format`` and ``--log-level``."""
    formats = click.Choice(["text", "json"])
    command = click.option("--log-format", type=formats, default="text", show_default=True, help="Form of a line.")(
        command
    )
    levels = click.Choice(_LEVELS, case_sensitive=False)
    return click.option("--log-level", type=levels, default="info", show_default=True, help="Least level.")(command)


def set_up(log_format: str, log_level: str) -> None:
    """Let every logger write to standard error; at DEBUG only this package's writes more than INFO."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    level = logging.getLevelName(log_level.upper())
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler], force=True)
    logging.getLogger("kafka_email").setLevel(level)
    # Where standard error is closed, there is nobody to tell.
    logging.raiseExceptions = False


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    details = {name.removeprefix(_PREFIX): value for name, value in vars(record).items() if name.startswith(_PREFIX)}
    event = details.pop("event", record.name)
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    head = {"time": f"{now}.{int(record.msecs):03d}Z", "level": record.levelname, "event": event}
    if record.exc_info:
        details["exception"] = logging.Formatter().formatException(record.exc_info)
    return head | {"message": record.getMessage()} | details


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_fields(record), ensure_ascii=False, default=str)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        head = " ".join(str(fields.pop(name)) for name in ("time", "level", "event"))
        message = str(fields.pop("message"))
        details = "".join(f" {name}={_value(value)}" for name, value in fields.items())
        return f"{head}: {message}{details}".replace("\r", "\\r").replace("\n", "\\n")


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value)
