"""What one call of a task publishes, and the ways to publish it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kafka_email import sync
from kafka_email._core import RecordMetadata
from kafka_email.celery.fields import EmailFields
from kafka_email.producers.email_publisher import EmailPublisher


@dataclass(slots=True)
class TaskEvent:
    """The event of one call.

    Attributes:
        email_type: Which e-mail to send.
        fields: What is personal in it, and therefore not in the repr.
        topic: Topic name; that of the configuration when None.
        headers: Record headers.
        event_id: The id; a new one when None.
        expires_at: When the e-mail is too old.
    """

    email_type: str
    fields: EmailFields = field(repr=False)
    topic: str | None = None
    headers: Mapping[str, Any] | None = field(default=None, repr=False)
    event_id: str | None = None
    expires_at: datetime | None = None

    def store(self) -> RecordMetadata:
        """Publish the event and wait until it is stored."""
        return sync.EmailPublisher(self.topic).publish_email(self.email_type, **self.fields, **self._options())

    def queue(self) -> sync.Handle:
        """Publish the event without waiting."""
        publisher = sync.EmailPublisher(self.topic)
        return publisher.publish_email_nowait(self.email_type, **self.fields, **self._options())

    async def astore(self) -> RecordMetadata:
        """Publish the event and wait until it is stored, on an event loop."""
        return await EmailPublisher(self.topic).publish_email(self.email_type, **self.fields, **self._options())

    def _options(self) -> dict[str, Any]:
        return {"headers": self.headers, "event_id": self.event_id, "expires_at": self.expires_at}
