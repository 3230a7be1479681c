"""``kafka-email check``."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from pydantic import SecretStr, ValidationError

from kafka_email._core import check_smtp, missing_topics
from kafka_email._token import TokenSupply, fetch_token
from kafka_email.cli.errors import MISCONFIGURED, text_of
from kafka_email.cli.render import SAMPLE, rendered
from kafka_email.cli.settings import kafka_token, topics_of
from kafka_email.cli.topics import TIMEOUT, with_dead_letters
from kafka_email.cli.worker import load
from kafka_email.config.base import GuardedSettings
from kafka_email.config.sources import variable_of
from kafka_email.exceptions import KafkaError
from kafka_email.worker import Worker

_BUILTIN = Path(__file__).parents[1] / "templates"


class _WrongError(Exception):
    """What is wrong, and what to do; the arguments are lines."""


@click.command()
@click.argument("target", metavar="[MODULE:WORKER]", required=False)
def check(target: str | None) -> None:
    """Check all that a worker needs: configuration, templates, mail server, Kafka and its topics.

    Sends nothing and changes nothing. Exit codes: 0 all is well, 2 something has to be corrected.
    """
    worker = load(target) if target else Worker()
    steps: list[tuple[str, Callable[[], Iterator[str]]]] = [
        ("configuration", lambda: _configuration(worker)),
        ("templates", lambda: _templates(worker)),
        ("mail server", lambda: _mail_server(worker)),
        ("Kafka", lambda: _kafka(worker)),
    ]
    results = [_passes(name, step) for name, step in steps]
    if not all(results):
        click.get_current_context().exit(MISCONFIGURED)


def _passes(name: str, step: Callable[[], Iterator[str]]) -> bool:
    began = time.monotonic()
    lines: list[str] = []
    try:
        lines.extend(step())
        verdict = "ok"
    except _WrongError as wrong:
        lines, verdict = list(wrong.args), "FAILED"
    except ValidationError as error:
        lines, verdict = [text_of(error)], "FAILED"
    except KafkaError as error:
        lines, verdict = str(error).splitlines(), "FAILED"
    click.echo(f"{name}: {verdict} ({(time.monotonic() - began) * 1000:.0f} ms)")
    for line in lines:
        click.echo(f"  {line}")
    return verdict == "ok"


def _configuration(worker: Worker) -> Iterator[str]:
    yield from _values(worker.kafka)
    yield from _values(worker.config)
    if worker.smtp is not None:
        yield from _values(worker.smtp)


def _values(config: GuardedSettings) -> Iterator[str]:
    """Each setting that is not at its default, and where it comes from; secrets masked."""
    present = {name.upper() for name in os.environ}
    elsewhere = ", ".join(getattr(config, "borrowed_variables", ())) or "the application"
    for name in sorted(config.model_fields_set):
        value, own = getattr(config, name), variable_of(type(config), name)
        shown = "**********" if isinstance(value, (SecretStr, dict)) else value
        yield f"{type(config).__name__}.{name} = {shown} (from {own if own in present else elsewhere})"


def _templates(worker: Worker) -> Iterator[str]:
    mailer = worker.native_mailer()
    mistakes = [repr(mistake) for mistake in mailer.check()]
    folder = worker.config.templates
    files = [file for place in (_BUILTIN, folder and Path(folder)) if place for file in Path(place).iterdir()]
    types = sorted({file.name.partition(".")[0] for file in files if file.name.endswith(".subject.txt")})
    for email_type in types:
        try:
            rendered(mailer, email_type, SAMPLE)
        except KafkaError as error:
            mistakes.append(f"{email_type} with sample values: {error}")
    if mistakes:
        raise _WrongError(*mistakes)
    yield f"rendered: {', '.join(types)}"
    if worker.handled_types:
        yield f"handlers: {', '.join(sorted(worker.handled_types))}"


def _mail_server(worker: Worker) -> Iterator[str]:
    config = worker.smtp
    if config is None:
        yield f"none: mails are written to {worker.config.mail_folder}"
        return
    token = None
    if config.token_provider is not None:
        token = asyncio.run(fetch_token(TokenSupply("XOAUTH2", config.token_provider, lambda *_: None)))
    wrong = check_smtp(config.native_settings(), token.value if token else None)
    if wrong:
        raise _WrongError(wrong)
    user = "" if config.username is None else ", signed in"
    yield f"{config.host} port {config.port}, security {config.security}{user}"


def _kafka(worker: Worker) -> Iterator[str]:
    kafka = worker.kafka
    names = topics_of(worker.config, kafka)
    missing = missing_topics(kafka.native_settings()["connection"], names, None, TIMEOUT, kafka_token(kafka))
    if missing:
        raise _WrongError(*(f"topic {name} is missing: run `kafka-email topics create`" for name in missing))
    yield f"{kafka.effective_servers}, topics {', '.join(with_dead_letters(names))}"
