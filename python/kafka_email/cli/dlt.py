"""``kafka-email dlt``: dead letters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from kafka_email._core import DeadLetter, DeadLetters
from kafka_email.cli.errors import MISCONFIGURED, Failed
from kafka_email.cli.settings import kafka_token, sender_config, topics_of

_COLUMNS = ("reason", "stage", "code", "topic", "partition", "offset", "failed-at", "replays")
_MASK = "**********"


@dataclass(frozen=True)
class Selection:
    """Which dead letters a command is about."""

    topic: str | None
    reason: str | None
    email_type: str | None
    event_id: str | None
    partition: int | None
    offset: int | None
    limit: int | None

    def takes(self, headers: dict[str, str], letter: DeadLetter) -> bool:
        """Return whether a letter is selected."""
        wanted = (
            (self.reason, headers.get("dlt-reason")),
            (self.email_type, headers.get("ce_type")),
            (self.event_id, headers.get("ce_id")),
            (self.partition, letter.partition),
            (self.offset, letter.offset),
        )
        return all(want is None or want == found for want, found in wanted)


def _selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a selection, and pass that as its first argument."""

    @wraps(command)
    def with_selection(
        topic: str | None,
        reason: str | None,
        email_type: str | None,
        event_id: str | None,
        partition: int | None,
        offset: int | None,
        limit: int | None,
        **options: Any,
    ) -> None:
        command(Selection(topic, reason, email_type, event_id, partition, offset, limit), **options)

    reasons = click.Choice(["poison", "template", "permanent", "retries", "too_old", "unknown"])
    options = [
        click.option("--topic", help="Only those of this topic of the worker."),
        click.option("--reason", type=reasons, help="Only those with this reason."),
        click.option("--type", "email_type", help="Only events of this type."),
        click.option("--event-id", help="Only this event."),
        click.option(
            "--partition", type=click.IntRange(0), help="Only those in this partition of the dead-letter topic."
        ),
        click.option("--offset", type=click.IntRange(0), help="Only those with this offset there."),
        click.option("--limit", type=click.IntRange(1), help="So many at most."),
    ]
    decorated: Callable[..., None] = with_selection
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


@click.group()
def dlt() -> None:
    """Dead letters: events that the worker gave up.

    What was replayed or dropped is not shown again. Kafka remembers it as the position of the group <group>-dlt.
    """


@dlt.command("list")
@_selecting
@click.option("--show-personal-data", is_flag=True, help="Show keys as well, which are addresses.")
def list_letters(selection: Selection, show_personal_data: bool) -> None:
    """List open dead letters, one a line."""
    count = 0
    for count, (_, letter, headers) in enumerate(_letters(selection), 1):  # noqa: B007 - it is told below
        place = f"{letter.partition}:{letter.offset}"
        details = "".join(f" {name}={_shown(name, headers)}" for name in _COLUMNS if f"dlt-{name}" in headers)
        key = f" key={(letter.key or b'').decode(errors='replace')}" if show_personal_data else ""
        click.echo(f"{place} {headers.get('ce_type', '-')} {headers.get('ce_id', '-')}{details}{key}")
    click.echo(_counted(count, "open"), err=True)


@dlt.command()
@_selecting
@click.option("--show-personal-data", is_flag=True, help="Show key and value: address, name and link.")
def show(selection: Selection, show_personal_data: bool) -> None:
    """Show open dead letters with all headers."""
    count = 0
    for count, (_, letter, headers) in enumerate(_letters(selection), 1):  # noqa: B007 - it is told below
        click.echo(f"{letter.partition}:{letter.offset}")
        for name, value in headers.items():
            is_known = name.startswith(("dlt-", "ce_")) or name in {"content-type", "expires-at", "traceparent"}
            click.echo(f"  {name}: {value if is_known or show_personal_data else _MASK}")
        for name, content in (("key", letter.key), ("value", letter.value)):
            shown = "(none)" if content is None else content.decode(errors="replace") if show_personal_data else _MASK
            click.echo(f"  {name} = {shown}")
    click.echo(_counted(count, "open"), err=True)


@dlt.command()
@_selecting
@click.option("--dry-run", is_flag=True, help="Only say what would be replayed.")
@click.option(
    "--max-replays", type=click.IntRange(1), default=3, show_default=True, help="Leave those replayed so often."
)
def replay(selection: Selection, dry_run: bool, max_replays: int) -> None:
    """Produce dead letters again to the topics that they came from."""
    done = left = 0
    for letters, letter, headers in _letters(selection):
        replays = headers.get("dlt-replays", "0")
        if replays.isdecimal() and int(replays) >= max_replays:
            left += 1
            continue
        if not dry_run and not letters.replay(letter):
            click.echo(f"{letter.partition}:{letter.offset} has no header dlt-topic: it stays", err=True)
            left += 1
            continue
        _tell(letter, headers, "would be replayed" if dry_run else "replayed")
        done += 1
    click.echo(f"{_counted(done, 'would be replayed' if dry_run else 'replayed')}, {left} left", err=True)


@dlt.command()
@_selecting
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped.")
def drop(selection: Selection, dry_run: bool) -> None:
    """Forget dead letters: they are neither shown nor replayed any more."""
    done = 0
    for letters, letter, headers in _letters(selection):
        if not dry_run:
            letters.drop(letter)
        _tell(letter, headers, "would be dropped" if dry_run else "dropped")
        done += 1
    click.echo(_counted(done, "would be dropped" if dry_run else "dropped"), err=True)


def _letters(selection: Selection) -> Iterator[tuple[DeadLetters, DeadLetter, dict[str, str]]]:
    """The selected letters, each with its headers as text."""
    from kafka_email.config import kafka_config as kafka

    config = sender_config()
    topics = topics_of(config, kafka)
    if selection.topic is not None and selection.topic not in topics:
        raise Failed(f"{selection.topic} is no topic of the worker: it has {', '.join(topics)}", MISCONFIGURED)
    worker, token = config.native_settings(kafka.email_topic), kafka_token(kafka)
    taken = 0
    for topic in topics if selection.topic is None else [selection.topic]:
        settings = {
            "connection": kafka.native_settings()["connection"],
            "group_id": worker["group_id"],
            "topic": topic,
            "consumer_options": worker["consumer_options"],
        }
        letters = DeadLetters(settings, token)
        while taken != selection.limit and (letter := letters.next()) is not None:
            headers = {name: (value or b"").decode(errors="replace") for name, value in letter.headers}
            if selection.takes(headers, letter):
                taken += 1
                yield letters, letter, headers


def _tell(letter: DeadLetter, headers: dict[str, str], what: str) -> None:
    event = f"{headers.get('ce_type', '-')} {headers.get('ce_id', '-')}"
    click.echo(f"{letter.partition}:{letter.offset} {event} {what}")


def _shown(name: str, headers: dict[str, str]) -> str:
    value = headers[f"dlt-{name}"]
    if name == "failed-at" and value.isdecimal():
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(value) / 1000))
    return value


def _counted(count: int, what: str) -> str:
    return f"{count} dead {'letter' if count == 1 else 'letters'} {what}"
