"""The publisher of e-mail jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from datetime import datetime
from typing import Any

from kafka_email._core import Batch, RecordMetadata
from kafka_email._dependency import NoParameters
from kafka_email._encoding import EncodedHeaders, Headers, checked_event_id, encode_headers, encode_key, given
from kafka_email._tracing import is_tracing, sending
from kafka_email._validation import email_event, email_payloads, encode_event, extend_batch
from kafka_email.exceptions import KafkaError
from kafka_email.manager import KafkaManager
from kafka_email.producers.base import BasePublisher
from kafka_email.schemas.email_events import EmailEventPayload, EmailEventType
from kafka_email.topics import KafkaTopics

__all__ = ["EmailEventPayload", "EmailEventType", "EmailPublisher"]

# How many events are encoded or queued before other coroutines run.
_CHUNK = 1000

_SEND_EVENT = KafkaManager.send_event
_PUBLISH = BasePublisher.publish


class EmailPublisher(BasePublisher):
    """Publishes e-mail jobs, keyed by address, so that one recipient's events stay in order.

    Every ``publish_…`` method returns when every in-sync replica has the event, or raises: Pydantic's
    ``ValidationError`` for an event that is not valid, before anything is queued, and otherwise one of
    :mod:`kafka_email.exceptions`. Cancelling the await never un-sends: once queued, the event is delivered, and counted
    by ``stop()``; cancelled while it waits for space in the local queue, it is never queued.

    Args:
        topic: Topic name; the configuration's ``email_topic`` when None.
    """

    __signature__ = NoParameters()

    def __init__(self, topic: KafkaTopics | str | None = None) -> None:
        super().__init__(KafkaTopics.EMAIL_EVENTS if topic is None else topic)
        if topic is None:
            self._topic = None  # looked up in the configuration when an event is published

    async def publish_verification_email(
        self,
        email: str,
        username: str,
        verification_link: str,
        metadata: dict[str, Any] | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> RecordMetadata:
        """Ask for the e-mail that verifies an address.

        Args:
            email: Address, valid by Pydantic's ``EmailStr``; as given, it is the record's key.
            username: How to greet the recipient.
            verification_link: Any string.
            metadata: Whatever else the e-mail service needs, of types that Pydantic turns into JSON.
            headers: Record headers besides the CloudEvents ones, text as UTF-8.
            event_id: Id of the event, the header ``ce_id``, by which a delivery worker drops duplicates: 1 to 128
                printable ASCII characters without spaces; a UUID of version 7 when None.
            expires_at: When a delivery worker gives the event up, as the header ``expires-at``; a naive one is UTC.
        """
        return await self._enqueue(
            "verification", email, username, verification_link, metadata, headers, event_id, expires_at
        )

    async def publish_password_reset_email(
        self,
        email: str,
        username: str,
        reset_link: str,
        metadata: dict[str, Any] | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> RecordMetadata:
        """Ask for the e-mail that lets a user choose a new password. Arguments as for a verification."""
        return await self._enqueue(
            "password_reset", email, username, reset_link, metadata, headers, event_id, expires_at
        )

    async def publish_welcome_email(
        self,
        email: str,
        username: str,
        metadata: dict[str, Any] | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> RecordMetadata:
        """Ask for the e-mail that welcomes a user. Arguments as for a verification; the link is empty."""
        return await self._enqueue("welcome", email, username, "", metadata, headers, event_id, expires_at)

    async def publish_notification_email(
        self,
        email: str,
        username: str,
        link: str,
        metadata: dict[str, Any] | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> RecordMetadata:
        """Ask for an e-mail that tells a user something. Arguments as for a verification."""
        return await self._enqueue("notification", email, username, link, metadata, headers, event_id, expires_at)

    async def publish_email(
        self,
        email_type: str,
        email: str,
        username: str = "",
        link: str = "",
        metadata: dict[str, Any] | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> RecordMetadata:
        """Ask for an e-mail of any type, whose name matches ``[a-z][a-z0-9_]{0,63}``. Arguments as for a verification.

        Raises:
            TypeError: The type is not text.
            ValueError: No type can have this name.
        """
        return await self._enqueue(email_type, email, username, link, metadata, headers, event_id, expires_at)

    async def publish_many(
        self,
        events: Iterable[EmailEventPayload | Mapping[str, Any]],
        *,
        headers: Headers | None = None,
        expires_at: datetime | None = None,
    ) -> list[RecordMetadata | KafkaError]:
        """Publish many e-mail jobs at once.

        All of them are validated first. When the await is cancelled, the events that are queued are delivered all the
        same, and those that still wait for space in the local queue are withdrawn.

        Args:
            events: Payloads, or mappings of their fields, where a welcome may leave its link out. The recipient, as
                given, is the key of the record.
            headers: Headers of every record, besides the CloudEvents ones.
            expires_at: When a delivery worker gives the events up; a naive one is UTC.

        Returns:
            One result for each event, in order: where it is stored, or the error that it failed with.

        Raises:
            pydantic.ValidationError: Names the indexes of all events that are not valid; none was queued.
        """
        everything = list(events)
        if not (self._publishes_itself() and _is_unpatched(self.manager)):
            return await self._publish_each(everything, headers, expires_at)
        with sending(self.topic, len(everything)) as span:
            return await self._publish_all(everything, encode_headers(span.headers(headers), expires_at))

    async def _publish_each(
        self,
        events: list[EmailEventPayload | Mapping[str, Any]],
        headers: Headers | None,
        expires_at: datetime | None,
    ) -> list[RecordMetadata | KafkaError]:
        publishes = (
            self._publish_event(payload.model_dump(mode="json"), recipient, headers, None, expires_at)
            for payload, recipient in email_payloads(events)
        )
        return await asyncio.gather(*publishes, return_exceptions=True)  # type: ignore[return-value]

    async def _publish_all(
        self,
        events: list[EmailEventPayload | Mapping[str, Any]],
        headers: EncodedHeaders,
    ) -> list[RecordMetadata | KafkaError]:
        topic, producer = self.topic, self.manager.native_producer()
        batch = await _encode_all(events, producer.max_event_bytes)
        promises = []
        try:
            for first in range(0, len(batch), _CHUNK):
                promises.append(producer.publish_batch(topic, batch, first, _CHUNK, headers))
                if first + _CHUNK < len(batch):
                    await _yield_to_loop()
            return [result for promise in promises for result in await promise]
        except BaseException:
            for promise in promises:
                promise.cancel()
            raise

    def _enqueue(
        self,
        email_type: str,
        email: str,
        username: str,
        link: str,
        metadata: dict[str, Any] | None,
        headers: Headers | None,
        event_id: str | None,
        expires_at: datetime | None,
        *,
        is_traced: bool = False,
    ) -> Awaitable[RecordMetadata]:
        if not is_traced and is_tracing():
            return self._enqueue_traced(email_type, email, username, link, metadata, headers, event_id, expires_at)
        manager = self.manager
        if not (self._publishes_itself() and _is_unpatched(manager)):
            event = email_event(email_type, email, username, link, metadata)
            return self._publish_event(event, email, headers, event_id, expires_at)
        topic, producer, event_id = self.topic, manager.native_producer(), checked_event_id(event_id)
        encoded = encode_headers(headers, expires_at)
        promise = producer.publish_email(topic, email_type, email, username, link, metadata, encoded, event_id)
        if promise is not None:
            return promise
        event = email_event(email_type, email, username, link, metadata)
        return producer.publish(topic, encode_key(email), encode_event(event), event["email_type"], encoded, event_id)

    async def _enqueue_traced(
        self,
        email_type: str,
        email: str,
        username: str,
        link: str,
        metadata: dict[str, Any] | None,
        headers: Headers | None,
        event_id: str | None,
        expires_at: datetime | None,
    ) -> RecordMetadata:
        fields = email_type, email, username, link, metadata
        with sending(self.topic) as span:
            stored = await self._enqueue(*fields, span.headers(headers), event_id, expires_at, is_traced=True)
            span.acknowledge(stored)
            return stored

    def _publish_event(
        self,
        event: dict[str, Any],
        email: str,
        headers: Headers | None,
        event_id: str | None,
        expires_at: datetime | None,
    ) -> Awaitable[RecordMetadata]:
        """Publish by the documented way, part of which somebody has overridden or patched."""
        options = given(event_id=event_id, expires_at=expires_at)
        if self._publishes_itself():
            return self.manager.send_event(self.topic, event, key=email, headers=headers, **options)
        return self.publish(event, key=email, **given(headers=headers), **options)

    def _publishes_itself(self) -> bool:
        """Return whether ``publish`` is the package's own, neither overridden nor patched."""
        return getattr(self.publish, "__func__", None) is _PUBLISH


def _is_unpatched(manager: KafkaManager) -> bool:
    """Return whether ``send_event`` is the package's own.

    Tests replace the method, or the whole manager: then the events have to be passed to the replacement.
    """
    return getattr(manager.send_event, "__func__", None) is _SEND_EVENT


async def _yield_to_loop() -> None:
    await asyncio.sleep(0)


async def _encode_all(events: list[EmailEventPayload | Mapping[str, Any]], max_event_bytes: int) -> Batch:
    batch = Batch(max_event_bytes)
    while (begin := len(batch)) < len(events):
        extend_batch(batch, events, begin + _CHUNK)
        if len(batch) < len(events):
            await _yield_to_loop()
    return batch
