"""The publisher of e-mail jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from kafka_email._core import Batch, RecordMetadata
from kafka_email._dependency import NoParameters
from kafka_email._encoding import EncodedHeaders, Headers, encode_headers, encode_key
from kafka_email._tracing import is_tracing, sending
from kafka_email._validation import add_validated, email_payload, email_payloads, encode_event, refuse
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
    ) -> RecordMetadata:
        """Ask for the e-mail that verifies an address.

        Args:
            email: Address, valid by Pydantic's ``EmailStr``; as given, it is the record's key.
            username: How to greet the recipient.
            verification_link: Any string.
            metadata: Whatever else the e-mail service needs, of types that Pydantic turns into JSON.
            headers: Record headers besides the CloudEvents ones, text as UTF-8.
        """
        return await self._enqueue("verification", email, username, verification_link, metadata, headers)

    async def publish_password_reset_email(
        self,
        email: str,
        username: str,
        reset_link: str,
        metadata: dict[str, Any] | None = None,
        *,
        headers: Headers | None = None,
    ) -> RecordMetadata:
        """Ask for the e-mail that lets a user choose a new password. Arguments as for a verification."""
        return await self._enqueue("password_reset", email, username, reset_link, metadata, headers)

    async def publish_welcome_email(
        self,
        email: str,
        username: str,
        metadata: dict[str, Any] | None = None,
        *,
        headers: Headers | None = None,
    ) -> RecordMetadata:
        """Ask for the e-mail that welcomes a user. Arguments as for a verification; the link is empty."""
        return await self._enqueue("welcome", email, username, "", metadata, headers)

    async def publish_notification_email(
        self,
        email: str,
        username: str,
        link: str,
        metadata: dict[str, Any] | None = None,
        *,
        headers: Headers | None = None,
    ) -> RecordMetadata:
        """Ask for an e-mail that tells a user something. Arguments as for a verification."""
        return await self._enqueue("notification", email, username, link, metadata, headers)

    async def publish_many(
        self,
        events: Iterable[EmailEventPayload | Mapping[str, Any]],
        *,
        headers: Headers | None = None,
    ) -> list[RecordMetadata | KafkaError]:
        """Publish many e-mail jobs at once.

        All of them are validated first. When the await is cancelled, the events that are queued are delivered all the
        same, and those that still wait for space in the local queue are withdrawn.

        Args:
            events: Payloads, or mappings of their fields, where a welcome may leave its link out. The recipient, as
                given, is the key of the record.
            headers: Headers of every record, besides the CloudEvents ones.

        Returns:
            One result for each event, in order: where it is stored, or the error that it failed with.

        Raises:
            pydantic.ValidationError: Names the indexes of all events that are not valid; none was queued.
        """
        everything = list(events)
        if not (self._publishes_itself() and _is_unpatched(self.manager)):
            return await self._publish_each(everything, headers)
        with sending(self.topic, len(everything)) as span:
            return await self._publish_all(everything, encode_headers(span.headers(headers)))

    async def _publish_each(
        self, events: list[EmailEventPayload | Mapping[str, Any]], headers: Headers | None
    ) -> list[RecordMetadata | KafkaError]:
        payloads = email_payloads(events)
        publishes = (self._publish_payload(payload, recipient, headers) for payload, recipient in payloads)
        return await asyncio.gather(*publishes, return_exceptions=True)  # type: ignore[return-value]

    async def _publish_all(
        self,
        events: list[EmailEventPayload | Mapping[str, Any]],
        headers: EncodedHeaders,
    ) -> list[RecordMetadata | KafkaError]:
        batch = await _encode_all(events)
        topic, producer = self.topic, self.manager.native_producer()
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
        *,
        is_traced: bool = False,
    ) -> Awaitable[RecordMetadata]:
        if not is_traced and is_tracing():
            return self._enqueue_traced(email_type, email, username, link, metadata, headers)
        manager = self.manager
        if self._publishes_itself() and _is_unpatched(manager):
            producer = manager.native_producer()
            own_headers = None if headers is None else encode_headers(headers)
            promise = producer.publish_email(self.topic, email_type, email, username, link, metadata, own_headers)
            if promise is not None:
                return promise
        return self._enqueue_validated(email_type, email, username, link, metadata, headers)

    async def _enqueue_traced(
        self,
        email_type: str,
        email: str,
        username: str,
        link: str,
        metadata: dict[str, Any] | None,
        headers: Headers | None,
    ) -> RecordMetadata:
        with sending(self.topic) as span:
            traced = span.headers(headers)
            stored = await self._enqueue(email_type, email, username, link, metadata, traced, is_traced=True)
            span.acknowledge(stored)
            return stored

    def _enqueue_validated(
        self,
        email_type: str,
        email: str,
        username: str,
        link: str,
        metadata: dict[str, Any] | None,
        headers: Headers | None,
    ) -> Awaitable[RecordMetadata]:
        manager = self.manager
        payload = email_payload(email_type, email, username, link, metadata)
        if not (self._publishes_itself() and _is_unpatched(manager)):
            return self._publish_payload(payload, email, headers)
        key, value = encode_key(email), encode_event(payload)
        return manager.native_producer().publish(self.topic, key, value, email_type, encode_headers(headers))

    def _publish_payload(
        self, payload: EmailEventPayload, email: str, headers: Headers | None
    ) -> Awaitable[RecordMetadata]:
        """Publish by the documented way, part of which somebody has overridden or patched."""
        event = payload.model_dump(mode="json")
        if self._publishes_itself():
            return self.manager.send_event(self.topic, event, key=email, headers=headers)
        # A `publish` written for the original package takes no headers.
        return self.publish(event, key=email) if headers is None else self.publish(event, key=email, headers=headers)

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


async def _encode_all(events: list[EmailEventPayload | Mapping[str, Any]]) -> Batch:
    batch = Batch()
    while (begin := len(batch)) < len(events):
        batch.extend(events, begin + _CHUNK)
        if len(batch) < min(begin + _CHUNK, len(events)):
            # `extend` stopped at an event that is not certainly valid: Pydantic decides.
            _add_validated(batch, events)
        if len(batch) < len(events):
            await _yield_to_loop()
    return batch


def _add_validated(batch: Batch, events: list[EmailEventPayload | Mapping[str, Any]]) -> None:
    try:
        add_validated(batch, events[len(batch)])
    except ValidationError:
        refuse(events)
        raise
