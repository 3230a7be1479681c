"""``kafka-email topics``."""

from __future__ import annotations

from datetime import timedelta

import click

from kafka_email._core import missing_topics
from kafka_email.cli.settings import kafka_token, sender_config, topics_of
from kafka_email.topics import dead_letter_topic

TIMEOUT = timedelta(seconds=10)
_BROKERS_DECIDE = -1


@click.group()
def topics() -> None:
    """The topics of the worker."""


@topics.command()
@click.option("--partitions", type=click.IntRange(1), help="Partitions of each; the brokers decide without it.")
@click.option("--replication-factor", type=click.IntRange(1), help="Replicas; the brokers decide without it.")
def create(partitions: int | None, replication_factor: int | None) -> None:
    """Create the topics of e-mails and those of their dead letters, as far as they are missing."""
    from kafka_email.config import kafka_config as kafka

    names = topics_of(sender_config(), kafka)
    connection = kafka.native_settings()["connection"]
    shape = (partitions or _BROKERS_DECIDE, replication_factor or _BROKERS_DECIDE)
    created = missing_topics(connection, names, shape, TIMEOUT, kafka_token(kafka))
    for name in with_dead_letters(names):
        click.echo(f"{name}: {'created' if name in created else 'was there already'}")


def with_dead_letters(names: list[str]) -> list[str]:
    """Return the topics, each followed by that of its dead letters."""
    return [name for topic in names for name in (topic, dead_letter_topic(topic))]
