"""The base of the publishers: it publishes any event to one topic."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from kafka_email._core import RecordMetadata
from kafka_email._dependency import NoParameters
from kafka_email._encoding import Headers, given
from kafka_email.manager import KafkaManager, kafka_manager
from kafka_email.topics import KafkaTopics, topic_name

__all__ = ["BasePublisher"]


class BasePublisher:
    """Publishes events to one topic. Making a publisher costs nothing; copying and pickling one works.

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

    async def publish(
        self,
        event: Mapping[str, Any] | BaseModel,
        key: str | bytes | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> RecordMetadata:
        """Publish an event and wait until every in-sync replica has it.

        Arguments, errors and cancellation: as :meth:`kafka_email.KafkaManager.send_event`.
        """
        options = given(event_id=event_id, expires_at=expires_at)
        return await self.manager.send_event(self.topic, event, key, headers=headers, **options)
