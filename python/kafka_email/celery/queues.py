"""Celery's queues, which are topics here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_email.topics import topic_name


class Queues:
    """Topics by the names of queues.

    Args:
        topics: Topic names; when None, queues have no effect.

    Raises:
        ValueError: Kafka allows no such topic name.
    """

    def __init__(self, topics: Mapping[str, str] | None) -> None:
        self._topics = None if topics is None else {queue: topic_name(topic) for queue, topic in topics.items()}

    def topic(self, queue: Any) -> str | None:
        """Return the topic of a queue, given by its name or as kombu's ``Queue``; None is the configuration's topic.

        Raises:
            ValueError: There is no such queue.
        """
        if queue is None or self._topics is None:
            return None
        name = getattr(queue, "name", queue)
        if name not in self._topics:
            raise ValueError(f"no topic for the queue {name!r}: email_task(…, queues={{{name!r}: topic, …}})")
        return self._topics[name]
