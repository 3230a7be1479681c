"""``kafka-email dev``."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from kafka_email.cli import log
from kafka_email.cli.errors import MISCONFIGURED, Failed
from kafka_email.cli.mails import as_text
from kafka_email.cli.serving import Serving
from kafka_email.cli.settings import sender_config
from kafka_email.config import KafkaConfig
from kafka_email.testing import EmbeddedBroker
from kafka_email.worker import Worker

_GLANCE_S = 0.2
_GRACE_S = 10


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@click.option(
    "--mails",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("mails"),
    show_default=True,
    help="Folder for the .eml files.",
)
@log.log_options
def dev(command: tuple[str, ...], mails: Path, log_format: str, log_level: str) -> None:
    """Run a Kafka and a worker in this process, for development, and a command such as ``-- uvicorn app:app``.

    COMMAND finds the Kafka in KAFKA_BOOTSTRAP_SERVERS. Mails are printed and written as .eml files; with SMTP_HOST they
    are sent instead. Ctrl-C ends both. The exit code is that of COMMAND.
    """
    log.set_up(log_format, log_level)
    with EmbeddedBroker() as broker:
        os.environ["KAFKA_BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
        folder = None if os.environ.get("SMTP_HOST") else mails
        click.echo(f"Kafka: {broker.bootstrap_servers} (in this process; its events are lost when it ends)")
        click.echo(f"mails: {'sent to SMTP_HOST' if folder is None else f'printed, and written to {folder}/'}")
        code = asyncio.run(_run(_worker(broker, folder), list(command), folder))
    click.get_current_context().exit(code)


def _worker(broker: EmbeddedBroker, folder: Path | None) -> Worker:
    config = sender_config()
    # A topic that the application creates is noticed soon.
    changes: dict[str, Any] = {
        "consumer_options": config.consumer_options | {"topic.metadata.refresh.interval.ms": "1000"}
    }
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Failed(f"cannot create {folder}: {error.strerror}: choose another --mails", MISCONFIGURED) from error
        changes["mail_folder"] = folder
    return Worker(config.model_copy(update=changes), kafka=KafkaConfig(bootstrap_servers=broker.bootstrap_servers))


async def _run(worker: Worker, command: list[str], folder: Path | None) -> int:
    serving = Serving(worker, threading.Event())
    printing = asyncio.create_task(_print(folder)) if folder is not None else None
    delivering = asyncio.create_task(serving.run())
    child = await _started(command) if command else None
    # Serving handles the signals; the child of a terminal gets Ctrl-C by itself, and SIGTERM only from here.
    if child is not None:
        watching = asyncio.create_task(child.wait())
        await asyncio.wait({watching, delivering}, return_when=asyncio.FIRST_COMPLETED)
        if not delivering.done():
            serving.end()
        else:
            await _ended(child)
    code = await delivering
    if printing is not None:
        printing.cancel()
        with suppress(asyncio.CancelledError):
            await printing
    return code if child is None else _exit_code(await child.wait())


async def _started(command: list[str]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(*command)
    except OSError as error:
        raise Failed(f"cannot run {command[0]}: {error.strerror}", MISCONFIGURED) from error


async def _ended(child: asyncio.subprocess.Process) -> None:
    """End a child that has not ended by itself."""
    with suppress(ProcessLookupError):
        child.terminate()
    try:
        await asyncio.wait_for(child.wait(), _GRACE_S)
    except asyncio.TimeoutError:
        child.kill()


def _exit_code(code: int) -> int:
    """As a shell reports it: 128 and the number of the signal."""
    return code if code >= 0 else 128 - code


async def _print(folder: Path) -> None:
    """Print the mails that are written to a folder from now on, until the task is cancelled, and then the last ones."""
    seen = _mails_in(folder)
    try:
        while True:
            _print_new(folder, seen)
            await asyncio.sleep(_GLANCE_S)
    finally:
        _print_new(folder, seen)


def _print_new(folder: Path, seen: set[Path]) -> None:
    new = sorted(_mails_in(folder) - seen, key=lambda file: file.stat().st_mtime)
    for file in new:
        seen.add(file)
        click.echo(f"\n----- {file}\n{as_text(file.read_bytes())}\n-----", nl=True)


def _mails_in(folder: Path) -> set[Path]:
    return set(folder.glob("*.eml"))
