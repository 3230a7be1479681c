"""``kafka-email render``."""

from __future__ import annotations

import json
import sys
import time
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import click

from kafka_email._core import Mailer
from kafka_email.cli.errors import MISCONFIGURED, Failed
from kafka_email.cli.mails import as_text, body
from kafka_email.cli.settings import sender_config
from kafka_email.cli.worker import load
from kafka_email.worker import Worker

SAMPLE: dict[str, Any] = {
    "recipient": "ada@example.com",
    "username": "Ada",
    "link": "https://example.com/confirm?token=sample",
    "metadata": {},
}
"""The values of an event for trying a template."""


@click.command()
@click.argument("email_type", metavar="TYPE")
@click.argument("target", metavar="[MODULE:WORKER]", required=False)
@click.option("--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An event, as JSON.")
@click.option("--language", help="Language of the mail, such as uk-UA.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html", "eml"]),
    default="text",
    show_default=True,
    help="What to show.",
)
def render(email_type: str, target: str | None, data: Path | None, language: str | None, form: str) -> None:
    """Show the mail of a type, rendered with sample values.

    TYPE is verification, password_reset, welcome, notification, or a type of your own templates. MODULE:WORKER names
    a worker that names its templates.
    """
    worker = load(target) if target else Worker(sender_config())
    mailer = worker.native_mailer()
    event = SAMPLE | (read(data) if data else {})
    if language:
        event = event | {"metadata": event["metadata"] | {"language": language}}
    if not mailer.has(email_type):
        folder = worker.config.templates or "KAFKA_WORKER_TEMPLATES, which is not set"
        raise Failed(f"there is no template {email_type}: looked in the package and in {folder}", MISCONFIGURED)
    raw = rendered(mailer, email_type, event)
    if form == "eml":
        sys.stdout.buffer.write(raw)
    elif form == "text":
        click.echo(as_text(raw))
    else:
        message = message_from_bytes(raw, policy=policy.default)
        html = body(message, "html")
        if html is None:
            raise Failed(f"the mail {email_type} has no HTML: leave out --format html")
        click.echo(html)


def read(file: Path) -> dict[str, Any]:
    """Read an event, or some fields of one.

    Raises:
        Failed: The file holds something else.
    """
    try:
        event = json.loads(file.read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise Failed(f"{file} is not JSON: {error}", MISCONFIGURED) from None
    if not isinstance(event, dict) or not isinstance(event.get("metadata", {}), dict):
        raise Failed(f"{file} has to be a JSON object with fields such as {', '.join(SAMPLE)}", MISCONFIGURED)
    return event


def rendered(mailer: Mailer, email_type: str, event: dict[str, Any]) -> bytes:
    """Return the mail of an event.

    Raises:
        ConfigurationError: A template fails.
    """
    values = (str(event[name]) for name in ("recipient", "username", "link"))
    recipient, username, link = values
    metadata, now_ms = json.dumps(event["metadata"]), int(time.time() * 1000)
    return mailer.render(email_type, recipient, username, link, metadata, "sample", now_ms)
