"""The base of the blocking publishers: it publishes any event to one topic."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from kafka_email._core import Handle, RecordMetadata
from kafka_email._dependency import NoParameters
from kafka_email._encoding import Headers, given
from kafka_email.sync.manager import KafkaManager, kafka_manager
from kafka_email.topics import KafkaTopics, topic_name

__all__ = ["BasePublisher"]


class BasePublisher:
    """Publishes events to one topic: as :class:`kafka_email.BasePublisher`, without ``await``.

    Args:
        topic: Topic name.

    Raises:
        ValueError: Kafka allows no such topic name.
    """

    __signature__ = NoParameters()

    def __init__(self, topic: KafkaTopics | str) -> None:
        self._topic: str | None = topic_name(topic)
        self.manager: KafkaManager = kafka_manager

    @property
    def topic(self) -> str:
        """Name of the topic."""
        return self._topic or self.manager.email_topic

    @topic.setter
    def topic(self, topic: KafkaTopics | str) -> None:
        self._topic = topic_name(topic)

    def publish(
        self,
        event: Mapping[str, Any] | BaseModel,
        key: str | bytes | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> RecordMetadata:
        """Publish an event and wait until every in-sync replica has it.

        Arguments and errors: as :meth:`kafka_email.sync.KafkaManager.send_event`.
        """
        options = given(event_id=event_id, expires_at=expires_at)
        return self.manager.send_event(self.topic, event, key, headers=headers, **options)

    def publish_nowait(
        self,
        event: Mapping[str, Any] | BaseModel,
        key: str | bytes | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> Handle:
        """Publish an event and return its handle at once.

        Arguments and errors: as :meth:`kafka_email.sync.KafkaManager.send_event_nowait`.
        """
        options = given(event_id=event_id, expires_at=expires_at)
        return self.manager.send_event_nowait(self.topic, event, key, headers=headers, **options)
