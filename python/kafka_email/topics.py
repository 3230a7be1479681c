"""Topics and their names."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache

__all__ = ["KafkaTopics", "dead_letter_topic", "topic_name"]

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class KafkaTopics(str, Enum):
    """Topics of the application. ``str()`` of a member is its value."""

    EMAIL_EVENTS = "email-events"
    USER_EVENTS = "user-events"
    NOTIFICATION_EVENTS = "notification-events"

    def __str__(self) -> str:
        return str(self.value)


@lru_cache(maxsize=256)
def topic_name(topic: str) -> str:
    """Return the name of a topic as a plain string.

    Raises:
        ValueError: Kafka allows no such name: 1 to 249 of ``a-z A-Z 0-9 . _ -``, and not ``.`` or ``..``.
    """
    name = str(topic.value) if isinstance(topic, Enum) else str(topic)
    if not _NAME.fullmatch(name) or name in {".", ".."}:
        raise ValueError("must be a topic name: 1 to 249 of a-z A-Z 0-9 . _ - and neither '.' nor '..'")
    return name


def dead_letter_topic(topic: str) -> str:
    """Return the name of the topic for the dead letters of a topic.

    Raises:
        ValueError: Kafka allows no such name: that of the topic is too long.
    """
    name = f"{topic}-dlt"
    if not _NAME.fullmatch(name):
        raise ValueError("is too long: the name of the topic for its dead letters, with -dlt at the end, has no room")
    return name
