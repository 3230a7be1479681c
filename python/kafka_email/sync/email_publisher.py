"""The blocking publisher of e-mail jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from kafka_email._blocking import refuse_on_loop_thread
from kafka_email._core import Handle, RecordMetadata
from kafka_email._dependency import NoParameters
from kafka_email._encoding import Headers, checked_event_id, encode_headers, encode_key, given
from kafka_email._tracing import is_tracing, sending
from kafka_email._validation import email_event, email_payloads, encode_batch, encode_event
from kafka_email.exceptions import KafkaError
from kafka_email.schemas.email_events import EmailEventPayload, EmailEventType
from kafka_email.sync._settling import settle
from kafka_email.sync.base import BasePublisher
from kafka_email.sync.manager import KafkaManager
from kafka_email.topics import KafkaTopics

__all__ = ["EmailEventPayload", "EmailEventType", "EmailPublisher"]

_INSTEAD = "use `await kafka_email.EmailPublisher()…`, or the method that ends in `_nowait`"

_OWN = {
    "publish": BasePublisher.publish,
    "publish_nowait": BasePublisher.publish_nowait,
    "send_event": KafkaManager.send_event,
    "send_event_nowait": KafkaManager.send_event_nowait,
}


class EmailPublisher(BasePublisher):
    """Publishes e-mail jobs, keyed by address: as :class:`kafka_email.EmailPublisher`, without ``await``.

    Every ``publish_…`` method returns when every in-sync replica has the event, or raises, as its namesake does. The
    GIL is released while it waits, and an exception of a signal handler ends the wait: an event that is queued is
    delivered all the same. On a thread on which an event loop runs it is a RuntimeError, before anything is queued.

    The methods that end in ``_nowait`` return a :class:`Handle` at once, on any thread. They raise ``QueueFullError``
    when the local queue has no space. A failure that nobody asks the handle for is logged as ``publish_failed``.

    Args:
        topic: Topic name; the configuration's ``email_topic`` when None.
    """

    __signature__ = NoParameters()

    def __init__(self, topic: KafkaTopics | str | None = None) -> None:
        super().__init__(KafkaTopics.EMAIL_EVENTS if topic is None else topic)
        if topic is None:
            self._topic = None  # looked up in the configuration when an event is published

    def publish_verification_email(
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
        """Ask for the e-mail that verifies an address. Arguments: as of its namesake."""
        fields = "verification", email, username, verification_link, metadata
        return self._publish(*fields, headers, event_id, expires_at)

    def publish_verification_email_nowait(
        self,
        email: str,
        username: str,
        verification_link: str,
        metadata: dict[str, Any] | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> Handle:
        """As :meth:`publish_verification_email`, but return the event's handle at once."""
        fields = "verification", email, username, verification_link, metadata
        return self._publish_nowait(*fields, headers, event_id, expires_at)

    def publish_password_reset_email(
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
        """Ask for the e-mail that lets a user choose a new password."""
        fields = "password_reset", email, username, reset_link, metadata
        return self._publish(*fields, headers, event_id, expires_at)

    def publish_password_reset_email_nowait(
        self,
        email: str,
        username: str,
        reset_link: str,
        metadata: dict[str, Any] | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> Handle:
        """As :meth:`publish_password_reset_email`, but return the event's handle at once."""
        fields = "password_reset", email, username, reset_link, metadata
        return self._publish_nowait(*fields, headers, event_id, expires_at)

    def publish_welcome_email(
        self,
        email: str,
        username: str,
        metadata: dict[str, Any] | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> RecordMetadata:
        """Ask for the e-mail that welcomes a user."""
        fields = "welcome", email, username, "", metadata
        return self._publish(*fields, headers, event_id, expires_at)

    def publish_welcome_email_nowait(
        self,
        email: str,
        username: str,
        metadata: dict[str, Any] | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> Handle:
        """As :meth:`publish_welcome_email`, but return the event's handle at once."""
        fields = "welcome", email, username, "", metadata
        return self._publish_nowait(*fields, headers, event_id, expires_at)

    def publish_notification_email(
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
        """Ask for an e-mail that tells a user something."""
        fields = "notification", email, username, link, metadata
        return self._publish(*fields, headers, event_id, expires_at)

    def publish_notification_email_nowait(
        self,
        email: str,
        username: str,
        link: str,
        metadata: dict[str, Any] | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> Handle:
        """As :meth:`publish_notification_email`, but return the event's handle at once."""
        fields = "notification", email, username, link, metadata
        return self._publish_nowait(*fields, headers, event_id, expires_at)

    def publish_email(
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
        """Ask for an e-mail of any type, whose name matches ``[a-z][a-z0-9_]{0,63}``."""
        fields = email_type, email, username, link, metadata
        return self._publish(*fields, headers, event_id, expires_at)

    def publish_email_nowait(
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
    ) -> Handle:
        """As :meth:`publish_email`, but return the event's handle at once."""
        fields = email_type, email, username, link, metadata
        return self._publish_nowait(*fields, headers, event_id, expires_at)

    def publish_many(
        self,
        events: Iterable[EmailEventPayload | Mapping[str, Any]],
        *,
        headers: Headers | None = None,
        expires_at: datetime | None = None,
    ) -> list[RecordMetadata | KafkaError]:
        """Publish many e-mail jobs at once: as :meth:`kafka_email.EmailPublisher.publish_many`.

        Returns:
            One result for each event, in order: where it is stored, or the error that it failed with.
        """
        refuse_on_loop_thread(_INSTEAD)
        everything = list(events)
        if not self._is_untouched("publish", "send_event"):
            return [self._published(*fields, headers, expires_at) for fields in _documented(everything)]
        with sending(self.topic, len(everything)) as span:
            handles = self._call_all(everything, span.headers(headers), expires_at, may_wait=True)
        try:
            return [_result(handle) for handle in handles]
        except BaseException:
            for handle in handles:
                handle._withdraw()
            raise

    def publish_many_nowait(
        self,
        events: Iterable[EmailEventPayload | Mapping[str, Any]],
        *,
        headers: Headers | None = None,
        expires_at: datetime | None = None,
    ) -> list[Handle]:
        """Publish many e-mail jobs at once and return their handles, in order.

        The handle of an event for which the local queue has no space is done, with a ``QueueFullError``.

        Raises:
            pydantic.ValidationError: Names the indexes of all events that are not valid; none was queued.
        """
        everything = list(events)
        if not self._is_untouched("publish_nowait", "send_event_nowait"):
            options = given(headers=headers, expires_at=expires_at)
            return [self.publish_nowait(event, key=email, **options) for event, email in _documented(everything)]
        with sending(self.topic, len(everything)) as span:
            return self._call_all(everything, span.headers(headers), expires_at, may_wait=False)

    def _publish(
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
        refuse_on_loop_thread(_INSTEAD)
        fields = email_type, email, username, link, metadata
        if not self._is_untouched("publish", "send_event"):
            options = given(headers=headers, event_id=event_id, expires_at=expires_at)
            return self.publish(email_event(*fields), key=email, **options)
        if not is_tracing():
            return settle(self._call(*fields, headers, event_id, expires_at, may_wait=True))
        with sending(self.topic) as span:
            stored = settle(self._call(*fields, span.headers(headers), event_id, expires_at, may_wait=True))
            span.acknowledge(stored)
            return stored

    def _publish_nowait(
        self,
        email_type: str,
        email: str,
        username: str,
        link: str,
        metadata: dict[str, Any] | None,
        headers: Headers | None,
        event_id: str | None,
        expires_at: datetime | None,
    ) -> Handle:
        fields = email_type, email, username, link, metadata
        if not self._is_untouched("publish_nowait", "send_event_nowait"):
            options = given(headers=headers, event_id=event_id, expires_at=expires_at)
            return self.publish_nowait(email_event(*fields), key=email, **options)
        if not is_tracing():
            return self._call(*fields, headers, event_id, expires_at, may_wait=False)
        with sending(self.topic) as span:
            return self._call(*fields, span.headers(headers), event_id, expires_at, may_wait=False)

    def _call(
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
        may_wait: bool,
    ) -> Handle:
        topic, event_id, encoded = self.topic, checked_event_id(event_id), encode_headers(headers, expires_at)
        producer = self.manager.native_producer()
        fields = email_type, email, username, link, metadata
        handle = producer.call_email(topic, *fields, encoded, event_id, may_wait)
        if handle is not None:
            return handle
        # It is not certainly valid: Pydantic decides.
        event = email_event(*fields)
        value, kind = encode_event(event), event["email_type"]
        return producer.call_encoded(topic, encode_key(email), value, kind, encoded, event_id, may_wait)

    def _call_all(
        self,
        events: list[EmailEventPayload | Mapping[str, Any]],
        headers: Headers | None,
        expires_at: datetime | None,
        *,
        may_wait: bool,
    ) -> list[Handle]:
        encoded, producer = encode_headers(headers, expires_at), self.manager.native_producer()
        batch = encode_batch(events, producer.max_event_bytes)
        return producer.call_batch(self.topic, batch, encoded, may_wait)

    def _published(
        self, event: dict[str, Any], email: str, headers: Headers | None, expires_at: datetime | None
    ) -> RecordMetadata | KafkaError:
        try:
            return self.publish(event, key=email, **given(headers=headers, expires_at=expires_at))
        except KafkaError as error:
            return error

    def _is_untouched(self, publish: str, send: str) -> bool:
        """Return whether the methods of these names are the package's own, neither overridden nor patched."""
        own = getattr(getattr(self, publish), "__func__", None) is _OWN[publish]
        return own and getattr(getattr(self.manager, send), "__func__", None) is _OWN[send]


def _documented(events: list[EmailEventPayload | Mapping[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    return [(payload.model_dump(mode="json"), recipient) for payload, recipient in email_payloads(events)]


def _result(handle: Handle) -> RecordMetadata | KafkaError:
    try:
        return handle.result()
    except KafkaError as error:
        return error
