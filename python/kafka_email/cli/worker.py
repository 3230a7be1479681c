"""``kafka-email worker``."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import traceback

import click

from kafka_email.cli import log
from kafka_email.cli.errors import ABORTED, MISCONFIGURED, Failed
from kafka_email.cli.serving import serve
from kafka_email.worker import Worker


@click.command()
@click.argument("target", metavar="[MODULE:WORKER]", required=False)
@log.log_options
def worker(target: str | None, log_format: str, log_level: str) -> None:
    """Deliver e-mails until SIGTERM or SIGINT.

    MODULE:WORKER names a Worker with handlers of your own, such as app.mails:worker; without it, the environment
    configures one. The first signal lets the mails at work finish, the second one cuts them off.

    Exit codes: 0 drained, 1 gave up, 2 configuration error, 3 drain incomplete, 130 aborted.
    """
    log.set_up(log_format, log_level)
    code = asyncio.run(serve(load(target) if target else Worker()))
    if code == ABORTED:
        # A handler that does not return must not hold the process.
        sys.stderr.flush()
        os._exit(code)
    click.get_current_context().exit(code)


def load(target: str) -> Worker:
    """Import a worker by its name, ``module:worker``.

    Raises:
        Failed: There is no such worker, or its module fails.
    """
    module_name, _, name = target.partition(":")
    if not module_name or not name:
        raise Failed(f"{target!r} is not MODULE:WORKER, such as app.mails:worker", MISCONFIGURED)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
        place = f", at {frames[-1].filename}:{frames[-1].lineno}" if frames[1:] else ""
        message = f"cannot import {module_name}: {type(error).__name__}: {error}{place}"
        raise Failed(message, MISCONFIGURED) from None
    found = getattr(module, name, None)
    if not isinstance(found, Worker):
        what = "has no such name" if found is None else f"is a {type(found).__name__}, not a kafka_email.worker.Worker"
        raise Failed(f"{target}: {module_name if found is None else name} {what}", MISCONFIGURED)
    return found
